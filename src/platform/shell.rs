//! The shell port.

use super::Errand;
use crate::nodes::Node;
use bytes::Bytes;
use futures_util::FutureExt;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// A command for one node.
#[derive(Clone, Debug)]
pub struct Command {
    /// What is done, by the login shell of root.
    pub errand: Arc<Errand>,
    /// What it reads.
    pub input: Input,
    /// It ends, or is given up, within this time (waiting in line and connecting
    /// included). A command that is given up may go on on the node: its standard
    /// streams are closed, no more.
    pub deadline: Duration,
    /// Most bytes kept of each of stdout and stderr; more is an error.
    pub output_limit: usize,
}

/// Standard input of a command.
#[derive(Clone, Debug, Default)]
pub enum Input {
    /// Closed at once.
    #[default]
    Empty,
    /// These bytes.
    Bytes(Bytes),
    /// A file of the server, streamed.
    File(PathBuf),
}

/// What a command left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit status; 128 + n after signal n.
    pub status: i32,
    /// Standard output.
    pub stdout: Bytes,
    /// Standard error.
    pub stderr: Bytes,
}

/// Why a command gave no exit status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShellError {
    /// Nothing answers on the ssh port, or the connection broke off.
    #[error("ssh to {node} ({address}) failed: {why}")]
    Unreachable {
        /// Which node.
        node: String,
        /// Where it should be.
        address: String,
        /// What the network or the ssh library said.
        why: String,
    },
    /// The node answered and refused our keys.
    #[error("ssh to {node} was refused: the key {key} is not accepted there")]
    Key {
        /// Which node.
        node: String,
        /// Which private keys were offered (their paths, the agent).
        key: String,
    },
    /// Our private key cannot be used: nothing was sent to the node.
    #[error("cannot use the private key {path}: {why}; see `ssh_private_key`")]
    KeyFile {
        /// Which file.
        path: String,
        /// What the system or the ssh library said.
        why: String,
    },
    /// The node shows another host key than at first contact in this boot.
    #[error(
        "ssh to {node} was given up: its host key changed within one boot ({was} became {now})"
    )]
    HostKey {
        /// Which node.
        node: String,
        /// Fingerprint at first contact.
        was: String,
        /// Fingerprint now.
        now: String,
    },
    /// The files of known hosts do not vouch for the host key that the node shows.
    #[error("ssh to {node} was given up: its host key {now} is {why}")]
    UnknownHost {
        /// Which node.
        node: String,
        /// Fingerprint of the key.
        now: String,
        /// What the files say.
        why: String,
    },
    /// The deadline passed.
    #[error("no answer from {node} within {}", super::rounded(*after))]
    Deadline {
        /// Which node.
        node: String,
        /// How long was waited.
        after: Duration,
    },
    /// The command wrote more than was allowed.
    #[error("too much output from {node}: more than {limit} bytes")]
    Output {
        /// Which node.
        node: String,
        /// The limit, bytes per stream.
        limit: usize,
    },
    /// The file for standard input cannot be read.
    #[error("cannot read {path}: {why}")]
    Input {
        /// Which file.
        path: String,
        /// What the system said.
        why: String,
    },
}

/// Bounds `work`, which carries `command` out on `node`, by the command's deadline.
///
/// Not an `async fn`, which would have room for the work twice.
pub(super) fn within_deadline(
    node: &Node,
    command: &Command,
    work: impl Future<Output = Result<Output, ShellError>>,
) -> impl Future<Output = Result<Output, ShellError>> {
    let late = || ShellError::Deadline { node: node.name.clone(), after: command.deadline };
    tokio::time::timeout(command.deadline, work)
        .map(move |ended| ended.unwrap_or_else(|_| Err(late())))
}

/// Commands on nodes. Cancel-safe: dropping a call gives its connection up.
#[async_trait::async_trait]
pub trait Shell: Send + Sync + 'static {
    /// Runs `command` on `node` over the connection kept for it, making one if needed.
    /// An exit status other than 0 is an [`Output`], not an error. Commands for one
    /// node run one after the other; a command that was started is never started again.
    async fn run(&self, node: &Node, command: &Command) -> Result<Output, ShellError>;

    /// Forgets the connection and the pinned host key of `node`: it is about to boot,
    /// or no more is wanted of it. A command still running there is left alone.
    async fn forget(&self, node: &Node);
}
