//! What is kept on disk.
//!
//! A [`Change`] is a batch of puts and deletes over typed trees: the journal of
//! each workflow, operations, nodes, environments, rights, statistics. It is
//! committed whole or not at all, and once [`Store::commit`] answers it has
//! survived a crash and, as far as the disk is honest, a power cut. Behind the
//! narrow trait stands [`EmbeddedStore`]: one directory, one process.
//!
//! `record` says what is kept, `change` how it is changed, `key` and `frame` how it lies on
//! disk. `disk` is where the files are: a directory, or memory that fails as a test tells it
//! to. `engine` is the database in its file, `witness` knows if something was lost, `writer`
//! makes changes durable, `view` reads, `lock` keeps a second server out, and `embedded` ties
//! them together. `rescue` looks at a state that may be damaged: `salvage` finds what can
//! still be read, `survey` says what is missing.

mod change;
mod disk;
mod embedded;
mod engine;
mod error;
mod frame;
mod key;
mod lock;
mod record;
mod rescue;
mod salvage;
mod survey;
#[cfg(test)]
mod tests;
mod view;
mod witness;
mod writer;

use async_trait::async_trait;
use std::collections::BTreeMap;

pub use change::Change;
pub use disk::{Directory, Disk, DiskFile, Fault, Loss, MemoryDisk};
pub use embedded::EmbeddedStore;
pub use error::StoreError;
pub use key::Tree;
pub use record::{
    EnvironmentQuery, EnvironmentRecord, EnvironmentRef, JournalRecord, NodeRecord, NodeState,
    OperationKind, OperationRecord, RightRecord, StatFilter, StatRow, StatStep, TokenRecord,
    Version,
};
pub use rescue::{Repaired, check, repair};
pub use survey::{CutJournal, Findings};

/// The state of the service. All errors are [`StoreError`]s; a damaged record is
/// named, never skipped.
#[async_trait]
pub trait Store: Send + Sync {
    /// Makes `change`, whole or not at all. When this returns `Ok` the change is
    /// durable. If the future is dropped the change may be made all the same.
    ///
    /// Errors: [`StoreError::Exists`] if a record that was to be new is there: nothing is
    /// changed then. [`StoreError::Full`] and the like if the disk refuses to write: reads
    /// go on, and tell whether it was made at the last moment all the same; a later commit
    /// succeeds once the disk lets it. After a sync that failed every commit fails until
    /// the service is started again.
    async fn commit(&self, change: Change) -> Result<(), StoreError>;

    /// Up to `limit` records of a workflow's journal, in order, with `seq > since`. A
    /// number that is missing between them is damage.
    async fn journal(
        &self,
        wid: &str,
        since: u64,
        limit: usize,
    ) -> Result<Vec<JournalRecord>, StoreError>;

    /// One operation.
    async fn operation(&self, id: &str) -> Result<Option<OperationRecord>, StoreError>;

    /// All operations, by id.
    async fn operations(&self) -> Result<Vec<OperationRecord>, StoreError>;

    /// What is known of one node.
    async fn node(&self, name: &str) -> Result<Option<NodeRecord>, StoreError>;

    /// What is known of the nodes called `names`, by name, in one look.
    async fn nodes_called(
        &self,
        names: &[String],
    ) -> Result<BTreeMap<String, NodeRecord>, StoreError>;

    /// What is known of every node that was ever used, by name.
    async fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError>;

    /// The environments that `query` names, by user, name and version.
    async fn environments(
        &self,
        query: &EnvironmentQuery,
    ) -> Result<Vec<EnvironmentRecord>, StoreError>;

    /// An id no environment has or had, for a record about to be added.
    fn new_environment_id(&self) -> u64;

    /// The rights of one user or of all, by user, node and partition.
    async fn rights(&self, user: Option<&str>) -> Result<Vec<RightRecord>, StoreError>;

    /// One token.
    async fn token(&self, id: &str) -> Result<Option<TokenRecord>, StoreError>;

    /// All tokens, by id.
    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError>;

    /// The statistics rows that pass `filter`, oldest first.
    async fn statistics(&self, filter: &StatFilter) -> Result<Vec<StatRow>, StoreError>;
}
