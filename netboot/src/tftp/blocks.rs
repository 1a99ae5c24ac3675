//! Content cut into DATA packets.

use super::transfer::encode;
use crate::Asset;
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use tftpd::Packet;

/// Least read at once, in bytes: a read from disk costs a visit to another thread.
const READ: usize = 16 * 1024;

/// The DATA packets of an asset, in order.
pub(super) struct Blocks {
    asset: Asset,
    netascii: bool,
    block_size: usize,
    read_size: usize,
    offset: u64,
    buffer: BytesMut,
    number: u16,
    ended: bool,
}

impl Blocks {
    pub(super) fn new(asset: Asset, netascii: bool, block_size: u16, window: u16) -> Self {
        let block_size = usize::from(block_size);
        Self {
            asset,
            netascii,
            block_size,
            read_size: READ.max(block_size * usize::from(window)),
            offset: 0,
            buffer: BytesMut::new(),
            number: 0,
            ended: false,
        }
    }

    /// The next packet and the length of its data; nothing after the short block
    /// that ends a transfer.
    pub(super) async fn next(&mut self) -> io::Result<Option<(Bytes, usize)>> {
        if self.ended {
            return Ok(None);
        }
        while self.buffer.len() < self.block_size && self.offset < self.asset.len() {
            let read = self.asset.read_at(self.offset, self.read_size).await?;
            self.offset += read.len() as u64;
            if self.netascii {
                self.buffer.extend(netascii(&read));
            } else {
                self.buffer.extend_from_slice(&read);
            }
        }
        let len = self.buffer.len().min(self.block_size);
        self.ended = len < self.block_size;
        // Block numbers go on at 0 after 65535: so do the clients that load large files.
        self.number = self.number.wrapping_add(1);
        let data = self.buffer[..len].to_vec();
        self.buffer.advance(len);
        Ok(Some((encode(&Packet::Data { block_num: self.number, data })?, len)))
    }
}

/// Lines end in CR LF, and a CR that ends no line is CR NUL (RFC 764).
fn netascii(text: &[u8]) -> impl Iterator<Item = u8> + '_ {
    text.iter()
        .flat_map(|byte| match byte {
            b'\n' => [Some(b'\r'), Some(b'\n')],
            b'\r' => [Some(b'\r'), Some(0)],
            other => [Some(*other), None],
        })
        .flatten()
}
