//! What can go wrong with the state.

use std::io;
use std::path::{Path, PathBuf};
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
         start the newer release, or give this one another directory", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Version found.
        found: u32,
        /// Newest version this release knows.
        known: u32,
    },
    /// A version from before the first release wrote the state.
    #[error(
        "the state directory {} was written by a version from before the first release, in a format that \
         is no longer read: move it away, or give this service another directory", directory.display()
    )]
    Older {
        /// The directory.
        directory: PathBuf,
    },
    /// There is nothing.
    #[error("there is no state in {}: is it the right directory?", directory.display())]
    Missing {
        /// The directory.
        directory: PathBuf,
    },
    /// A record is not what was written.
    #[error(
        "damaged record in {tree}, '{key}': {why}: `kadence store check` tells what else is damaged; \
         restore the state directory from a copy, or keep the rest with `kadence store repair`"
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
    /// The disk has no room left.
    #[error(
        "the disk is full, {} cannot grow: free some space; until then nothing can be changed, \
         what is there can still be read", path.display()
    )]
    Full {
        /// The file.
        path: PathBuf,
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
    #[error("state file {}: {why}", path.display())]
    Engine {
        /// The file.
        path: PathBuf,
        /// What the engine said.
        #[source]
        why: Arc<redb::Error>,
    },
    /// The file is not what was written.
    #[error(
        "state file {} is damaged: {why}: restore the state directory from a copy, or keep what can be \
         read with `kadence store repair`", path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the engine said.
        why: String,
    },
    /// The disk lost changes that were acknowledged.
    #[error(
        "state file {} lost its last {lost} transactions, its disk may be failing: restore the state \
         directory from a copy, or go on without them after `kadence store repair`", path.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// Transactions that are missing.
        lost: u64,
    },
    /// What is served is the rest of a damaged state.
    #[error(
        "the state can only be read, because it is damaged: stop the service, and restore the state \
         directory from a copy or keep what can be read with `kadence store repair`"
    )]
    ReadOnly,
    /// The store was closed, or its writer is gone.
    #[error("the state is closed")]
    Closed,
}

impl StoreError {
    /// For `map_err`: the system failed at `path`.
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |why| match why.kind() {
            // A quota and a limit on the size of files are full disks to us.
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full { path },
            _ => Self::File { path, why: Arc::new(why) },
        }
    }

    /// For `map_err`: the engine failed with the file `path`.
    pub(super) fn engine<E: Into<redb::Error>>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        |why| match why.into() {
            redb::Error::Io(why) if why.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Unreadable { path, why: "it is shorter than it was".to_owned() }
            }
            redb::Error::Io(why) => Self::file(path)(why),
            redb::Error::Corrupted(why) => Self::Unreadable { path, why },
            // No release ever wrote another format.
            redb::Error::UpgradeRequired(format) => {
                Self::Unreadable { path, why: format!("it says that its format is {format}") }
            }
            why => Self::Engine { path, why: Arc::new(why) },
        }
    }

    /// Whether the state is there but not as it was written: some of it may be saved.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Unreadable { .. } | Self::Lost { .. } => true,
            Self::File { why, .. } => why.kind() == io::ErrorKind::InvalidData,
            _ => false,
        }
    }
}
