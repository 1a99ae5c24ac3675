//! A file of this machine or of the web, copied.

use crate::kadeploy::failure::Failure;
use reqwest::{Client, Response, Url};
use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bound of connecting and of each silence.
const SILENCE: Duration = Duration::from_secs(60);

/// Where a file is.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Here(PathBuf),
    Web(Url),
}

impl Source {
    /// Understands an address.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        match text.split_once("://") {
            Some(("http" | "https", _)) => Url::parse(text)
                .map(Self::Web)
                .map_err(|error| Failure::usage(format!("'{text}' is no address: {error}"))),
            Some(("server" | "local" | "file", path)) => Ok(Self::Here(path.into())),
            Some((scheme, _)) => Err(Failure::usage(format!(
                "Unable to grab the file '{text}', unknown protocol {scheme}: use a path, http:// or https://"
            ))),
            None => Ok(Self::Here(text.into())),
        }
    }

    /// What `reference` means in a description that is here.
    pub(super) fn beside(&self, reference: &str) -> Result<Self, Failure> {
        match (self, Self::parse(reference)?) {
            (Self::Here(base), Self::Here(path)) => {
                Ok(Self::Here(base.parent().unwrap_or(Path::new("")).join(path)))
            }
            (Self::Web(base), Self::Here(_)) if !reference.contains("://") => base
                .join(reference)
                .map(Self::Web)
                .map_err(|error| Failure::usage(format!("'{reference}' is no address: {error}"))),
            (_, other) => Ok(other),
        }
    }

    /// The name of the file without its directory.
    pub(super) fn name(&self) -> Result<String, Failure> {
        let name = match self {
            Self::Here(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            Self::Web(url) => url.path_segments().and_then(Iterator::last).map(str::to_owned),
        };
        let name = name.filter(|name| !name.is_empty() && name != "..");
        name.ok_or_else(|| Failure::usage(format!("'{}' names no file", self.shown())))
    }

    fn shown(&self) -> String {
        match self {
            Self::Here(path) => path.display().to_string(),
            Self::Web(url) => crate::environments::without_password(url.as_str()),
        }
    }

    fn wrong(&self, why: impl std::fmt::Display) -> Failure {
        Failure::file(self.shown(), why)
    }

    /// Its content, a text.
    pub(super) async fn text(&self) -> Result<String, Failure> {
        match self {
            Self::Here(path) => {
                tokio::fs::read_to_string(path).await.map_err(|error| self.wrong(error))
            }
            Self::Web(_) => {
                self.answer().await?.text().await.map_err(|e| self.wrong(e.without_url()))
            }
        }
    }

    async fn answer(&self) -> Result<Response, Failure> {
        let Self::Web(url) = self else { return Err(self.wrong("it is a file")) };
        crate::platform::crypto();
        let client = Client::builder().connect_timeout(SILENCE).read_timeout(SILENCE).build();
        let client = client.map_err(|error| self.wrong(error))?;
        let answer = client.get(url.clone()).send().await;
        let answer = answer.and_then(Response::error_for_status);
        answer.map_err(|error| self.wrong(error.without_url()))
    }
}

/// Copies `from` into the new file `to`; `progress` hears how many percent are there.
///
/// # Errors
/// One of them cannot be used, or less came than was promised.
pub(super) async fn copy(
    from: &Source,
    to: &Path,
    mode: u32,
    mut progress: impl FnMut(u64),
) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure::file(to.display(), error);
    // A key is secret from its first byte on.
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(to);
    let mut file = tokio::fs::File::from_std(made.map_err(wrong)?);
    let (mut done, mut piece) = (0_u64, vec![0; 1 << 16]);
    let mut tell = |done: u64, all: Option<u64>| {
        progress(all.filter(|all| *all > 0).map_or(100, |all| done * 100 / all));
    };
    match from {
        Source::Here(path) => {
            let opened = tokio::fs::File::open(path).await;
            let mut source = opened.map_err(|error| from.wrong(error))?;
            let all = source.metadata().await.map_err(|error| from.wrong(error))?.len();
            loop {
                let length = source.read(&mut piece).await.map_err(|error| from.wrong(error))?;
                if length == 0 {
                    break;
                }
                file.write_all(&piece[..length]).await.map_err(wrong)?;
                done += length as u64;
                tell(done, Some(all.max(done)));
            }
        }
        Source::Web(_) => {
            let mut answer = from.answer().await?;
            let all = answer.content_length();
            while let Some(bytes) =
                answer.chunk().await.map_err(|error| from.wrong(error.without_url()))?
            {
                file.write_all(&bytes).await.map_err(wrong)?;
                done += bytes.len() as u64;
                tell(done, all);
            }
        }
    }
    tell(done, Some(done));
    file.sync_all().await.map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_beside_their_description() {
        for (base, reference, wanted) in [
            ("/srv/envs/deb.yaml", "deb.tgz", "/srv/envs/deb.tgz"),
            ("/srv/envs/deb.yaml", "/else/deb.tgz", "/else/deb.tgz"),
            ("http://a/envs/deb.yaml", "img/deb.tgz", "http://a/envs/img/deb.tgz"),
            ("http://a/envs/deb.yaml", "/img/deb.tgz", "http://a/img/deb.tgz"),
            ("http://a/envs/deb.yaml", "http://b/deb.tgz", "http://b/deb.tgz"),
            ("http://a/envs/deb.yaml", "server:///srv/deb.tgz", "/srv/deb.tgz"),
        ] {
            let found = Source::parse(base).unwrap().beside(reference).unwrap();
            assert_eq!(found.shown(), wanted);
            assert_eq!(found.name().unwrap(), "deb.tgz");
        }
        assert!(Source::parse("ftp://a/b").is_err());
        assert!(Source::parse("http://a/").unwrap().name().is_err());
    }
}
