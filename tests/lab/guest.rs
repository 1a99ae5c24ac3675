//! A lab of a test, driven by the program itself; taken down whatever happens.

use serde_json::Value;
use std::{
    path::PathBuf,
    process::{Command, Output},
    time::{Duration, Instant},
};

/// Emulation on a busy machine is slow; nothing here is about speed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A lab with a name, addresses and state of its own.
pub(super) struct TestLab {
    name: String,
    dir: tempfile::TempDir,
}

impl TestLab {
    /// A lab that is not up yet.
    pub(super) fn new(theme: &str) -> Self {
        let name = format!("kt-{theme}-{}", std::process::id());
        Self { name, dir: tempfile::tempdir().unwrap() }
    }

    /// Its name and namespace.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its state directory.
    pub(super) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// `kadence lab WORDS`.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kadence"));
        command.args(["lab", "--name", &self.name, "--state-dir"]).arg(self.state()).args(words);
        command
    }

    /// Runs `kadence lab WORDS`.
    pub(super) fn try_lab(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs `kadence lab WORDS`, which must succeed; returns what it printed.
    pub(super) fn lab(&self, words: &[&str]) -> String {
        let output = self.try_lab(words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "kadence lab {} ({}): {stderr}\nThe lab needs root and what scripts/setup installs.",
            words.join(" "),
            output.status
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Its status.
    pub(super) fn status(&self) -> Value {
        serde_json::from_str(&self.lab(&["status", "--json"])).unwrap()
    }

    /// Looks at the status until `wanted` is true of it.
    pub(super) fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "{what}: {status:#}");
        }
    }

    /// The password of the BMCs.
    pub(super) fn password(&self) -> String {
        std::fs::read_to_string(self.state().join("secrets/bmc")).unwrap()
    }

    /// The processes inside its namespace.
    pub(super) fn pids(&self) -> Vec<i32> {
        let output = Command::new("ip").args(["netns", "pids", &self.name]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        self.try_lab(&["down"]);
    }
}
