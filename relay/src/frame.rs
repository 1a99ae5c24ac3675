//! Frames: what both kinds of connection carry.

use crate::message::{Message, Pace};
use bytes::{Buf, Bytes, BytesMut};
use rustix::net::sockopt::set_tcp_congestion;
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

/// Opens each direction of each connection. The number is [`PROTOCOL`].
pub const PREAMBLE: [u8; 16] = *b"kadence-relay/4\n";

/// Version of the protocol: two programs with different ones do not talk.
pub const PROTOCOL: u32 = 4;

/// Longest message: a command with its end of stderr fits, a mistaken length does not.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// Longest block. A relay holds a ring of them, so this bounds its memory.
pub const MAX_BLOCK: usize = 16 * 1024 * 1024;

const KIND_MESSAGE: u8 = 1;
const KIND_BLOCK: u8 = 2;
const HEADER: usize = 5;
const BLOCK_HEADER: usize = 8 + blake3::OUT_LEN;

/// How TCP finds its speed. Each link of a line is to carry the stream at the same speed: one that
/// sends a little slower for a moment, to look for a shorter queue as BBR does, never makes up for
/// it, and the moments of all links add up (6 % with 16 nodes, with this nothing).
const CONGESTION: &str = "cubic";

/// Read beyond the end of a frame if it is there: what the next one begins with, so that a block
/// takes no more calls than its bytes do.
const AHEAD: usize = HEADER + BLOCK_HEADER;

/// A piece of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it begins in the file, bytes.
    pub offset: u64,
    /// BLAKE3 digest of `bytes`, as computed by the server.
    pub digest: blake3::Hash,
    /// The piece.
    pub bytes: Bytes,
}

impl Block {
    /// The block of `bytes` at `offset`, with its digest computed.
    pub fn new(offset: u64, bytes: Bytes) -> Self {
        Self { offset, digest: blake3::hash(&bytes), bytes }
    }

    /// Do the bytes have the digest they came with? They are shared and cannot change, so
    /// one look is enough for every reader of the block.
    pub fn is_intact(&self) -> bool {
        blake3::hash(&self.bytes) == self.digest
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// Anything but data.
    Message(Message),
    /// Data.
    Block(Block),
}

/// Why a frame could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side closed between two frames.
    #[error("the connection was closed")]
    Closed,
    /// The connection failed, also by closing inside a frame.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    /// Not one byte came for so long.
    #[error("nothing was heard for {}", seconds(*.0))]
    Silent(Duration),
    /// Not our protocol, or another version of it.
    #[error("it speaks {0:?}, not {expected:?}", expected = String::from_utf8_lossy(&PREAMBLE))]
    Preamble(String),
    /// A frame that cannot be.
    #[error("a frame of kind {kind} and {length} bytes, which the protocol does not have")]
    Header {
        /// First byte.
        kind: u8,
        /// The length it claims.
        length: usize,
    },
    /// A message that cannot be read.
    #[error("a message that cannot be read: {0}")]
    Message(#[from] serde_json::Error),
    /// A message where another one belongs.
    #[error("a {got} message in place of {wanted}")]
    Unexpected {
        /// What the protocol has here.
        wanted: &'static str,
        /// What came.
        got: &'static str,
    },
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f32())
}

/// The reading half of a connection.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    silence: Duration,
    pace: Pace,
    /// Bytes that came with those before.
    buffer: BytesMut,
    /// Memory of a block that is not needed any more.
    spare: Option<BytesMut>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads frames of `stream`, whose preamble has been read; gives up when no byte
    /// comes for `silence`.
    pub fn new(stream: R, silence: Duration) -> Self {
        Self { stream, silence, pace: Pace::default(), buffer: BytesMut::new(), spare: None }
    }

    /// The next frame. Not cancel-safe: dropping the future inside a frame loses it.
    ///
    /// # Errors
    /// Any [`FrameError`] but `Preamble`; the connection is of no use after it.
    pub async fn next(&mut self) -> Result<Frame, FrameError> {
        match self.header().await? {
            (KIND_BLOCK, length) => self.block_body(length).await.map(Frame::Block),
            (_, length) => self.message_body(length).await.map(Frame::Message),
        }
    }

    /// The next frame, which is a message; a block is refused before its bytes are read.
    ///
    /// # Errors
    /// As [`FrameReader::next`].
    pub async fn message(&mut self, wanted: &'static str) -> Result<Message, FrameError> {
        match self.header().await? {
            (KIND_BLOCK, _) => Err(FrameError::Unexpected { wanted, got: "block" }),
            (_, length) => self.message_body(length).await,
        }
    }

    /// Kind and length of a frame that can be.
    async fn header(&mut self) -> Result<(u8, usize), FrameError> {
        let header = self.fill(HEADER, true).await?;
        let kind = header[0];
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        match kind {
            KIND_MESSAGE if length <= MAX_MESSAGE => Ok((kind, length)),
            KIND_BLOCK if (BLOCK_HEADER + 1..=BLOCK_HEADER + MAX_BLOCK).contains(&length) => {
                Ok((kind, length))
            }
            _ => Err(FrameError::Header { kind, length }),
        }
    }

    async fn message_body(&mut self, length: usize) -> Result<Message, FrameError> {
        Ok(serde_json::from_slice(&self.fill(length, false).await?)?)
    }

    /// How the blocks since the last call came: what each took from its first byte to its last.
    pub fn take_pace(&mut self) -> Pace {
        std::mem::take(&mut self.pace)
    }

    async fn block_body(&mut self, length: usize) -> Result<Block, FrameError> {
        let begun = Instant::now();
        let head = self.fill(BLOCK_HEADER, false).await?;
        let (mut offset, mut digest) = ([0; 8], [0; blake3::OUT_LEN]);
        offset.copy_from_slice(&head[..8]);
        digest.copy_from_slice(&head[8..]);
        let bytes = self.fill(length - BLOCK_HEADER, false).await?;
        self.pace.add(Pace::of(length as u64, begun.elapsed()));
        Ok(Block { offset: u64::from_be_bytes(offset), digest: digest.into(), bytes })
    }

    /// Reads the other side's preamble.
    async fn preamble(&mut self) -> Result<(), FrameError> {
        let got = self.fill(PREAMBLE.len(), true).await?;
        if got[..] == PREAMBLE {
            return Ok(());
        }
        Err(FrameError::Preamble(String::from_utf8_lossy(&got).into_owned()))
    }

    /// Takes the memory of a block, if nobody else has it, for another one: memory that was never
    /// touched costs more than all that is done with a block otherwise.
    pub fn recycle(&mut self, block: Block) {
        if let Ok(mut spare) = block.bytes.try_into_mut() {
            spare.clear();
            self.spare = Some(spare);
        }
    }

    /// Room in the buffer for a piece of `length` bytes, and what is read ahead.
    fn make_room(&mut self, length: usize) {
        let missing = length.saturating_sub(self.buffer.len());
        if missing == 0 {
            return;
        }
        if missing > MAX_MESSAGE / 2
            && let Some(mut spare) = self.spare.take()
        {
            spare.reserve(length + AHEAD);
            spare.extend_from_slice(&self.buffer);
            self.buffer = spare;
        }
        self.buffer.reserve(missing + AHEAD);
    }

    /// Exactly `length` bytes. The silence is counted anew with each byte that comes: a
    /// slow link is not a dead one.
    async fn fill(&mut self, length: usize, may_end: bool) -> Result<Bytes, FrameError> {
        self.make_room(length);
        while self.buffer.len() < length {
            let most = length + AHEAD - self.buffer.len();
            let mut rest = (&mut self.stream).take(most as u64);
            let read = timeout(self.silence, rest.read_buf(&mut self.buffer)).await;
            match read.map_err(|_| FrameError::Silent(self.silence))?? {
                0 if may_end && self.buffer.is_empty() => return Err(FrameError::Closed),
                0 => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
                _ => {}
            }
        }
        Ok(self.buffer.split_to(length).freeze())
    }
}

/// The writing half of a connection.
#[derive(Debug)]
pub struct FrameWriter<W> {
    stream: W,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes frames to `stream`, whose preamble has been written.
    pub fn new(stream: W) -> Self {
        Self { stream }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// `Io` when the connection broke; `Header` for a message over [`MAX_MESSAGE`].
    pub async fn message(&mut self, message: &Message) -> Result<(), FrameError> {
        Ok(self.stream.write_all(&encode(message)?).await?)
    }

    /// Sends a block; returns the bytes written.
    ///
    /// # Errors
    /// `Io` when the connection broke; `Header` for an empty block or one over
    /// [`MAX_BLOCK`].
    pub async fn block(&mut self, block: &Block) -> Result<u64, FrameError> {
        let length = BLOCK_HEADER + block.bytes.len();
        if block.bytes.is_empty() || block.bytes.len() > MAX_BLOCK {
            return Err(FrameError::Header { kind: KIND_BLOCK, length });
        }
        let mut head = header(KIND_BLOCK, length)?;
        head.extend_from_slice(&block.offset.to_be_bytes());
        head.extend_from_slice(block.digest.as_bytes());
        // In one call, and so without a small packet between two large ones.
        self.stream.write_all_buf(&mut Bytes::from(head).chain(block.bytes.clone())).await?;
        Ok((HEADER + length) as u64)
    }
}

/// The frame of a message.
pub(crate) fn encode(message: &Message) -> Result<Vec<u8>, FrameError> {
    let body = serde_json::to_vec(message)?;
    if body.len() > MAX_MESSAGE {
        return Err(FrameError::Header { kind: KIND_MESSAGE, length: body.len() });
    }
    let mut frame = header(KIND_MESSAGE, body.len())?;
    frame.extend_from_slice(&body);
    Ok(frame)
}

fn header(kind: u8, length: usize) -> Result<Vec<u8>, FrameError> {
    let size = u32::try_from(length).map_err(|_| FrameError::Header { kind, length })?;
    let mut header = vec![kind];
    header.extend_from_slice(&size.to_be_bytes());
    Ok(header)
}

impl FrameWriter<OwnedWriteHalf> {
    /// Sends a message if that can be done at once; nobody learns whether it was.
    pub(crate) fn message_at_once(&self, message: &Message) {
        if let Ok(frame) = encode(message) {
            let _ = self.stream.try_write(&frame);
        }
    }
}

/// A TCP connection after the preambles.
pub type Connection = (FrameReader<OwnedReadHalf>, FrameWriter<OwnedWriteHalf>);

/// Exchanges preambles on a new connection.
///
/// # Errors
/// `Preamble` if the other side speaks something else, `Silent` or `Io` if it says
/// nothing.
pub async fn open(stream: TcpStream, silence: Duration) -> Result<Connection, FrameError> {
    stream.set_nodelay(true)?;
    // A system without it has its own way, which does as well.
    let _ = set_tcp_congestion(&stream, CONGESTION);
    let (read, mut write) = stream.into_split();
    write.write_all(&PREAMBLE).await?;
    let mut reader = FrameReader::new(read, silence);
    reader.preamble().await?;
    Ok((reader, FrameWriter::new(write)))
}

/// Takes a connection that the other side made: preambles and its first message, all
/// within `silence`, so that a stranger cannot hold a place by dribbling.
///
/// # Errors
/// As [`open`] and [`FrameReader::message`].
pub async fn accept(
    stream: TcpStream,
    silence: Duration,
) -> Result<(Message, Connection), FrameError> {
    let greeting = async {
        let mut connection = open(stream, silence).await?;
        Ok((connection.0.message("join or get").await?, connection))
    };
    timeout(silence, greeting).await.unwrap_or(Err(FrameError::Silent(silence)))
}

#[cfg(test)]
mod tests;
