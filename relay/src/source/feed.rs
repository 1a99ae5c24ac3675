//! Reading the file for whoever attaches to the server.

use super::SourceError;
use crate::{
    chain::Chain,
    forward::{Blocks, Next},
    frame::Block,
    message::{End, Loss},
};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::mpsc;

/// Blocks read ahead of the network: one is sent while the next is read.
const AHEAD: usize = 2;

/// The file and what is known about it.
#[derive(Debug)]
pub(super) struct Feed {
    path: PathBuf,
    block: usize,
    total: u64,
    digest: OnceLock<String>,
    sent: AtomicU64,
}

impl Feed {
    /// Looks at the file: it is there, it is a regular one, its length is taken.
    pub(super) async fn open(path: &Path, block: usize) -> Result<Self, SourceError> {
        let file = path.to_owned();
        let look = tokio::task::spawn_blocking(move || {
            // Looked at before it is opened: opening a pipe would wait for its writer.
            let metadata = fs::metadata(&file)?;
            if metadata.is_file() {
                return File::open(&file).map(|_| metadata.len());
            }
            Err(io::Error::other("not a regular file"))
        });
        let total = look
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|why| SourceError::File { path: path.to_owned(), why })?;
        let (digest, sent) = (OnceLock::new(), AtomicU64::new(0));
        Ok(Self { path: path.to_owned(), block, total, digest, sent })
    }

    /// Bytes of the file.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Digest of the sequence of the file's blocks in hexadecimal, once it has been read to
    /// its end.
    pub(super) fn digest(&self) -> Option<&str> {
        self.digest.get().map(String::as_str)
    }

    /// Bytes that went out.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Adds to the bytes that went out.
    pub(super) fn count(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The blocks from the offset `from` on, read by a thread that ends with the reader.
    pub(super) fn blocks(self: &Arc<Self>, from: u64) -> FromFile {
        let (to, blocks) = mpsc::channel(AHEAD);
        let feed = self.clone();
        tokio::task::spawn_blocking(move || {
            let last = feed.read(from, &to).unwrap_or_else(Next::Broken);
            // Nobody waits for it when the peer is gone.
            let _ = to.blocking_send(last);
        });
        FromFile(blocks)
    }

    /// Reads the whole file, for its digest, and sends the blocks from `from` on.
    fn read(&self, from: u64, to: &mpsc::Sender<Next>) -> Result<Next, Loss> {
        let mut offset = 0;
        let mut chain = Chain::default();
        let mut file = File::open(&self.path).map_err(|error| self.loss(0, error.to_string()))?;
        if !from.is_multiple_of(self.block as u64) {
            return Err(self.loss(0, format!("offset {from} is inside a block")));
        }
        while offset < self.total {
            let left = usize::try_from(self.total - offset).unwrap_or(usize::MAX);
            let mut bytes = vec![0; left.min(self.block)];
            file.read_exact(&mut bytes).map_err(|error| self.loss(offset, error.to_string()))?;
            let length = bytes.len() as u64;
            let block = Block::new(offset, bytes.into());
            chain.add(&block);
            if offset >= from && to.blocking_send(Next::Block(block)).is_err() {
                return Ok(Next::Gone);
            }
            offset += length;
        }
        self.digest.get_or_init(|| chain.digest());
        Ok(Next::End(End { length: self.total }))
    }

    fn loss(&self, offset: u64, why: String) -> Loss {
        Loss {
            node: "the server".into(),
            peer: "the file".into(),
            address: self.path.display().to_string(),
            block: offset / self.block as u64,
            offset,
            why,
        }
    }
}

/// Blocks of a file.
pub(super) struct FromFile(mpsc::Receiver<Next>);

impl Blocks for FromFile {
    async fn next(&mut self) -> Next {
        self.0.recv().await.unwrap_or(Next::Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 1000;

    async fn feed(size: usize) -> (tempfile::NamedTempFile, Arc<Feed>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7; size]).unwrap();
        let feed = Feed::open(file.path(), BLOCK).await.unwrap();
        (file, Arc::new(feed))
    }

    /// Offsets of the blocks from `from` on, and what came after them.
    async fn read(feed: &Arc<Feed>, from: u64) -> (Vec<u64>, Next) {
        let mut blocks = feed.blocks(from);
        let mut offsets = Vec::new();
        loop {
            match blocks.next().await {
                Next::Block(block) => offsets.push(block.offset),
                last => return (offsets, last),
            }
        }
    }

    #[tokio::test]
    async fn any_block_can_be_the_first_and_the_digest_is_of_the_whole() {
        let (_file, feed) = feed(2500).await;
        assert_eq!(feed.digest(), None);
        let mut chain = Chain::default();
        for (offset, length) in [(0, BLOCK), (1000, BLOCK), (2000, 500)] {
            chain.add(&Block::new(offset, vec![7; length].into()));
        }
        let whole = chain.digest();
        for (from, expected) in [(2000, vec![2000]), (0, vec![0, 1000, 2000]), (3000, vec![])] {
            let (offsets, last) = read(&feed, from).await;
            assert_eq!(offsets, expected);
            let Next::End(end) = last else { panic!("{last:?}") };
            assert_eq!(end.length, 2500);
            assert_eq!(feed.digest(), Some(whole.as_str()));
        }
        let (_, last) = read(&feed, 1500).await;
        let Next::Broken(loss) = last else { panic!("{last:?}") };
        assert_eq!(loss.why, "offset 1500 is inside a block");
    }

    #[tokio::test]
    async fn a_file_that_shrinks_breaks_the_stream_where_it_ends() {
        let (file, feed) = feed(2500).await;
        file.as_file().set_len(1700).unwrap();
        let (offsets, last) = read(&feed, 0).await;
        assert_eq!(offsets, [0]);
        let Next::Broken(loss) = last else { panic!("{last:?}") };
        assert_eq!((loss.block, loss.offset), (1, 1000));
    }

    #[tokio::test]
    async fn only_a_regular_file_can_be_sent() {
        for path in ["/", "/dev/zero", "/nonexistent"] {
            let error = Feed::open(Path::new(path), BLOCK).await.unwrap_err().to_string();
            assert!(error.starts_with(&format!("cannot read {path}: ")), "{error}");
        }
    }
}
