//! The transfer port.

use super::{Carrier, Errand};
use crate::nodes::Node;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

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
    /// Names this transfer: a service that is started again goes on with what is under way on the
    /// nodes by this name, and no other transfer has it.
    pub name: String,
    /// Cancelled when the service stops, and this is gone on with when it is started again: what is
    /// under way on the nodes is left there when the call is dropped.
    pub suspended: CancellationToken,
    /// Streams between nodes that broke on the way, whatever came of it.
    pub broken: Broken,
}

/// What broke on the way of a transfer.
#[derive(Clone, Debug, Default)]
pub struct Broken(Arc<Mutex<Vec<BrokenStream>>>);

/// A stream that broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenStream {
    /// In one word, of few: it is counted by it.
    pub cause: &'static str,
    /// Which node, which peer, which block, and why.
    pub what: String,
}

impl Broken {
    /// Adds one.
    pub fn add(&self, cause: &'static str, what: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(BrokenStream { cause, what });
    }

    /// All so far, which are not given again.
    pub fn take(&self) -> Vec<BrokenStream> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A node that takes a file.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Which node.
    pub node: Arc<Node>,
    /// What reads the file's bytes there, on its standard input.
    pub errand: Errand,
    /// It was found [under way](Transfer::under_way): the node goes on with the errand that it has
    /// begun, and fails if it cannot.
    pub resumes: bool,
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
    /// job, by name. Dropping the call stops the relays, unless it is suspended.
    async fn broadcast(
        &self,
        job: &TransferJob,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> BTreeMap<String, Result<(), TransferError>>;

    /// Whether the transfer of that name, of before the service was started again, can be gone on
    /// with on `node`; within `limit`, or it cannot.
    async fn under_way(&self, _node: &Node, _name: &str, _limit: Duration) -> bool {
        false
    }
}
