//! Boot files, whatever they are made of.
//!
//! [`Assets`] is the one question a transport asks: this path, for that client.
//! [`Directory`] answers from a tree of files that cannot be left, by path or by
//! link. [`ProfileTable`] keeps texts that only one node may read. [`Routes`]
//! asks several in order.

mod directory;
mod path;
mod pieces;
mod routes;
mod table;

pub use directory::Directory;
pub use path::{AssetPath, BadPath};
pub(crate) use pieces::Pieces;
pub use routes::Routes;
pub use table::{Content, ProfileTable};

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::{
    fs::File,
    io::{self, IoSliceMut},
    net::IpAddr,
    os::unix::fs::{FileExt, MetadataExt},
    sync::Arc,
    time::SystemTime,
};

/// The content of a boot file. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Asset {
    /// Made for this request: a boot profile, for example.
    Bytes(Bytes),
    /// A file on disk.
    File {
        /// Open for reading.
        file: Arc<File>,
        /// Its length in bytes when it was opened.
        len: u64,
        /// When it was changed last, if the file system tells.
        modified: Option<SystemTime>,
        /// Which file it is, and in which state.
        id: FileId,
    },
}

/// One state of one file: another file, or the same after a change, has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
    len: u64,
    changed: (i64, i64),
}

impl Asset {
    /// A file on disk.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if it is not a plain file.
    pub fn file(file: File) -> Result<Self, Refusal> {
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(Refusal::NotFound);
        }
        let (len, modified) = (meta.len(), meta.modified().ok());
        let changed = (meta.ctime(), meta.ctime_nsec());
        let id = FileId { device: meta.dev(), inode: meta.ino(), len, changed };
        Ok(Self::File { file: Arc::new(file), len, modified, id })
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    /// True when there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes from `offset` on: `count` of them, or fewer at the end. What the kernel has in memory
    /// is read at once, the rest by a thread that may wait for the disk.
    ///
    /// # Errors
    /// The file cannot be read, or became shorter than it was when opened.
    pub async fn read_at(&self, offset: u64, count: usize) -> io::Result<Bytes> {
        let left = usize::try_from(self.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = count.min(left);
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(start..start + count))
            }
            Self::File { file, .. } => {
                let mut buffer = vec![0; count];
                let had = read_cached(file, &mut buffer, offset)?;
                if had == count {
                    return Ok(Bytes::from(buffer));
                }
                let file = Arc::clone(file);
                let read = move || {
                    file.read_exact_at(&mut buffer[had..], offset + had as u64)?;
                    Ok(Bytes::from(buffer))
                };
                tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
            }
        }
    }
}

/// Reads what is in the page cache, as far as it goes, and never waits for a disk (preadv2(2)).
pub(crate) fn read_cached(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut had = 0;
    while had < buffer.len() {
        let mut rest = [IoSliceMut::new(&mut buffer[had..])];
        match preadv2(file, &mut rest, offset + had as u64, ReadWriteFlags::NOWAIT) {
            Ok(0) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => break,
            Ok(more) => had += more,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(had)
}

/// Why a request got no asset.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nothing has that name, for that client.
    #[error("not found")]
    NotFound,
    /// The name leads out of the boot directory.
    #[error(transparent)]
    BadPath(#[from] BadPath),
    /// The machine is not one of ours.
    #[error("this machine is not known here")]
    Stranger,
    /// The asset exists but could not be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// Answers boot requests.
#[async_trait::async_trait]
pub trait Assets: Send + Sync + 'static {
    /// The asset at `path`, as `client` must see it. The call is given up after 30 s.
    async fn open(&self, path: &AssetPath, client: IpAddr) -> Result<Asset, Refusal>;
}
