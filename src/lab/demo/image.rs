//! What is installed, and what a proof compares with.

use super::super::{
    LabError, cache_dir,
    error::Context,
    process::run,
    settings::examples::{self, laid_over},
};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fmt::Write,
    path::{Path, PathBuf},
    time::Duration,
};

/// Who makes images.
const ORIGIN: &str = "made by ramdisk/image";
/// Packing a script of ten lines.
const TAR_LIMIT: Duration = Duration::from_secs(30);
/// Name of the post-install script in its archive.
const SCRIPT: &str = "mark";

/// What kind of image is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ImageKind {
    /// An archive, unpacked into a new file system.
    Tar,
    /// A file system, written to the partition as it is.
    Dd,
}

impl ImageKind {
    /// The description of the examples that it is deployed by.
    fn example(self) -> &'static str {
        match self {
            Self::Tar => "debian12-postinstall.yaml",
            Self::Dd => "debian12-dd.yaml",
        }
    }

    /// Name of the image that `ramdisk/image` builds, and of its file.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Tar => ("debian12", "debian12.tar.zst"),
            Self::Dd => ("debian12-dd", "debian12-dd.zst"),
        }
    }
}

/// The image.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Image {
    /// Its name.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) kind: ImageKind,
    /// Its digest, hexadecimal: that of the file, and that of its build.
    pub(super) sha256: String,
    #[serde(skip)]
    file: PathBuf,
    /// Path in the image → digest of that file.
    #[serde(skip)]
    pub(super) sample: BTreeMap<String, String>,
}

impl Image {
    /// The built image of this kind; fails if the file is not the one that was built.
    pub(super) async fn find(kind: ImageKind) -> Result<Self, LabError> {
        tokio::task::spawn_blocking(move || find(kind))
            .await
            .map_err(std::io::Error::from)
            .context(|| "reading the image".into())?
    }

    /// Writes to `dir` the description of the environment, that of the examples with this image,
    /// and with a post-install besides that leaves `token` in the image; returns its path.
    pub(super) async fn describe(&self, dir: &Path, token: &str) -> Result<PathBuf, LabError> {
        std::fs::create_dir_all(dir).context(|| format!("making {}", dir.display()))?;
        write(&dir.join(SCRIPT), include_str!("mark.sh"))?;
        let mark = dir.join("mark.tgz");
        let [mark_text, dir_text] = [&mark, dir].map(|path| path.to_string_lossy().into_owned());
        let owner = ["--owner=0", "--group=0", "--mode=755"];
        let args = [&owner[..], &["-czf", &mark_text, "-C", &dir_text, SCRIPT]].concat();
        run("tar", &args, "", TAR_LIMIT).await?;
        let examples = examples::dir()?;
        let example = examples.join("environments").join(self.kind.example());
        let named = match self.kind {
            ImageKind::Tar => Some(pack(&examples, &dir.join("name-node.tgz")).await?),
            ImageKind::Dd => None,
        };
        let description = dir.join("environment.yaml");
        write(&description, &laid_over(&example, &self.own(named.as_deref(), &mark, token))?)?;
        Ok(description)
    }

    /// What the description has instead of the example's. The archive `named`, where there is one, is
    /// that of the example.
    fn own(&self, named: Option<&Path>, mark: &Path, token: &str) -> String {
        let at = |path: &Path| format!("server://{}", path.display());
        let archive = |path: &Path, script: String| json!({"archive": at(path), "compression": "gzip", "script": script});
        let named = named.map(|path| archive(path, "name-node /rambin".to_owned()));
        let mark = archive(mark, format!("{SCRIPT} {token}"));
        let postinstalls: Vec<_> = named.into_iter().chain([mark]).collect();
        json!({
            "name": self.name,
            "visibility": "private",
            "image": {"file": at(&self.file)},
            "postinstalls": postinstalls,
            "boot": {"kernel_params": "net.ifnames=0"},
        })
        .to_string()
    }
}

/// The post-install of the examples, packed by their own script into `archive`.
async fn pack(examples: &Path, archive: &Path) -> Result<PathBuf, LabError> {
    let program = examples.join("postinstall/pack");
    let [program, text] = [&program, archive].map(|path| path.to_string_lossy().into_owned());
    run(&program, &[&text], "", TAR_LIMIT).await?;
    Ok(archive.to_owned())
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

fn find(kind: ImageKind) -> Result<Image, LabError> {
    let dir = cache_dir().join("images");
    let (name, file) = kind.names();
    let file = dir.join(file);
    let built = read(&dir.join(format!("{name}.sha256")))?;
    let built = built.split_whitespace().next().unwrap_or_default();
    let sample = sample(&read(&dir.join(format!("{name}.sample")))?);
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
    Ok(Image { name, kind, sha256, file, sample })
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
