//! Where a file is.

use crate::types::{Code, Problem};
use std::{fmt, path::PathBuf};

/// A file named in a description or a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FileRef {
    /// On the client's machine: no scheme, or `local://`.
    Client(String),
    /// On the server: `server://`.
    Server(PathBuf),
    /// On the web: `http://` or `https://`.
    Web(String),
}

impl FileRef {
    /// Understands `text`. Error 5 for a scheme that nobody can fetch.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        match text.split_once("://") {
            None => Ok(Self::Client(text.to_owned())),
            Some(("local", path)) => Ok(Self::Client(path.to_owned())),
            Some(("server", path)) => Ok(Self::Server(PathBuf::from(path))),
            Some(("http" | "https", _)) => Ok(Self::Web(text.to_owned())),
            Some((scheme, _)) => Err(Problem::new(
                Code::InvalidFile,
                format!(
                    "Unable to grab the file '{text}', unknown protocol {scheme}: use a path, server://, http:// or https://"
                ),
            )),
        }
    }
}

impl fmt::Display for FileRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(path) => f.write_str(path),
            Self::Server(path) => write!(f, "server://{}", path.display()),
            Self::Web(url) => f.write_str(url),
        }
    }
}
