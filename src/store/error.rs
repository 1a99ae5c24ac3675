//! What can go wrong with the state.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Tree;

/// Why the state could not be opened, read or changed. Cloned to everyone whose
/// change was in the same flush.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another server has the directory.
    #[error(
        "the state directory {} is in use by {}: stop that server or give this one another directory",
        directory.display(), holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The directory.
        directory: PathBuf,
        /// Process id of who holds it, where it is known.
        holder: Option<u32>,
    },
    /// A newer release wrote the state.
    #[error(
        "the state in {} has schema version {found}, this release knows versions up to {known}: \
         start the newer release, or give this one another directory", directory.display()
    )]
    Newer {
        /// The directory.
        directory: PathBuf,
        /// Version found.
        found: u32,
        /// Newest version this release knows.
        known: u32,
    },
    /// A record is not what was written.
    #[error(
        "damaged record in {tree}, '{key}': {why}: restore the state directory from a copy, or delete the record"
    )]
    Damaged {
        /// Which tree.
        tree: Tree,
        /// Which record of it.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A record that was to be new is there already.
    #[error("'{key}' is already in {tree}")]
    Exists {
        /// Which tree.
        tree: Tree,
        /// Which record of it.
        key: String,
    },
    /// A record cannot be written down.
    #[error("a record for {tree} cannot be written: {why}")]
    Encode {
        /// Which tree.
        tree: Tree,
        /// What the encoder said.
        #[source]
        why: Arc<serde_json::Error>,
    },
    /// A file or directory of the state failed.
    #[error("state file {}: {why}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        #[source]
        why: Arc<io::Error>,
    },
    /// The storage engine failed.
    #[error("the state in {}: {why}", directory.display())]
    Engine {
        /// The directory.
        directory: PathBuf,
        /// What the engine said.
        #[source]
        why: Box<sled::Error>,
    },
    /// The storage engine gave up on what it found.
    #[error("the state in {} cannot be opened: {why}: restore the directory from a copy", directory.display())]
    Unreadable {
        /// The directory.
        directory: PathBuf,
        /// What the engine said.
        why: String,
    },
    /// The disk lost changes that were acknowledged.
    #[error(
        "the state in {} lost its last {lost} transactions, its disk may be failing: restore the directory \
         from a copy, or delete the file 'transactions' in it to go on without them", directory.display()
    )]
    Lost {
        /// The directory.
        directory: PathBuf,
        /// Transactions that are missing.
        lost: u64,
    },
    /// The store was closed, or its writer is gone.
    #[error("the state is closed")]
    Closed,
}

impl StoreError {
    /// For `map_err`: the system failed at `path`.
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |why| Self::File { path, why: Arc::new(why) }
    }
}
