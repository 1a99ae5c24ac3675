//! References: who uses which entry, for as long as the value lives.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Digest;
use crate::cache::Shared;
use crate::index::{EntryId, LeaseId};

/// One reference to an entry that is there or on its way. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) shared: Arc<Shared>,
    pub(crate) entry: EntryId,
    pub(crate) lease: LeaseId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.index.unlease(self.entry, self.lease);
        self.shared.sweep(&mut state, self.entry);
    }
}

/// A file that stays in the cache as long as this value lives, or until its
/// workflow is [released](crate::Cache::release).
#[derive(Debug)]
pub struct Lease {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
    pub(crate) wid: String,
    pub(crate) _hold: Hold,
}

impl Lease {
    /// The file, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size, bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// SHA-256 of its content.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The workflow that holds it.
    pub fn wid(&self) -> &str {
        &self.wid
    }
}
