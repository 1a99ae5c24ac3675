//! The transfer port.

use super::{Carrier, Errand};
use crate::nodes::Node;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

/// One file for many nodes.
#[derive(Clone, Debug)]
pub struct TransferJob {
    /// The file on the server.
    pub file: PathBuf,
    /// Who takes it, in the order of the pipeline.
    pub receivers: Vec<Receiver>,
    /// The whole transfer ends within this time.
    pub deadline: Duration,
    /// What carries it.
    pub by: Carrier,
}

/// A node that takes a file.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Which node.
    pub node: Arc<Node>,
    /// What reads the file's bytes there, on its standard input.
    pub errand: Errand,
}

/// How far one node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Index into [`TransferJob::receivers`].
    pub node: usize,
    /// Bytes of the file that the node's command has taken.
    pub written: u64,
    /// Bytes of the file in all.
    pub total: u64,
}

/// Why one node did not get the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// The relay could not be put on the node or started there.
    #[error("the relay did not start: {0}")]
    Start(String),
    /// The stream broke: which peer, which block.
    #[error("{0}")]
    Stream(String),
    /// The command on the node failed.
    #[error("`{command}` ended with status {status}: {stderr}")]
    Command {
        /// What was run.
        command: String,
        /// Its exit status.
        status: i32,
        /// The end of its standard error.
        stderr: String,
    },
    /// What arrived is not what was sent.
    #[error("the blocks received differ from the file: digest {got} instead of {expected}")]
    Digest {
        /// BLAKE3 digest of the sequence of the file's blocks, hexadecimal.
        expected: String,
        /// The same of the blocks that the node's command took, hexadecimal.
        got: String,
    },
    /// The deadline passed.
    #[error("the transfer did not end within {}", super::rounded(*.0))]
    Deadline(Duration),
}

/// Copies one file to many nodes; the server sends about one copy.
#[async_trait::async_trait]
pub trait Transfer: Send + Sync + 'static {
    /// Does `job`, telling `progress` as bytes are taken. One result per node of the
    /// job, by name. Dropping the call stops the relays.
    async fn broadcast(
        &self,
        job: &TransferJob,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> BTreeMap<String, Result<(), TransferError>>;
}
