//! What a run writes down so that it can be rebuilt.

use crate::{NodeSet, Report, RunId, SetId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which manager of an operation: the runs that enclose it, outermost first.
///
/// The workflow's own manager has the empty path.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ManagerPath(Arc<[RunId]>);

impl ManagerPath {
    /// The manager that runs inside `run` of this one.
    #[must_use]
    pub fn child(&self, run: RunId) -> Self {
        Self(self.0.iter().copied().chain([run]).collect())
    }

    /// The manager around this one, and the run of it that this one is.
    pub fn parent(&self) -> Option<(Self, RunId)> {
        let (run, around) = self.0.split_last()?;
        Some((Self(around.into()), *run))
    }

    /// The runs that enclose the manager, outermost first.
    pub fn runs(&self) -> &[RunId] {
        &self.0
    }
}

/// One fact about a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The manager it belongs to.
    pub manager: ManagerPath,
    /// What happened.
    pub entry: Entry,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The manager began.
    Opened {
        /// Its nodes.
        nodes: NodeSet,
        /// Id of that set.
        set: SetId,
        /// Whether nodes at a breakpoint are paused.
        keep: bool,
    },
    /// Its walk was told something.
    Reported {
        /// What.
        report: Report,
        /// The set ids given out for it, in order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ids: Vec<SetId>,
    },
}

/// The journal could not be written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the journal cannot be written: {message}")]
pub struct JournalError {
    message: String,
    #[source]
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl JournalError {
    /// An error described by `message`.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// An error with the one that caused it.
    pub fn caused(
        message: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self { message: message.into(), source: Some(Arc::new(source)) }
    }
}

/// Keeps records. The managers of one operation call it concurrently.
#[async_trait::async_trait]
pub trait Journal: Send + Sync {
    /// Keeps `records`, in order; when it returns they survive a crash. Nothing that
    /// follows from them is done before.
    async fn append(&self, records: &[Record]) -> Result<(), JournalError>;
}

/// Keeps nothing: a run that is not to be resumed.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoJournal;

#[async_trait::async_trait]
impl Journal for NoJournal {
    async fn append(&self, _: &[Record]) -> Result<(), JournalError> {
        Ok(())
    }
}
