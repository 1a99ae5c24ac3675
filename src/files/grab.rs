//! One reference of a request made a local file.

use super::http::{self, WebFile};
use crate::{
    environments::FileRef,
    types::{Code, Problem},
};
use base64::{Engine, engine::general_purpose::URL_SAFE};
use cache::{Cache, CacheError, Key, Lease, LocalFile, Priority, Request, Source};
use std::{io, sync::Arc};

/// Which file of the operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct What {
    /// What it is: `key`, `tarball`, `postinstall`.
    pub tag: &'static str,
    /// Where it is.
    pub file: FileRef,
    /// What it belongs to: `<environment>/<version>`, or the operation's id.
    pub version: String,
    /// How dear it is.
    pub priority: Priority,
    /// SHA-256 it must have.
    pub sha256: Option<String>,
    /// Largest size allowed, bytes.
    pub most: Option<u64>,
}

/// Grabs files for one operation. The leases end with the operation.
pub struct Grabber {
    /// Where they are kept.
    pub cache: Arc<Cache>,
    /// Id of the operation.
    pub wid: String,
    /// Who asked for it.
    pub user: String,
    /// Base URL of the client's file server.
    pub client: Option<String>,
}

impl Grabber {
    /// Whether the file of `what` can be had, without fetching it: its size, bytes.
    pub async fn look(&self, what: &What) -> Result<u64, Problem> {
        self.source(what).await.map(|source| source.size())
    }

    /// The file of `what`, on this machine. Error 5 if it cannot be had or is not what it
    /// should be, 21 and 22 from the cache.
    pub async fn grab(&self, what: &What) -> Result<Lease, Problem> {
        let source = self.source(what).await?;
        let digest = what.sha256.as_deref().map(str::parse).transpose();
        let request = Request {
            key: Key {
                origin: what.file.to_string(),
                owner: self.user.clone(),
                version: what.version.clone(),
                tag: what.tag.to_owned(),
            },
            priority: what.priority,
            wid: self.wid.clone(),
            digest: digest.map_err(|why| Problem::new(Code::InvalidFile, why))?,
        };
        self.cache.get(&request, &*source).await.map_err(|error| problem(&error))
    }

    async fn source(&self, what: &What) -> Result<Box<dyn Source>, Problem> {
        let file = &what.file;
        let opened: io::Result<Box<dyn Source>> = match file {
            FileRef::Server(path) => LocalFile::new(path).await.map(|file| Box::new(file) as _),
            FileRef::Web(url) => web(url).await,
            FileRef::Client(path) => web(&self.exported(path)?).await,
        };
        let source = opened.map_err(|why| {
            Problem::new(Code::InvalidFile, format!("Unable to grab the file {file} ({why})"))
                .hint("check the address, and whether the service may read what is there")
        })?;
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

    /// The URL at which the client serves its local file `path`.
    fn exported(&self, path: &str) -> Result<String, Problem> {
        let base = self.client.as_deref().ok_or_else(|| {
            Problem::new(
                Code::InvalidClient,
                format!(
                    "There is no way to retrieve {path} from the Kadeploy server. Consider using a server:// or a http:// URL"
                ),
            )
        })?;
        Ok(format!("{}/{}", base.trim_end_matches('/'), URL_SAFE.encode(path)))
    }
}

async fn web(url: &str) -> io::Result<Box<dyn Source>> {
    let client = http::client()?;
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
        CacheError::DigestMismatch { .. } => {
            problem.hint("bring image/sha256 up to date, or the file back to what it was")
        }
        _ => problem,
    }
}
