//! Torrent files: bencoding (BEP 3), and no more of it than one file needs.

use sha1::{Digest, Sha1};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Bytes of a piece: an image of 4 GB has a thousand, whose hashes are 20 KB.
const PIECE: usize = 4 << 20;

/// What every torrent of one file has in common.
pub(super) struct Info {
    /// Bencoded.
    bytes: Vec<u8>,
    /// SHA-1 of it: what the swarm is known by.
    pub(super) hash: [u8; 20],
    /// Bytes of the file.
    pub(super) length: u64,
}

impl Info {
    /// Reads the file, which is to be called `name`.
    pub(super) fn of(path: &Path, name: &str) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let (mut pieces, mut length, mut piece) = (Vec::new(), 0, Vec::with_capacity(PIECE));
        loop {
            piece.clear();
            file.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
            if piece.is_empty() {
                break;
            }
            length += piece.len() as u64;
            pieces.extend_from_slice(&Sha1::digest(&piece));
        }
        let head = format!("d6:lengthi{length}e4:name{}:{name}", name.len());
        let middle = format!("12:piece lengthi{PIECE}e6:pieces{}:", pieces.len());
        let bytes = [head.as_bytes(), middle.as_bytes(), &pieces, b"e"].concat();
        let hash = Sha1::digest(&bytes).into();
        Ok(Self { bytes, hash, length })
    }

    /// The torrent file of a peer that announces itself at `announce`. Others may not tell it of
    /// peers (`private` is not set: they are told of peers by one another as well, but no peer
    /// outside knows the hash).
    pub(super) fn torrent(&self, announce: &str) -> Vec<u8> {
        let head = format!("d8:announce{}:{announce}4:info", announce.len());
        [head.as_bytes(), &self.bytes, b"e"].concat()
    }
}
