//! Where files come from.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

/// Size of the pieces a local file is read in.
const PIECE: usize = 256 * 1024;

/// The content, piece by piece, in order.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// What a source says about the state of its file, compared word by word: as
/// long as nothing differs the file is the same. Empty: it cannot say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Time of the last change.
    #[serde(default)]
    pub mtime: Option<String>,
    /// HTTP entity tag, quotes included (RFC 9110 section 8.8.3).
    #[serde(default)]
    pub etag: Option<String>,
    /// MD5, where the source knows it without reading the file.
    #[serde(default)]
    pub md5: Option<String>,
}

impl Stamp {
    /// Whether the source can say nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A file somewhere. What it says of itself is known before it is asked for
/// its content; it sends exactly `size` bytes or the fetch fails.
#[async_trait]
pub trait Source: Send + Sync {
    /// Bytes it will send.
    fn size(&self) -> u64;

    /// The state it is in.
    fn stamp(&self) -> Stamp;

    /// Starts to send. Errors: whatever keeps the source from being read.
    async fn open(&self) -> io::Result<ByteStream>;
}

/// A file on this machine.
#[derive(Clone, Debug)]
pub struct LocalFile {
    path: PathBuf,
    size: u64,
    stamp: Stamp,
}

impl LocalFile {
    /// Looks at the file at `path`.
    ///
    /// Errors: it cannot be examined, or is no regular file.
    pub async fn new(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let found = tokio::fs::metadata(&path).await?;
        if !found.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is no regular file", path.display()),
            ));
        }
        let mtime = humantime::format_rfc3339_nanos(found.modified()?).to_string();
        Ok(Self {
            path,
            size: found.len(),
            stamp: Stamp { mtime: Some(mtime), ..Stamp::default() },
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[async_trait]
impl Source for LocalFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn stamp(&self) -> Stamp {
        self.stamp.clone()
    }

    async fn open(&self) -> io::Result<ByteStream> {
        let file = File::open(&self.path).await?;
        Ok(Box::pin(ReaderStream::with_capacity(file, PIECE)))
    }
}
