//! What can go wrong between the command line and the service.

use std::{io, path::PathBuf};

/// An error of the client, or one that the service answered with.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no service answers at {url}{}", why_not(source))]
    Unreachable {
        /// The service's address.
        url: String,
        /// Why not.
        source: reqwest::Error,
    },
    /// The connection broke, or took too long.
    #[error("the connection to {url} broke: {}", deepest(source))]
    Broken {
        /// The service's address.
        url: String,
        /// How.
        source: reqwest::Error,
    },
    /// The service said no.
    #[error("{text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The number of an application error.
        code: Option<u8>,
        /// What the service says.
        text: String,
        /// The way out it tells.
        hint: Option<String>,
    },
    /// An answer that the service does not give.
    #[error("what answers at {url} is not the service: {why}")]
    Strange {
        /// Where.
        url: String,
        /// What is odd.
        why: String,
    },
    /// A file of this machine cannot be used.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Exit code of an internal error of the service.
const INTERNAL: u8 = 3;

impl ClientError {
    /// What the process ends with: the number of an application error, 3 for an internal
    /// one of the service, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { code: Some(code), .. } => (*code).max(1),
            Self::Refused { status: 500, .. } => INTERNAL,
            _ => 1,
        }
    }

    /// The way out, if one is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unreachable { source, .. } if is_certificate(source) => {
                Some("name its certificate with --ca FILE, or take any with --insecure")
            }
            Self::Unreachable { .. } => {
                Some("start it with `kadence serve`, or name it with --server")
            }
            Self::Strange { .. } => Some("name the service with --server http://HOST:PORT"),
            Self::Refused { hint, .. } => hint.as_deref(),
            Self::Broken { .. } | Self::File { .. } => None,
        }
    }

    /// Whether asking again may help.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Broken { .. })
    }
}

/// Whether it is the certificate of the service that is not trusted.
fn is_certificate(error: &reqwest::Error) -> bool {
    deepest(error).contains("certificate")
}

/// The cause of causes: what the others say around it is of no use to a person.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Why nobody answers, where there is more to say than that.
fn why_not(error: &reqwest::Error) -> String {
    if is_certificate(error) { format!(": {}", deepest(error)) } else { String::new() }
}
