//! Reading the file for whoever attaches to the server.

use super::SourceError;
use crate::{
    chain::Chain,
    forward::{Blocks, Next},
    frame::Block,
    message::{Cause, End, Loss},
};
use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    vec,
};
use tokio::sync::mpsc;

/// Bytes read ahead of the network, which does not wait for the disk then: handed over in batches
/// of so many, as waking the other side costs more than a small block.
const BATCH: usize = 512 * 1024;

/// Batches read ahead.
const AHEAD: usize = 3;

/// The file and what is known about it.
#[derive(Debug)]
pub(super) struct Feed {
    path: PathBuf,
    block: u64,
    total: u64,
    /// Of each block that was read.
    digests: Mutex<Vec<Option<blake3::Hash>>>,
    /// Of the sequence of all of them.
    whole: OnceLock<String>,
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
        let block = block as u64;
        let blocks = usize::try_from(total.div_ceil(block)).unwrap_or(usize::MAX);
        let digests = Mutex::new(vec![None; blocks]);
        let (whole, sent) = (OnceLock::new(), AtomicU64::new(0));
        Ok(Self { path: path.to_owned(), block, total, digests, whole, sent })
    }

    /// Bytes of the file.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Digest of the sequence of the file's blocks in hexadecimal, once all were read.
    /// Computed once: every node that is done is compared with it.
    pub(super) fn digest(&self) -> Option<&str> {
        if self.whole.get().is_none() {
            let whole = self.chain()?;
            self.whole.get_or_init(|| whole);
        }
        self.whole.get().map(String::as_str)
    }

    fn chain(&self) -> Option<String> {
        let digests = self.digests();
        let mut chain = Chain::default();
        for (number, digest) in (0..).zip(digests.iter()) {
            let offset = number * self.block;
            chain.link(offset, self.block.min(self.total - offset), (*digest)?);
        }
        Some(chain.digest())
    }

    fn digests(&self) -> MutexGuard<'_, Vec<Option<blake3::Hash>>> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that went out.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Adds to the bytes that went out.
    pub(super) fn count(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The blocks from the offset `from` on, up to the offset `to` or all of them, read by a
    /// thread that ends with the reader.
    pub(super) fn blocks(self: &Arc<Self>, from: u64, to: Option<u64>) -> FromFile {
        let (sender, blocks) = mpsc::channel(AHEAD);
        let feed = self.clone();
        tokio::task::spawn_blocking(move || {
            let last = feed.read(from, to, &sender).unwrap_or_else(Next::Broken);
            // Nobody waits for it when the peer is gone.
            let _ = sender.blocking_send(vec![last]);
        });
        FromFile { batches: blocks, batch: Vec::new().into_iter() }
    }

    fn read(&self, from: u64, to: Option<u64>, sender: &Sender) -> Result<Next, Loss> {
        let to = to.map_or(self.total, |to| to.min(self.total));
        for offset in [from, to] {
            if offset != self.total && !offset.is_multiple_of(self.block) {
                return Err(self.loss(offset, format!("offset {offset} is inside a block")));
            }
        }
        let wrong = |offset| move |error: io::Error| self.loss(offset, error.to_string());
        let mut file = File::open(&self.path).map_err(wrong(from))?;
        file.seek(SeekFrom::Start(from)).map_err(wrong(from))?;
        let mut offset = from;
        // The first goes out at once.
        let mut most = 1;
        while offset < to {
            let mut batch = Vec::with_capacity(most);
            while offset < to && batch.len() < most {
                match self.block(&mut file, offset, (to - offset).min(self.block)) {
                    Ok(block) => batch.push(Next::Block(block)),
                    Err(loss) => {
                        // What is good goes first.
                        let _ = sender.blocking_send(batch);
                        return Err(loss);
                    }
                }
                offset += self.block;
            }
            if sender.blocking_send(batch).is_err() {
                return Ok(Next::Gone);
            }
            most = (BATCH as u64 / self.block).max(1).try_into().unwrap_or(usize::MAX);
        }
        Ok(Next::End(End { length: to }))
    }

    /// Reads what is before the offset `to` for the digests, where they are not known. What cannot
    /// be read stays unknown.
    pub(super) fn learn(this: &Weak<Self>, to: u64) {
        let mut file = None;
        let mut offset = 0;
        while let Some(feed) = this.upgrade().filter(|feed| offset < to.min(feed.total)) {
            match feed.learn_block(&mut file, offset) {
                Some(next) => offset = next,
                None => return,
            }
        }
    }

    /// Where the block after that at `offset` begins; none if the block cannot be read.
    fn learn_block(&self, file: &mut Option<File>, offset: u64) -> Option<u64> {
        let length = self.block.min(self.total - offset);
        let number = usize::try_from(offset / self.block).ok()?;
        if self.digests().get(number)?.is_none() {
            let file = match file {
                Some(file) => file,
                None => file.insert(File::open(&self.path).ok()?),
            };
            file.seek(SeekFrom::Start(offset)).ok()?;
            self.block(file, offset, length).ok()?;
        }
        Some(offset + length)
    }

    /// The block of `length` bytes at `offset`, where `file` is.
    fn block(&self, file: &mut File, offset: u64, length: u64) -> Result<Block, Loss> {
        let wrong = |error: io::Error| self.loss(offset, error.to_string());
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(usize::MAX));
        let read = file.take(length).read_to_end(&mut bytes).map_err(wrong)?;
        if read as u64 != length {
            return Err(wrong(io::ErrorKind::UnexpectedEof.into()));
        }
        let block = Block::new(offset, bytes.into());
        self.know(&block)?;
        Ok(block)
    }

    /// Keeps the digest of a block; each has only one.
    fn know(&self, block: &Block) -> Result<(), Loss> {
        let number = usize::try_from(block.offset / self.block).unwrap_or(usize::MAX);
        match self.digests().get_mut(number) {
            Some(known) if known.is_none_or(|known| known == block.digest) => {
                *known = Some(block.digest);
                Ok(())
            }
            _ => Err(self.loss(block.offset, "the file was changed meanwhile".to_owned())),
        }
    }

    fn loss(&self, offset: u64, why: String) -> Loss {
        Loss {
            node: "the server".into(),
            peer: "the file".into(),
            address: self.path.display().to_string(),
            block: offset / self.block,
            offset,
            cause: Cause::File,
            why,
        }
    }
}

/// From the thread that reads.
type Sender = mpsc::Sender<Vec<Next>>;

/// Blocks of a file.
pub(super) struct FromFile {
    batches: mpsc::Receiver<Vec<Next>>,
    batch: vec::IntoIter<Next>,
}

impl Blocks for FromFile {
    async fn next(&mut self) -> Next {
        loop {
            if let Some(next) = self.batch.next() {
                return next;
            }
            match self.batches.recv().await {
                Some(batch) => self.batch = batch.into_iter(),
                None => return Next::Gone,
            }
        }
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
        let mut blocks = feed.blocks(from, None);
        let mut offsets = Vec::new();
        loop {
            match blocks.next().await {
                Next::Block(block) => offsets.push(block.offset),
                last => return (offsets, last),
            }
        }
    }

    #[tokio::test]
    async fn the_digest_is_of_the_whole_in_whatever_pieces_it_was_read() {
        let (_file, feed) = feed(2500).await;
        let whole = {
            let mut chain = Chain::default();
            for (offset, length) in [(0, BLOCK), (1000, BLOCK), (2000, 500)] {
                chain.add(&Block::new(offset, vec![7; length].into()));
            }
            chain.digest()
        };
        for (from, to, offsets, known) in [
            (1000, Some(2000), vec![1000], None),
            (0, Some(1000), vec![0], None),
            (2000, Some(9000), vec![2000], Some(whole.as_str())),
        ] {
            let mut blocks = feed.blocks(from, to);
            for offset in offsets {
                let next = blocks.next().await;
                assert!(matches!(&next, Next::Block(block) if block.offset == offset), "{next:?}");
            }
            let Next::End(end) = blocks.next().await else { panic!("no end") };
            assert_eq!(end.length, to.unwrap().min(2500));
            assert_eq!(feed.digest(), known);
        }
    }

    #[tokio::test]
    async fn a_file_that_changes_breaks_the_stream_where_it_did() {
        let (file, feed) = feed(2500).await;
        assert_eq!(read(&feed, 0).await.0, [0, 1000, 2000]);
        std::fs::write(file.path(), [vec![7; 1500], vec![8; 1000]].concat()).unwrap();
        let (offsets, last) = read(&feed, 0).await;
        let Next::Broken(loss) = last else { panic!("{last:?}") };
        assert_eq!((offsets, loss.block), (vec![0], 1));
        assert_eq!(loss.why, "the file was changed meanwhile");
    }

    #[tokio::test]
    async fn any_block_can_be_the_first() {
        let (_file, feed) = feed(2500).await;
        for (from, expected) in [(2000, vec![2000]), (0, vec![0, 1000, 2000]), (3000, vec![])] {
            let (offsets, last) = read(&feed, from).await;
            assert_eq!(offsets, expected);
            let Next::End(end) = last else { panic!("{last:?}") };
            assert_eq!(end.length, 2500);
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
