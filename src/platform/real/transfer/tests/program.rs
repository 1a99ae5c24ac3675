//! The relay for tests; those of the whole service use it as well.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// The relay built from this workspace, beside the test's own program.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().expect("a program");
        let target = test.ancestors().nth(3).expect("the target directory");
        let built = std::process::Command::new(env!("CARGO"))
            .args(["build", "--locked", "--offline", "-p", "relay", "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        target.join("debug/kadence-relay")
    })
}
