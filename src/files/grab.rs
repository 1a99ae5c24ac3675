//! One reference of a request made a local file.

use super::{
    Depot, Grabbed,
    digest::{OLD, TAG},
    http::{self, WebFile},
};
use crate::{
    environments::FileRef,
    types::{Code, Problem},
};
use base64::{Engine, engine::general_purpose::URL_SAFE};
use cache::{Cache, CacheError, Digest, Key, LocalFile, Priority, Request, Source};
use serde::{Deserialize, Serialize};
use std::{fmt, io, sync::Arc};

/// What a file is to its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tag {
    /// Public keys of the user.
    Key,
    /// The image.
    Tarball,
    /// The pre-install archive.
    Preinstall,
    /// A post-install archive.
    Postinstall,
    /// A file of an operation of the user's own.
    CustomFile,
    /// A file of the user's own boot profile.
    Pxe,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Tarball => "tarball",
            Self::Preinstall => "preinstall",
            Self::Postinstall => "postinstall",
            Self::CustomFile => "custom_file",
            Self::Pxe => "pxe",
        })
    }
}

/// Which file of the operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct What {
    /// What it is.
    pub tag: Tag,
    /// Where it is.
    pub file: FileRef,
    /// What it belongs to: `<environment>/<version>`, or the operation's id.
    pub version: String,
    /// How dear it is.
    pub priority: Priority,
    /// SHA-256 it must have; or `etag:` and the tag that its server must give it; or `md5:` and
    /// what it was before it was changed.
    pub sha256: Option<String>,
    /// Largest size allowed, bytes.
    pub most: Option<u64>,
}

/// Grabs files for one operation. What it grabbed stays there as long as the operation.
pub struct Grabber {
    /// Where they are kept.
    pub depot: Arc<dyn Depot>,
    /// Id of the operation.
    pub wid: String,
    /// Who asked for it.
    pub user: String,
    /// Base URL of the client's file server.
    pub client: Option<String>,
}

impl Grabber {
    /// Whether the file of `what` can be had; see [`Depot::look`].
    pub async fn look(&self, what: &What) -> Result<u64, Problem> {
        self.depot.look(self, what).await
    }

    /// The file of `what`; see [`Depot::grab`].
    pub async fn grab(&self, what: &What) -> Result<Grabbed, Problem> {
        self.depot.grab(self, what).await
    }

    /// The file of `what` as it was before a restart; see [`Depot::grab_again`].
    pub async fn grab_again(&self, what: &What, had: &Digest) -> Result<Grabbed, Problem> {
        self.depot.grab_again(self, what, had).await
    }

    async fn source(&self, what: &What) -> Result<Box<dyn Source>, Problem> {
        let file = &what.file;
        if what.sha256.as_deref().is_some_and(|text| text.starts_with(OLD)) {
            return Err(changed(file));
        }
        let opened: io::Result<Box<dyn Source>> = match file {
            FileRef::Server(path) => LocalFile::new(path).await.map(|file| Box::new(file) as _),
            FileRef::Web(url) => web(url, false).await,
            FileRef::Client(path) => web(&exported(self.client.as_deref(), path)?, true).await,
        };
        // A web server is asked for the size first.
        let what_of = if matches!(file, FileRef::Server(_)) { GRAB } else { SIZE };
        let source = opened.map_err(|why| cannot(what_of, file, &why))?;
        if let Some(tag) = what.tag()
            && source.stamp().etag.as_deref() != Some(tag)
        {
            return Err(changed(file));
        }
        match what.most {
            Some(most) if source.size() > most => Err(Problem::new(
                Code::InvalidFile,
                format!(
                    "The {} file '{file}' is too big ({} MB is the max allowed size)",
                    what.tag,
                    most >> 20
                ),
            )),
            _ => Ok(source),
        }
    }
}

/// The URL at which a client whose file server is at `client` serves its local file `path`.
pub(super) fn exported(client: Option<&str>, path: &str) -> Result<String, Problem> {
    let base = client.ok_or_else(|| {
        Problem::new(
            Code::InvalidClient,
            format!(
                "There is no way to retrieve {path} from the Kadeploy server. Consider using a server:// or a http:// URL"
            ),
        )
    })?;
    Ok(format!("{}/{}", base.trim_end_matches('/'), URL_SAFE.encode(path)))
}

impl What {
    /// The tag that its server must give it.
    fn tag(&self) -> Option<&str> {
        self.sha256.as_deref().and_then(|text| text.strip_prefix(TAG))
    }

    /// The digest that it must have.
    fn digest(&self) -> Option<&str> {
        self.sha256.as_deref().filter(|text| !text.starts_with(TAG))
    }
}

/// The error of a file that is not what it was when it was recorded.
fn changed(file: &FileRef) -> Problem {
    let text = format!("Checksum of the file '{file}' does not match (an update is necessary)");
    Problem::new(Code::InvalidFile, text)
        .hint("update the checksum of the environment, or bring the file back")
}

#[async_trait::async_trait]
impl Depot for Cache {
    async fn look(&self, grabber: &Grabber, what: &What) -> Result<u64, Problem> {
        grabber.source(what).await.map(|source| source.size())
    }

    async fn grab(&self, grabber: &Grabber, what: &What) -> Result<Grabbed, Problem> {
        let source = grabber.source(what).await?;
        let digest = what.digest().map(str::parse).transpose();
        let request = Request {
            key: Key {
                origin: what.file.to_string(),
                owner: grabber.user.clone(),
                version: what.version.clone(),
                tag: what.tag.to_string(),
            },
            priority: what.priority,
            wid: grabber.wid.clone(),
            digest: digest.map_err(|why| Problem::new(Code::InvalidFile, why))?,
        };
        let lease = self.get(&request, &*source).await.map_err(|error| problem(&error))?;
        Ok(lease.into())
    }

    async fn grab_again(
        &self,
        grabber: &Grabber,
        what: &What,
        had: &Digest,
    ) -> Result<Grabbed, Problem> {
        let found = self.find(had, &grabber.wid).await.map_err(|error| problem(&error))?;
        if let Some(lease) = found {
            return Ok(lease.into());
        }
        let known = What { sha256: Some(had.to_string()), ..what.clone() };
        Depot::grab(self, grabber, &known).await
    }

    fn release(&self, wid: &str) {
        Self::release(self, wid);
    }

    fn tidy(&self) -> Result<(), Problem> {
        self.clean(Priority::Anonymous).map(drop).map_err(|error| problem(&error))
    }
}

const GRAB: &str = "Unable to grab the file";
const SIZE: &str = "Unable to get the size of";

/// The error of a file that cannot be had.
pub(super) fn unreadable(file: impl fmt::Display, why: &io::Error) -> Problem {
    cannot(GRAB, file, why)
}

fn cannot(what: &str, file: impl fmt::Display, why: &io::Error) -> Problem {
    Problem::new(Code::InvalidFile, format!("{what} {file} ({why})"))
        .hint("check the address, and whether the service may read what is there")
}

async fn web(url: &str, exported: bool) -> io::Result<Box<dyn Source>> {
    let client = http::client(exported)?;
    WebFile::new(&client, url).await.map(|file| Box::new(file) as _)
}

fn problem(error: &CacheError) -> Problem {
    let code = match error.number() {
        21 => Code::CacheError,
        22 => Code::CacheFull,
        _ => Code::InvalidFile,
    };
    let mut text = error.to_string();
    if let CacheError::Fetch { why, .. } = error {
        text = format!("{text} ({why})");
    }
    let problem = Problem::new(code, text);
    match error {
        CacheError::DigestMismatch { found, expected, .. } => problem.hint(format!(
            "bring image/sha256 up to date (a recorded environment: delete it and add it again), or the \
             file back to what it was: its sha256 is {found}, expected {expected}"
        )),
        _ => problem,
    }
}
