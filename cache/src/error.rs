//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Digest;

/// Why a file could not be had from the cache. Cloned to everyone who waited.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CacheError {
    /// What is in use leaves too little room.
    #[error(
        "Cache is full: impossible to cache the file '{file}'. Too many deployments are probably running concurrently."
    )]
    Full {
        /// Origin of the file.
        file: String,
    },
    /// It changed at its source while another workflow uses it.
    #[error("File {file} is already in use, it can't be updated! Please try again later.")]
    InUse {
        /// Origin of the file.
        file: String,
    },
    /// It would not fit into an empty cache.
    #[error(
        "Impossible to cache the file '{file}': the file is too big for the cache ({size} bytes of {limit})"
    )]
    TooBig {
        /// Origin of the file.
        file: String,
        /// Its size, bytes.
        size: u64,
        /// The cache's limit, bytes.
        limit: u64,
    },
    /// The source failed.
    #[error("Unable to grab the file {origin}: {why}")]
    Fetch {
        /// Origin of the file.
        origin: String,
        /// What the source said.
        #[source]
        why: Arc<io::Error>,
    },
    /// It is not the content that was asked for.
    #[error("Checksum of the file '{origin}' does not match (an update is necessary)")]
    DigestMismatch {
        /// Origin of the file.
        origin: String,
        /// The digest the request named.
        expected: Digest,
        /// The digest of what the source sent.
        found: Digest,
    },
    /// The cache's own directory failed.
    #[error("cache file {}: {why}", path.display())]
    Disk {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        why: Arc<io::Error>,
    },
}

impl CacheError {
    /// The number by which the REST interface and the command line know this
    /// error: 5 for a file that cannot be had or has another content, 21 for one
    /// that cannot be cached, 22 for a full cache.
    pub fn number(&self) -> u16 {
        match self {
            Self::Fetch { .. } | Self::DigestMismatch { .. } => 5,
            Self::InUse { .. } | Self::TooBig { .. } | Self::Disk { .. } => 21,
            Self::Full { .. } => 22,
        }
    }

    /// For `map_err`: the directory failed at `path`.
    pub(crate) fn disk(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |why| Self::Disk { path: path.to_owned(), why: Arc::new(why) }
    }

    /// For `map_err`: the source of `origin` failed.
    pub(crate) fn fetch(origin: &str) -> impl FnOnce(io::Error) -> Self + '_ {
        |why| Self::Fetch { origin: origin.to_owned(), why: Arc::new(why) }
    }
}
