//! What can go wrong in the lab.

use std::{io, path::PathBuf, time::Duration};

/// An error of the lab; each message names the thing and the way out.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Namespaces and taps need privileges.
    #[error("the lab makes a network namespace and needs root: run it with sudo")]
    NotRoot,
    /// A program of the lab is not installed.
    #[error("`{program}` is not installed (package {package}): run scripts/setup, or install it")]
    MissingProgram {
        /// What was to be run.
        program: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A file of the lab is not there.
    #[error("{} is missing ({origin}): run scripts/setup, or install it", path.display())]
    MissingFile {
        /// The file.
        path: PathBuf,
        /// Where it comes from.
        origin: &'static str,
    },
    /// A program ended with an error.
    #[error("`{command}` failed ({status}): {stderr}")]
    Command {
        /// Program and arguments.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said, shortened.
        stderr: String,
    },
    /// Something took too long.
    #[error("{what} took longer than {}", humantime::format_duration(*limit))]
    Deadline {
        /// What was waited for.
        what: String,
        /// The limit.
        limit: Duration,
    },
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// There is no lab in this state directory.
    #[error("no lab in {}: start one with `kadence lab up`", dir.display())]
    NoLab {
        /// The state directory.
        dir: PathBuf,
    },
    /// No such node in the lab.
    #[error("the lab has no node `{node}`: it has node-1 to node-{count}")]
    UnknownNode {
        /// What was asked for.
        node: String,
        /// How many nodes there are.
        count: usize,
    },
    /// An argument that cannot be used.
    #[error("{what} `{value}`: {reason}")]
    Argument {
        /// Which argument.
        what: &'static str,
        /// Its value.
        value: String,
        /// Why not.
        reason: String,
    },
    /// The lab's own process does not answer.
    #[error("the lab's keeper does not answer on {} ({source}): run `kadence lab up` again", path.display())]
    KeeperSilent {
        /// Its socket.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The lab's own process refused or failed.
    #[error("{0}")]
    Keeper(String),
    /// The service of a demonstration ended instead of starting.
    #[error("the service does not start: {said} (its log: {})", log.display())]
    Service {
        /// The end of its log.
        said: String,
        /// Its log.
        log: PathBuf,
    },
    /// The client of a demonstration did not say how its operation ended.
    #[error("`{command}` did not say how it ended ({status}); its message is above")]
    NoOutcome {
        /// Its program and verb.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// A demonstration was told to end.
    #[error("interrupted by {signal}")]
    Interrupted {
        /// Name of the signal.
        signal: &'static str,
    },
    /// A file of the lab does not have the expected form.
    #[error("{}: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
}

/// Gives an I/O error the name of what was being done.
pub(super) trait Context<T> {
    /// `what`: the action and the thing, as in "writing /x".
    fn context(self, what: impl FnOnce() -> String) -> Result<T, LabError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, LabError> {
        self.map_err(|e| LabError::Io { what: what(), source: e.into() })
    }
}
