//! What was written, in one digest, without hashing a byte again.
//!
//! Each block comes with its digest, and that is checked once, on arrival. What a command
//! took is then proven by the BLAKE3 digest of the *sequence* of blocks written to it:
//! for each its offset (8 bytes, big-endian), length (8 bytes, big-endian) and digest
//! (32 bytes). A block that is missing, doubled, out of order or another one changes it.

use crate::frame::Block;

/// The digest of a sequence of blocks, while it grows.
#[derive(Debug, Default)]
pub(crate) struct Chain(blake3::Hasher);

impl Chain {
    /// Adds a block, which counts as having the digest it carries.
    pub(crate) fn add(&mut self, block: &Block) {
        self.link(block.offset, block.bytes.len() as u64, block.digest);
    }

    /// Adds a block of `length` bytes at `offset` by its digest.
    pub(crate) fn link(&mut self, offset: u64, length: u64, digest: blake3::Hash) {
        self.0.update(&offset.to_be_bytes());
        self.0.update(&length.to_be_bytes());
        self.0.update(digest.as_bytes());
    }

    /// The digest of the blocks so far, hexadecimal.
    pub(crate) fn digest(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chain<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> String {
        let mut chain = Chain::default();
        blocks.into_iter().for_each(|block| chain.add(block));
        chain.digest()
    }

    /// A file of random bytes, cut into blocks.
    fn blocks() -> impl Strategy<Value = Vec<Block>> {
        (prop::collection::vec(any::<u8>(), 2..600), 1usize..100).prop_map(|(bytes, size)| {
            let block = |(number, piece): (usize, &[u8])| {
                Block::new((number * size) as u64, piece.to_vec().into())
            };
            bytes.chunks(size).enumerate().map(block).collect()
        })
    }

    proptest! {
        #[test]
        fn every_difference_changes_it(
            blocks in blocks(),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let whole = chain(&blocks);
            let at = at.index(blocks.len());
            let with = |block: Block| {
                let mut blocks = blocks.clone();
                blocks[at] = block;
                chain(&blocks)
            };
            let Block { offset, digest, bytes } = blocks[at].clone();
            let mut flipped = bytes.to_vec();
            flipped[at % bytes.len()] ^= 1 << bit;
            prop_assert_ne!(&whole, &with(Block::new(offset, flipped.into())));
            prop_assert_ne!(&whole, &with(Block { offset: offset ^ 1, digest, bytes: bytes.clone() }));
            let longer = [&bytes[..], &[0]].concat().into();
            prop_assert_ne!(&whole, &with(Block { offset, digest, bytes: longer }));

            prop_assert_ne!(&whole, &chain(blocks.iter().take(at)), "cut");
            prop_assert_ne!(&whole, &chain(blocks.iter().chain(&blocks[at..=at])), "doubled");
            if at > 0 {
                let mut blocks = blocks.clone();
                blocks.swap(at - 1, at);
                prop_assert_ne!(&whole, &chain(&blocks), "out of order");
            }
        }
    }

    /// By the words of the module, so that another program can compute it.
    #[test]
    fn it_is_the_digest_of_offsets_lengths_and_digests() {
        let blocks = [Block::new(0, "abc".into()), Block::new(3, "d".into())];
        let mut bytes = Vec::new();
        for (offset, length, text) in [(0u64, 3u64, "abc"), (3, 1, "d")] {
            bytes.extend(offset.to_be_bytes());
            bytes.extend(length.to_be_bytes());
            bytes.extend(blake3::hash(text.as_bytes()).as_bytes());
        }
        assert_eq!(chain(&blocks), blake3::hash(&bytes).to_hex().to_string());
    }
}
