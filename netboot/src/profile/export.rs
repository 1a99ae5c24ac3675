//! How loaders name the files of a repository.

use super::{Method, ProfileError};
use std::{fmt, str::FromStr};

/// How files are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TFTP, from the server that the loader itself came from.
    Tftp,
    /// HTTP.
    Http,
    /// FTP.
    Ftp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tftp => "tftp",
            Self::Http => "http",
            Self::Ftp => "ftp",
        })
    }
}

impl FromStr for Transport {
    type Err = ProfileError;

    fn from_str(name: &str) -> Result<Self, ProfileError> {
        let all = [Self::Tftp, Self::Http, Self::Ftp];
        let found = all.into_iter().find(|transport| transport.to_string() == name);
        found.ok_or_else(|| ProfileError::Transport(name.to_owned()))
    }
}

/// Where a repository is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// How.
    pub transport: Transport,
    /// By which server: `host` or `host:port`. TFTP does not use it.
    pub server: String,
}

impl Export {
    /// Whether `method` can read from here.
    ///
    /// # Errors
    /// [`ProfileError::Unsupported`], with what it can read by; a server name
    /// that would break a profile.
    pub fn supported_by(&self, method: Method) -> Result<(), ProfileError> {
        let transport = self.transport;
        let (fits, supported) = match method {
            Method::PxeLinux => (transport == Transport::Tftp, "tftp"),
            Method::GPxeLinux | Method::Ipxe => (true, "tftp, http, ftp"),
            Method::GrubPxe => (transport != Transport::Ftp, "tftp, http"),
        };
        if !fits {
            return Err(ProfileError::Unsupported { method, transport, supported });
        }
        super::check::server(method, &self.server)
    }

    /// The path of `file` as `method` must write it.
    pub(super) fn path(&self, method: Method, file: &str) -> String {
        let (file, server) = (file.trim_start_matches('/'), &self.server);
        match (method, self.transport) {
            (Method::GrubPxe, Transport::Tftp) => format!("(pxe)/{file}"),
            (Method::GrubPxe, transport) => format!("({transport},{server})/{file}"),
            (_, Transport::Tftp) => format!("/{file}"),
            (_, transport) => format!("{transport}://{server}/{file}"),
        }
    }
}
