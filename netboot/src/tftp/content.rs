//! What a transfer sends, from any byte on.

use crate::{Asset, assets::Pieces};
use bytes::{Buf, Bytes, BytesMut};
use std::io;

/// Read at once of a text that is converted, in bytes.
const READ: usize = 16 * 1024;
/// Files up to this are read as a whole, once, and closed.
const SMALL: u64 = 16 * 1024;

/// The content of one transfer.
pub(super) enum Content {
    /// The bytes of the file.
    Octet(Asset),
    /// The text of the file with the ends of lines of the network.
    Netascii(Text),
}

/// A text on its way to another form. What is in front of the window is forgotten.
pub(super) struct Text {
    asset: Asset,
    /// Read of the file so far.
    read: u64,
    /// Bytes of the converted text in front of `buffer`.
    dropped: u64,
    buffer: BytesMut,
}

impl Content {
    pub(super) async fn new(asset: Asset, netascii: bool) -> io::Result<Self> {
        if netascii {
            let buffer = BytesMut::new();
            return Ok(Self::Netascii(Text { asset, read: 0, dropped: 0, buffer }));
        }
        let small = matches!(asset, Asset::File { .. }) && asset.len() <= SMALL;
        if small {
            Ok(Self::Octet(Asset::Bytes(asset.read_at(0, READ).await?)))
        } else {
            Ok(Self::Octet(asset))
        }
    }

    /// How many bytes there are from `offset` on, up to `want`. Nothing in front of `offset` is asked
    /// for again.
    pub(super) async fn available(&mut self, offset: u64, want: usize) -> io::Result<usize> {
        match self {
            Self::Octet(asset) => {
                let left = asset.len().saturating_sub(offset);
                Ok(usize::try_from(left).unwrap_or(want).min(want))
            }
            Self::Netascii(text) => text.fill(offset, want).await,
        }
    }

    /// Appends `len` bytes from `offset` on to `into`; they are available.
    pub(super) async fn get(
        &self,
        pieces: &Pieces,
        offset: u64,
        len: usize,
        into: &mut Vec<Bytes>,
    ) -> io::Result<()> {
        match self {
            Self::Octet(asset) => pieces.get(asset, offset, len, into).await,
            Self::Netascii(text) => {
                let start = usize::try_from(offset - text.dropped).unwrap_or(usize::MAX);
                into.push(Bytes::copy_from_slice(&text.buffer[start..start + len]));
                Ok(())
            }
        }
    }
}

impl Text {
    async fn fill(&mut self, offset: u64, want: usize) -> io::Result<usize> {
        let gone = usize::try_from(offset - self.dropped).unwrap_or(usize::MAX);
        self.buffer.advance(gone.min(self.buffer.len()));
        self.dropped = offset;
        while self.buffer.len() < want && self.read < self.asset.len() {
            let read = self.asset.read_at(self.read, READ).await?;
            self.read += read.len() as u64;
            self.buffer.extend(netascii(&read));
        }
        Ok(self.buffer.len().min(want))
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
