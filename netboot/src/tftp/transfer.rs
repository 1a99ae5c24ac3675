//! One file sent to one client.

use super::{Limits, blocks::Blocks, options::Agreed};
use crate::Delivery;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tftpd::{ErrorCode, Packet};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};

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

/// The two ends of a transfer.
pub(super) struct Line {
    pub(super) socket: UdpSocket,
    pub(super) client: SocketAddr,
    /// Set when the client was first heard on this socket.
    pub(super) heard: Arc<AtomicBool>,
}

/// Packets that were sent and not yet acknowledged.
struct Window {
    packets: VecDeque<(Bytes, usize)>,
    /// Number of the first packet.
    first: u16,
    /// Blocks acknowledged so far.
    done: u64,
    /// Packets from the front that went out since something last changed.
    sent: usize,
    /// A repeated acknowledgement may start the window again. At most one does
    /// between two steps forward, or each packet would breed another (RFC 1123,
    /// section 4.2.3.1).
    restart: bool,
}

/// Sends all of `blocks`, counting in `delivery` what was acknowledged.
pub(super) async fn send(
    line: &Line,
    mut blocks: Blocks,
    agreed: &Agreed,
    limits: &Limits,
    delivery: &mut Delivery,
) -> Result<(), Broken> {
    if !agreed.answer.is_empty() {
        agree(line, agreed, limits).await?;
    }
    let mut window = Window { packets: VecDeque::new(), first: 1, done: 0, sent: 0, restart: true };
    loop {
        while window.packets.len() < usize::from(agreed.window) {
            let Some(packet) = blocks.next().await? else { break };
            window.packets.push_back(packet);
        }
        if window.packets.is_empty() {
            return Ok(());
        }
        delivery.add(window.exchange(line, agreed, limits).await?);
    }
}

/// Sends what was agreed until the client acknowledges it with block 0 (RFC 2347).
async fn agree(line: &Line, agreed: &Agreed, limits: &Limits) -> Result<(), Broken> {
    let oack = encode(&Packet::Oack(agreed.answer.clone()))?;
    for _ in 0..limits.sends {
        line.socket.send_to(&oack, line.client).await?;
        let deadline = Instant::now() + agreed.timeout;
        while let Some(block) = line.acknowledged(deadline).await? {
            if block == 0 {
                return Ok(());
            }
        }
    }
    Err(Broken::Silent { block: 0 })
}

impl Window {
    /// Sends what is to be sent, again on silence, until some of it is
    /// acknowledged. Returns how many bytes of content that was.
    async fn exchange(
        &mut self,
        line: &Line,
        agreed: &Agreed,
        limits: &Limits,
    ) -> Result<u64, Broken> {
        for _ in 0..limits.sends {
            self.send_rest(line).await?;
            let deadline = Instant::now() + agreed.timeout;
            while let Some(block) = line.acknowledged(deadline).await? {
                match usize::from(block.wrapping_sub(self.first).wrapping_add(1)) {
                    // The first of several was lost: the client tells what it had before.
                    0 if self.restart && agreed.window > 1 => {
                        self.restart = false;
                        self.sent = 0;
                        self.send_rest(line).await?;
                    }
                    count if (1..=self.packets.len()).contains(&count) => {
                        return Ok(self.advance(count));
                    }
                    _ => {}
                }
            }
            self.sent = 0;
        }
        Err(Broken::Silent { block: self.done + 1 })
    }

    async fn send_rest(&mut self, line: &Line) -> io::Result<()> {
        for (packet, _) in self.packets.range(self.sent..) {
            line.socket.send_to(packet, line.client).await?;
        }
        self.sent = self.packets.len();
        Ok(())
    }

    /// The first `count` packets arrived. If they are not all that was sent, the
    /// one after them was lost, and the rest goes out again (RFC 7440 section 4).
    fn advance(&mut self, count: usize) -> u64 {
        self.restart = count == self.sent;
        self.sent = 0;
        self.done += count as u64;
        // `count` is at most the window, a u16.
        self.first = self.first.wrapping_add(u16::try_from(count).unwrap_or(u16::MAX));
        self.packets.drain(..count).map(|(_, len)| len as u64).sum()
    }
}

impl Line {
    /// The next acknowledgement of the client before `deadline`. Others that send
    /// to this socket are told so, and disturb nothing (RFC 1350 section 4).
    async fn acknowledged(&self, deadline: Instant) -> Result<Option<u16>, Broken> {
        /// An ACK has 4 bytes; an ERROR text longer than this is cut.
        const ANSWER: usize = 516;
        let mut buffer = [0; ANSWER];
        while let Ok(received) = timeout_at(deadline, self.socket.recv_from(&mut buffer)).await {
            let (len, from) = received?;
            let packet = Packet::deserialize(&buffer[..len]).ok();
            if from != self.client {
                if !matches!(packet, Some(Packet::Error { .. })) {
                    let unknown = refusal(ErrorCode::UnknownId, "this transfer is not yours");
                    self.socket.send_to(&unknown, from).await.ok();
                }
                continue;
            }
            self.heard.store(true, Ordering::Relaxed);
            match packet {
                Some(Packet::Ack(block)) => return Ok(Some(block)),
                Some(Packet::Error { code, msg }) => {
                    return Err(Broken::Client { code, text: msg });
                }
                _ => {}
            }
        }
        Ok(None)
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
