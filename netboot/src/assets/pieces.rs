//! What was read of files, shared by all who send them.

use super::{Asset, FileId};
use bytes::Bytes;
use lru::LruCache;
use std::{
    io,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OnceCell;

/// Bytes read at once. Larger ones come from memory that the allocator takes from the kernel anew.
const PIECE: usize = 64 * 1024;

type Cell = Arc<OnceCell<Bytes>>;

/// The pieces of files that were read last, up to a number of bytes. A thousand machines that load one
/// kernel have it read once, and at most once at a time.
#[derive(Debug)]
pub(crate) struct Pieces(Mutex<LruCache<(FileId, u64), Cell>>);

impl Pieces {
    /// Keeps at most about `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        let pieces = NonZeroUsize::new(bytes / PIECE).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::new(pieces)))
    }

    /// Appends the `len` bytes of `asset` from `offset` on to `into`, in a few parts.
    ///
    /// # Errors
    /// The file cannot be read, or became shorter than it was when opened.
    pub(crate) async fn get(
        &self,
        asset: &Asset,
        mut offset: u64,
        mut len: usize,
        into: &mut Vec<Bytes>,
    ) -> io::Result<()> {
        let Asset::File { id, .. } = asset else {
            into.push(asset.read_at(offset, len).await?);
            return Ok(());
        };
        while len > 0 {
            let number = offset / PIECE as u64;
            let cell = self.cell((*id, number));
            let read = || asset.read_at(number * PIECE as u64, PIECE);
            let piece = cell.get_or_try_init(read).await?;
            let start = usize::try_from(offset % PIECE as u64).unwrap_or(PIECE);
            let end = piece.len().min(start.saturating_add(len));
            if end <= start {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            into.push(piece.slice(start..end));
            offset += (end - start) as u64;
            len -= end - start;
        }
        Ok(())
    }

    fn cell(&self, key: (FileId, u64)) -> Cell {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(kept.get_or_insert(key, Cell::default))
    }

    /// Forgets all: nobody sends anything now.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::content;
    use std::fs::File;

    fn asset(bytes: &[u8]) -> (tempfile::NamedTempFile, Asset) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let asset = Asset::file(File::open(file.path()).unwrap()).unwrap();
        (file, asset)
    }

    async fn get(pieces: &Pieces, asset: &Asset, offset: usize, len: usize) -> io::Result<Vec<u8>> {
        let mut parts = Vec::new();
        pieces.get(asset, offset as u64, len, &mut parts).await?;
        Ok(parts.concat())
    }

    #[tokio::test]
    async fn any_part_is_what_the_file_has_there() {
        let bytes = content(3 * PIECE + 17);
        let (_file, asset) = asset(&bytes);
        // Fewer than the file has: some are forgotten on the way.
        let pieces = Pieces::new(2 * PIECE);
        for (offset, len) in
            [(0, 1), (PIECE - 1, 2), (5, 3 * PIECE), (3 * PIECE, 17), (0, bytes.len()), (7, 0)]
        {
            let read = get(&pieces, &asset, offset, len).await.unwrap();
            assert!(read == bytes[offset..offset + len], "{len} bytes at {offset}");
        }
        assert!(pieces.0.lock().unwrap().len() <= 2);
        assert!(get(&pieces, &asset, 3 * PIECE, 18).await.is_err(), "there are only 17 bytes");
    }

    #[tokio::test]
    async fn a_piece_is_read_once_for_all_and_again_when_the_file_is_another() {
        let (file, first) = asset(b"first");
        let pieces = Pieces::new(1024 * 1024);
        assert_eq!(get(&pieces, &first, 0, 5).await.unwrap(), b"first");
        // A file that is replaced is another; the old one is what was opened.
        let other = file.path().with_extension("other");
        std::fs::write(&other, b"other").unwrap();
        std::fs::rename(&other, file.path()).unwrap();
        let second = Asset::file(File::open(file.path()).unwrap()).unwrap();
        assert_eq!(get(&pieces, &second, 0, 5).await.unwrap(), b"other");
        assert_eq!(get(&pieces, &first, 0, 5).await.unwrap(), b"first");
        assert_eq!(pieces.0.lock().unwrap().len(), 2);
        pieces.clear();
        assert_eq!(pieces.0.lock().unwrap().len(), 0);
    }
}
