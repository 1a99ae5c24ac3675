//! Where the files of the state lie.
//!
//! `directory` is a real one; `memory` is a disk that loses its power, fills up, fails
//! and flips bits when it is told to: tests and simulations run the same store on it.
//! `probation` keeps what an opening database writes away from the disk until somebody
//! has looked at what it found.

mod directory;
mod memory;
mod probation;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub use directory::Directory;
pub(super) use directory::sync_directory;
pub use memory::{Fault, Loss, MemoryDisk};
pub(super) use probation::Probation;
/// A file of the state: what the database engine asks of one.
pub use redb::StorageBackend as DiskFile;

/// A few files with names. What is written may be lost in a power cut until the file is
/// synced; what was synced is there for ever.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Opens a file, made if missing. A file that was made is there after a power cut,
    /// though perhaps empty.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Whether a file of that name is there.
    fn exists(&self, name: &str) -> bool;

    /// Where a file is, for messages.
    fn path(&self, name: &str) -> PathBuf;

    /// Bytes of memory that may hold what was read, to be read faster again.
    fn cache(&self) -> usize;
}
