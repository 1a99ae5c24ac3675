//! What is installed, and what a proof compares with.

use super::super::{LabError, cache_dir, error::Context, process::run};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fmt::Write,
    path::{Path, PathBuf},
    time::Duration,
};

/// Name of the image that `ramdisk/image` builds.
const NAME: &str = "debian12";
/// Who makes it.
const ORIGIN: &str = "made by ramdisk/image";
/// Packing a script of ten lines.
const TAR_LIMIT: Duration = Duration::from_secs(30);
/// Name of the post-install script in its archive.
const SCRIPT: &str = "mark";

/// The image.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Image {
    /// Its name.
    pub(super) name: &'static str,
    /// Its digest, hexadecimal: that of the file, and that of its build.
    pub(super) sha256: String,
    #[serde(skip)]
    file: PathBuf,
    /// Path in the image → digest of that file.
    #[serde(skip)]
    pub(super) sample: BTreeMap<String, String>,
}

impl Image {
    /// The built image; fails if the file is not the one that was built.
    pub(super) async fn find() -> Result<Self, LabError> {
        tokio::task::spawn_blocking(find)
            .await
            .map_err(std::io::Error::from)
            .context(|| "reading the image".into())?
    }

    /// Writes to `dir` the description of the environment with a post-install that leaves
    /// `token` in the image; returns its path.
    pub(super) async fn describe(&self, dir: &Path, token: &str) -> Result<PathBuf, LabError> {
        std::fs::create_dir_all(dir).context(|| format!("making {}", dir.display()))?;
        let (script, archive) = (dir.join(SCRIPT), dir.join("mark.tgz"));
        write(&script, include_str!("mark.sh"))?;
        let [archive_text, dir_text] =
            [&archive, dir].map(|path| path.to_string_lossy().into_owned());
        let args = [
            "--owner=0",
            "--group=0",
            "--mode=755",
            "-czf",
            &archive_text,
            "-C",
            &dir_text,
            SCRIPT,
        ];
        run("tar", &args, "", TAR_LIMIT).await?;
        let description = dir.join("environment.yaml");
        write(&description, &self.description(&archive, token))?;
        Ok(description)
    }

    fn description(&self, archive: &Path, token: &str) -> String {
        format!(
            "\
name: {}
version: 1
os: linux
image: {{file: \"server://{}\", kind: tar, compression: zstd}}
postinstalls:
- {{archive: \"server://{}\", compression: gzip, script: {SCRIPT} {token}}}
boot: {{kernel: /vmlinuz, initrd: /initrd.img, kernel_params: net.ifnames=0}}
filesystem: ext4
partition_type: 0x83
",
            self.name,
            self.file.display(),
            archive.display()
        )
    }
}

fn write(path: &Path, text: &str) -> Result<(), LabError> {
    std::fs::write(path, text).context(|| format!("writing {}", path.display()))
}

fn read(path: &Path) -> Result<String, LabError> {
    if !path.is_file() {
        return Err(LabError::MissingFile { path: path.into(), origin: ORIGIN });
    }
    std::fs::read_to_string(path).context(|| format!("reading {}", path.display()))
}

fn find() -> Result<Image, LabError> {
    let dir = cache_dir().join("images");
    let file = dir.join(format!("{NAME}.tar.zst"));
    let built = read(&dir.join(format!("{NAME}.sha256")))?;
    let built = built.split_whitespace().next().unwrap_or_default();
    let sample = sample(&read(&dir.join(format!("{NAME}.sample")))?);
    let sha256 = digest(&file)?;
    let refuse = |reason: &str| {
        Err(LabError::Argument {
            what: "image",
            value: file.display().to_string(),
            reason: reason.into(),
        })
    };
    if sha256 != built {
        return refuse(
            "it has another digest than the one it was built with: remove it and run ramdisk/image",
        );
    }
    if sample.is_empty() {
        return refuse("there is no sample of its files: remove it and run ramdisk/image");
    }
    Ok(Image { name: NAME, sha256, file, sample })
}

/// SHA-256 of a file, hexadecimal.
fn digest(path: &Path) -> Result<String, LabError> {
    let mut hash = Sha256::new();
    let mut read = || std::io::copy(&mut std::fs::File::open(path)?, &mut hash);
    read().context(|| format!("reading {}", path.display()))?;
    Ok(hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// The lines of sha256sum(1): path → digest.
pub(super) fn sample(text: &str) -> BTreeMap<String, String> {
    let is_digest =
        |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.lines()
        .filter_map(|line| line.split_once("  "))
        .filter(|(digest, _)| is_digest(digest))
        .map(|(digest, path)| (path.to_owned(), digest.to_owned()))
        .collect()
}
