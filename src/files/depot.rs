//! Where the files of operations are kept.

use super::{Grabber, What};
use crate::types::Problem;
use cache::{Digest, Lease};
use std::path::{Path, PathBuf};

/// Gets the files of operations and keeps them: the cache, or in a simulation nothing but
/// names.
#[async_trait::async_trait]
pub trait Depot: Send + Sync + 'static {
    /// Whether the file of `what` can be had, without fetching it: its size, bytes.
    ///
    /// # Errors
    /// 5 if it cannot be had.
    async fn look(&self, grabber: &Grabber, what: &What) -> Result<u64, Problem>;

    /// The file of `what`, on this machine.
    ///
    /// # Errors
    /// 5 if it cannot be had or is not what it should be, 21 and 22 from the cache.
    async fn grab(&self, grabber: &Grabber, what: &What) -> Result<Grabbed, Problem>;

    /// The file of `what` with the content it had before a restart: from here if it is still
    /// there, whatever became of where it came from.
    ///
    /// # Errors
    /// Those of [`grab`](Self::grab).
    async fn grab_again(
        &self,
        grabber: &Grabber,
        what: &What,
        had: &Digest,
    ) -> Result<Grabbed, Problem>;

    /// The operation `wid` needs its files no more.
    fn release(&self, wid: &str);

    /// Lets go of what was kept for operations of before a restart and that none refers to.
    ///
    /// # Errors
    /// 21: a file cannot be deleted.
    fn tidy(&self) -> Result<(), Problem>;
}

/// A file that stays where it is as long as this lives.
#[derive(Debug)]
pub struct Grabbed {
    path: PathBuf,
    digest: Digest,
    _lease: Option<Lease>,
}

impl Grabbed {
    /// The file at `path` with the content of `digest`, which nobody takes away.
    pub fn lasting(path: PathBuf, digest: Digest) -> Self {
        Self { path, digest, _lease: None }
    }

    /// The file, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of its content.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl From<Lease> for Grabbed {
    fn from(lease: Lease) -> Self {
        Self { path: lease.path().to_owned(), digest: lease.digest(), _lease: Some(lease) }
    }
}
