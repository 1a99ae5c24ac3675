//! How an error becomes a text and an exit code.

use crate::{
    client::{ClientError, tell},
    lab::LabError,
    types::Problem,
};
use config::Mistakes;
use std::{io, process::ExitCode};

/// Why a verb did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The service, or the way to it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What was asked for makes no sense.
    #[error("{text}")]
    Usage {
        /// Why not.
        text: String,
        /// The way out.
        hint: String,
    },
    /// The configuration has mistakes.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    /// What the service would refuse as well.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// The service could not run.
    #[error("{0}")]
    Service(anyhow::Error),
    /// The lab.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// Standard output, or a socket or signal of this process.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Failure {
    /// Something that makes no sense, and the way out.
    pub(super) fn usage(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { text: text.into(), hint: hint.into() }
    }

    /// Tells a person; returns the exit code.
    pub(super) fn tell(&self) -> ExitCode {
        match self {
            // A block of its own, with places and carets.
            Self::Mistakes(mistakes) => tell(mistakes.to_string().trim_end()),
            Self::Service(error) => {
                tell(&format!("error: {error}"));
                error.chain().skip(1).for_each(|cause| tell(&format!("  because: {cause}")));
            }
            Self::Lab(error) => tracing::error!("{error}"),
            other => tell(&format!("error: {other}")),
        }
        if let Some(hint) = self.hint() {
            tell(&format!("hint: {hint}"));
        }
        ExitCode::from(self.exit_code())
    }

    fn hint(&self) -> Option<&str> {
        match self {
            Self::Client(error) => error.hint(),
            Self::Usage { hint, .. } => Some(hint),
            Self::Problem(Problem::Application { hint, .. }) => hint.as_deref(),
            _ => None,
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) => error.exit_code(),
            Self::Problem(Problem::Application { code, .. }) => code.number().max(1),
            _ => 1,
        }
    }
}
