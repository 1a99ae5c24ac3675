//! Where a file is.

use crate::types::{Code, Problem};
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf};

/// A file named in a description or a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
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
            Some((scheme, _)) => {
                let file = without_password(text);
                let text = format!("Unable to grab the file '{file}', unknown protocol {scheme}");
                Err(Problem::new(Code::InvalidFile, text)
                    .hint("use a path, server://, http:// or https://"))
            }
        }
    }
}

impl FileRef {
    /// The same without the password that a web address may hold.
    #[must_use]
    pub fn without_password(&self) -> Self {
        match self {
            Self::Web(url) => Self::Web(without_password(url)),
            other => other.clone(),
        }
    }
}

/// `reference` without the password that a web address may hold.
pub fn without_password(reference: &str) -> String {
    let Some((scheme, rest)) = reference.split_once("://") else { return reference.to_owned() };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    match host.rsplit_once('@').map(|(user, host)| (user.split_once(':'), host)) {
        Some((Some((user, _)), host)) => format!("{scheme}://{user}@{host}{path}"),
        _ => reference.to_owned(),
    }
}

impl TryFrom<String> for FileRef {
    type Error = Problem;

    fn try_from(text: String) -> Result<Self, Problem> {
        Self::parse(&text)
    }
}

impl From<FileRef> for String {
    fn from(file: FileRef) -> Self {
        match file {
            FileRef::Web(url) => url,
            other => other.to_string(),
        }
    }
}

/// For messages, errors and names: never with a password.
impl fmt::Display for FileRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(path) => f.write_str(path),
            Self::Server(path) => write!(f, "server://{}", path.display()),
            Self::Web(url) => f.write_str(&without_password(url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_left_out_and_nothing_else() {
        for (with, without) in [
            ("http://anna:secret@web/i.tgz?a=b:c@d", "http://anna@web/i.tgz?a=b:c@d"),
            ("https://anna:se@cret@web", "https://anna@web"),
            ("http://web/anna:secret@x", "http://web/anna:secret@x"),
            ("http://anna@web/i", "http://anna@web/i"),
            ("server:///srv/a:b@c", "server:///srv/a:b@c"),
            ("image.tgz", "image.tgz"),
        ] {
            assert_eq!(without_password(with), without);
            // Messages are made of it; what is sent and kept is the whole.
            let file = FileRef::parse(with).unwrap();
            assert_eq!(file.to_string(), without);
            assert_eq!(String::from(file), with);
        }
        let refused = FileRef::parse("ftp://anna:secret@web/i").unwrap_err().to_string();
        assert!(refused.contains("ftp://anna@web/i") && !refused.contains("secret"), "{refused}");
    }
}
