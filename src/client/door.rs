//! The way to the service: whom to trust, and what proves who we are.

use super::ClientError;
use std::{fs, path::PathBuf};

/// What proves who the user is, beyond his word.
#[derive(Clone, Default)]
pub enum Proof {
    /// Nothing.
    #[default]
    None,
    /// His password.
    Password(String),
    /// A token of the service.
    Token(String),
}

/// How the service is reached.
#[derive(Clone, Debug, Default)]
pub struct Door {
    /// File of certificates (PEM) that the service's must be or be signed by; none for those
    /// that the system trusts.
    pub ca: Option<PathBuf>,
    /// Whatever certificate the service has will do.
    pub insecure: bool,
    /// What proves who the user is.
    pub proof: Proof,
    /// What the names of the headers begin with that tell the user.
    pub prefix: Option<String>,
}

/// Secrets are not shown.
impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password(_) => "Password",
            Self::Token(_) => "Token",
        })
    }
}

impl Door {
    /// Applied to a client that is being built.
    pub(super) fn open(
        &self,
        mut builder: reqwest::ClientBuilder,
    ) -> Result<reqwest::ClientBuilder, ClientError> {
        if let Some(path) = &self.ca {
            let broken = |source| ClientError::File { path: path.clone(), source };
            let text = fs::read(path).map_err(broken)?;
            let trusted = reqwest::Certificate::from_pem_bundle(&text)
                .map_err(|error| broken(std::io::Error::other(error)))?;
            builder = builder.tls_certs_only(trusted);
        }
        Ok(builder.tls_danger_accept_invalid_certs(self.insecure))
    }

    /// The header that tells the user.
    pub(super) fn user_header(&self) -> String {
        format!("{}User", self.prefix.as_deref().unwrap_or("X-Kadeploy-"))
    }
}
