//! One file sent to one client.

use super::{Limits, content::Content, line::Line, options::Agreed};
use crate::{Delivery, assets::Pieces};
use bytes::Bytes;
use std::{io, time::Duration};
use tftpd::{ErrorCode, Packet};
use tokio::time::Instant;

/// Between the parts of a window that is not sent in one go any more.
const PAUSE: Duration = Duration::from_millis(1);
/// A window that arrived whole makes the next parts larger by this share of the window.
const GROWTH: usize = 8;

/// Why a transfer ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The client sent an ERROR packet.
    #[error("the client gave up: {code} ({text})")]
    Client { code: ErrorCode, text: String },
    /// Nothing was acknowledged, however often it was sent.
    #[error("the client stopped answering at block {block}")]
    Silent { block: u64 },
    /// The socket or the file failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A transfer, once the options are agreed.
pub(super) struct Transfer<'a> {
    pub(super) line: &'a Line,
    pub(super) pieces: &'a Pieces,
    pub(super) agreed: &'a Agreed,
    pub(super) limits: &'a Limits,
}

/// Blocks that were sent, or are to be, and are not yet acknowledged.
struct Window {
    /// Bytes that were acknowledged.
    base: u64,
    /// Number of the first block.
    first: u16,
    /// Blocks acknowledged so far.
    done: u64,
    /// Blocks in the window, and their bytes.
    blocks: usize,
    bytes: usize,
    /// The last block of all is among them.
    last: bool,
    /// Blocks from the front that went out since something last changed.
    sent: usize,
    /// A repeated acknowledgement may start the window again. At most one does
    /// between two steps forward, or each packet would breed another (RFC 1123,
    /// section 4.2.3.1).
    restart: bool,
    /// Blocks sent in one go. The client counts on the agreed window and answers nothing before it is
    /// full, so it stays as it is; but when some of it was lost, it is sent in smaller parts.
    burst: usize,
}

impl Transfer<'_> {
    /// Sends all of `content`, counting in `delivery` what was acknowledged.
    pub(super) async fn send(
        &self,
        mut content: Content,
        delivery: &mut Delivery,
    ) -> Result<(), Broken> {
        if !self.agreed.answer.is_empty() {
            self.agree().await?;
        }
        let mut window = Window::new(self.agreed.window.into());
        loop {
            window.fill(self.agreed, &mut content).await?;
            delivery.add(self.exchange(&mut window, &content).await?);
            if window.last && window.blocks == 0 {
                return Ok(());
            }
        }
    }

    /// Sends what was agreed until the client acknowledges it with block 0 (RFC 2347).
    async fn agree(&self) -> Result<(), Broken> {
        let oack = encode(&Packet::Oack(self.agreed.answer.clone()))?;
        for _ in 0..self.limits.sends {
            self.line.send(&oack).await?;
            let deadline = Instant::now() + self.agreed.timeout;
            while let Some(block) = self.line.acknowledged(deadline).await? {
                if block == 0 {
                    return Ok(());
                }
            }
        }
        Err(Broken::Silent { block: 0 })
    }

    /// Sends what is to be sent, again on silence, until some of it is
    /// acknowledged. Returns how many bytes of content that was.
    async fn exchange(&self, window: &mut Window, content: &Content) -> Result<u64, Broken> {
        for _ in 0..self.limits.sends {
            let mut deadline = self.send_part(window, content).await?;
            loop {
                let Some(block) = self.line.acknowledged(deadline).await? else {
                    if window.sent == window.blocks {
                        break;
                    }
                    deadline = self.send_part(window, content).await?;
                    continue;
                };
                match usize::from(block.wrapping_sub(window.first).wrapping_add(1)) {
                    // The first of several was lost: the client tells what it had before.
                    0 if window.restart && self.agreed.window > 1 => {
                        window.restart = false;
                        window.lost();
                        deadline = self.send_part(window, content).await?;
                    }
                    count if (1..=window.blocks).contains(&count) => {
                        return Ok(window.advance(count, self.agreed));
                    }
                    _ => {}
                }
            }
            window.lost();
        }
        Err(Broken::Silent { block: window.done + 1 })
    }

    /// Sends the next part of the window; until when to wait for an answer.
    async fn send_part(&self, window: &mut Window, content: &Content) -> io::Result<Instant> {
        let block = usize::from(self.agreed.block_size);
        let count = (window.blocks - window.sent).min(window.burst);
        let start = window.sent * block;
        let len = (window.bytes - start).min(count * block);
        let mut parts: Vec<Bytes> = Vec::with_capacity(4);
        content.get(self.pieces, window.base + start as u64, len, &mut parts).await?;
        // The window is a u16.
        let number = window.first.wrapping_add(u16::try_from(window.sent).unwrap_or(u16::MAX));
        self.line.send_blocks(&parts, block, number, count).await?;
        window.sent += count;
        let all = window.sent == window.blocks;
        Ok(Instant::now() + if all { self.agreed.timeout } else { PAUSE })
    }
}

impl Window {
    fn new(burst: usize) -> Self {
        let (base, first, done, blocks, bytes) = (0, 1, 0, 0, 0);
        Self { base, first, done, blocks, bytes, last: false, sent: 0, restart: true, burst }
    }

    /// Takes in what follows, up to the agreed window.
    async fn fill(&mut self, agreed: &Agreed, content: &mut Content) -> io::Result<()> {
        let (block, window) = (usize::from(agreed.block_size), usize::from(agreed.window));
        self.bytes = content.available(self.base, window * block).await?;
        self.last = self.bytes < window * block;
        // A block that is not full ends a transfer, an empty one if need be.
        self.blocks = if self.last { self.bytes / block + 1 } else { window };
        Ok(())
    }

    /// All goes out again, in smaller parts.
    fn lost(&mut self) {
        self.sent = 0;
        self.burst = (self.burst / 2).max(1);
    }

    /// The first `count` blocks arrived. If they are not all that was sent, the
    /// one after them was lost, and the rest goes out again (RFC 7440 section 4).
    fn advance(&mut self, count: usize, agreed: &Agreed) -> u64 {
        let window = usize::from(agreed.window);
        self.restart = count >= self.sent;
        if self.restart {
            self.burst = (self.burst + (window / GROWTH).max(1)).min(window);
        } else {
            self.lost();
        }
        let bytes = self.bytes.min(count * usize::from(agreed.block_size));
        self.sent = 0;
        self.done += count as u64;
        // `count` is at most the window, a u16.
        self.first = self.first.wrapping_add(u16::try_from(count).unwrap_or(u16::MAX));
        self.base += bytes as u64;
        self.bytes -= bytes;
        self.blocks -= count;
        bytes as u64
    }
}

pub(super) fn encode(packet: &Packet) -> io::Result<Bytes> {
    packet.serialize().map(Bytes::from).map_err(io::Error::other)
}

/// An ERROR packet.
pub(super) fn refusal(code: ErrorCode, text: &str) -> Bytes {
    // The codec fails for no packet of this kind; an empty datagram would be ignored.
    encode(&Packet::Error { code, msg: text.to_owned() }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(window: u16) -> Agreed {
        Agreed { block_size: 512, window, timeout: Duration::from_secs(1), answer: Vec::new() }
    }

    /// A window of which all was sent.
    fn sent(window: &mut Window, blocks: usize) {
        (window.blocks, window.bytes, window.sent) = (blocks, blocks * 512, blocks);
    }

    #[test]
    fn loss_makes_the_parts_of_a_window_smaller_and_whole_windows_larger() {
        let agreed = agreed(64);
        let mut window = Window::new(64);
        for expected in [32, 16, 8, 4, 2, 1, 1] {
            sent(&mut window, 64);
            // The eleventh did not arrive.
            assert_eq!(window.advance(10, &agreed), 10 * 512);
            assert_eq!((window.burst, window.sent, window.blocks), (expected, 0, 54));
        }
        for expected in [9, 17, 25, 33, 41, 49, 57, 64, 64] {
            sent(&mut window, 64);
            window.advance(64, &agreed);
            assert_eq!(window.burst, expected);
        }
        sent(&mut window, 64);
        window.lost();
        assert_eq!((window.burst, window.sent), (32, 0), "silence is loss as well");
    }

    #[test]
    fn the_last_block_is_not_full() {
        let mut window = Window::new(4);
        (window.blocks, window.bytes, window.last, window.sent) = (3, 2 * 512 + 7, true, 3);
        assert_eq!(window.advance(3, &agreed(4)), 2 * 512 + 7);
        assert_eq!((window.blocks, window.bytes, window.base), (0, 0, 2 * 512 + 7));
    }
}
