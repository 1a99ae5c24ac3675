//! Getting blocks from the peer before this node.

use super::Context;
use crate::{
    frame::{self, Frame, FrameError, FrameReader, FrameWriter},
    message::{Attach, Cause, End, Loss, Message, Pace, Peer, Timing, micros},
    ring::Ring,
};
use std::{
    io,
    net::SocketAddr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use tokio::{
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{sleep, timeout},
};

/// Why the stream ended before its end.
enum Break {
    /// Here: this node is the first to notice. It was the peer of the stream.
    Here(Cause, String),
    /// The same, while what had left the peer's ring came from the server.
    Gap(Cause, String),
    /// Further up, where nothing can heal it: the peer says why.
    Above(Loss),
    /// The peer does not have the next block any more; its ring begins at this offset.
    Behind(u64),
}

impl From<FrameError> for Break {
    fn from(error: FrameError) -> Self {
        let cause = match &error {
            FrameError::Closed | FrameError::Io(_) => Cause::Closed,
            FrameError::Silent(_) => Cause::Silent,
            _ => Cause::Refused,
        };
        Self::Here(cause, error.to_string())
    }
}

/// Fills the ring from the peer that the server names. When that fails the server is told
/// and names another; it may name another at any time.
pub(super) async fn follow(context: Context) {
    let mut orders = context.attach.subscribe();
    let mut inlet = Inlet { context: &context, ring: &context.ring, offset: 0, counted: true };
    loop {
        let attach = orders.borrow_and_update().clone();
        let end = tokio::select! {
            end = inlet.attach(&attach) => end,
            // A block that is underway is asked for again.
            Ok(()) = orders.changed() => continue,
        };
        let loss = match end {
            Ok(end) => return context.ring.close(Ok(end)),
            Err(Break::Above(loss)) => return give_up(&context, loss),
            Err(Break::Here(cause, why)) => inlet.loss(&attach.peer, cause, why),
            Err(Break::Gap(cause, why)) => inlet.loss(&server(), cause, why),
            Err(Break::Behind(oldest)) => {
                let why = format!("its ring begins at offset {oldest}");
                inlet.loss(&attach.peer, Cause::Behind, why)
            }
        };
        context.facts.send_modify(|facts| facts.lost = Some(loss.clone()));
        let Timing { join, resume, .. } = context.ticket.timing;
        let Ok(Ok(())) = timeout(join.max(resume), orders.changed()).await else {
            return give_up(&context, loss);
        };
    }
}

/// The stream will not come: the command and the nodes behind learn why.
fn give_up(context: &Context, loss: Loss) {
    context.settle(Message::Broken(loss.clone()));
    context.ring.close(Err(loss));
}

/// Fills `ring` from the server alone, beginning at `offset`: for a command that did not
/// keep up. It ends with the last of several breaks when no block came for [`join`](crate::message::Timing::join), in
/// which another server may have taken over.
pub(super) async fn catch_up(context: &Context, ring: &Ring, offset: u64) {
    let mut inlet = Inlet { context, ring, offset, counted: false };
    let mut since = Instant::now();
    loop {
        let before = inlet.offset;
        let (cause, why) = match inlet.get(&server(), false, None, None).await {
            Ok(end) => return ring.close(Ok(end)),
            Err(Break::Above(loss)) => return ring.close(Err(loss)),
            Err(Break::Here(cause, why) | Break::Gap(cause, why)) => (cause, why),
            Err(Break::Behind(oldest)) => (Cause::Behind, format!("it begins at offset {oldest}")),
        };
        if inlet.offset > before {
            since = Instant::now();
        }
        if since.elapsed() >= context.ticket.timing.join {
            return ring.close(Err(inlet.loss(&server(), cause, why)));
        }
        sleep(context.ticket.timing.beat).await;
    }
}

/// The server as a peer.
fn server() -> Peer {
    Peer { name: "the server".to_owned(), address: None }
}

/// The way of blocks into a ring.
struct Inlet<'a> {
    context: &'a Context,
    ring: &'a Ring,
    /// Of the block that is next.
    offset: u64,
    /// What comes here is this node's progress.
    counted: bool,
}

impl Inlet<'_> {
    fn address(&self, peer: &Peer) -> SocketAddr {
        peer.address.unwrap_or_else(|| self.context.server.borrow().address)
    }

    fn loss(&self, peer: &Peer, cause: Cause, why: String) -> Loss {
        Loss {
            node: self.context.ticket.name.clone(),
            peer: peer.name.clone(),
            address: self.address(peer).to_string(),
            block: self.offset / self.context.begin.block.max(1) as u64,
            offset: self.offset,
            cause,
            why,
        }
    }

    /// Reads from the peer to the end of the stream; what left its ring comes from the
    /// server.
    async fn attach(&mut self, attach: &Attach) -> Result<End, Break> {
        let Attach { peer, holds, instead } = attach;
        loop {
            match self.get(peer, *holds, instead.as_deref(), None).await {
                Err(Break::Behind(oldest)) if oldest > self.offset => {
                    let gap = self.get(&server(), false, None, Some(oldest)).await;
                    gap.map_err(|error| match error {
                        Break::Here(cause, why) => Break::Gap(cause, why),
                        Break::Behind(oldest) => {
                            Break::Gap(Cause::Behind, format!("it begins at {oldest}"))
                        }
                        other => other,
                    })?;
                }
                end => return end,
            }
        }
    }

    /// Reads from `peer`, up to the offset `to` if one is given.
    async fn get(
        &mut self,
        peer: &Peer,
        holds: bool,
        instead: Option<&str>,
        to: Option<u64>,
    ) -> Result<End, Break> {
        let timing = self.context.ticket.timing;
        let address = self.address(peer);
        let stream = timeout(timing.patience, TcpStream::connect(address))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|why| Break::Here(Cause::Unreachable, format!("cannot connect: {why}")))?;
        let (mut reader, mut writer) = frame::open(stream, timing.patience).await?;
        let get = Message::Get {
            pass: self.context.server.borrow().pass.clone(),
            node: self.context.ticket.name.clone(),
            from: self.offset,
            to,
            holds,
            instead: instead.map(str::to_owned),
        };
        writer.message(&get).await?;
        tokio::select! {
            end = self.receive(&mut reader, to.unwrap_or(self.context.begin.total)) => end,
            error = beat(&mut writer, timing.beat) => Err(error.into()),
        }
    }

    /// Takes frames until the end; checks that each block is the next one and intact.
    async fn receive(
        &mut self,
        reader: &mut FrameReader<OwnedReadHalf>,
        until: u64,
    ) -> Result<End, Break> {
        loop {
            match reader.next().await? {
                Frame::Block(block) => {
                    let left = until.saturating_sub(self.offset);
                    let expected = left.min(self.context.begin.block as u64);
                    let length = block.bytes.len() as u64;
                    if block.offset != self.offset || length != expected {
                        let got = block.offset;
                        let why =
                            format!("{length} bytes of offset {got} came in place of {expected}");
                        return Err(Break::Here(Cause::Corrupt, why));
                    }
                    if !block.is_intact() {
                        let why = "the block does not have its digest".to_owned();
                        return Err(Break::Here(Cause::Corrupt, why));
                    }
                    // Else the time is that of other tasks, which have their turn meanwhile.
                    let waiting = self.ring.is_full().then(Instant::now);
                    if let Some(spare) = self.ring.push(block).await {
                        reader.recycle(spare);
                    }
                    self.offset += length;
                    let held = waiting.map(|since| since.elapsed()).unwrap_or_default();
                    self.count(reader.take_pace(), held);
                    // Blocks may come faster than they are checked, and then nothing here
                    // waits: the beat beside us must have its turn, or the peer takes us
                    // for dead.
                    tokio::task::yield_now().await;
                }
                Frame::Message(Message::Alive) => {}
                Frame::Message(Message::End(end))
                    if end.length == self.offset && self.offset == until =>
                {
                    return Ok(end);
                }
                Frame::Message(Message::Behind { oldest }) => return Err(Break::Behind(oldest)),
                Frame::Message(Message::Broken(loss)) => return Err(Break::Above(loss)),
                Frame::Message(Message::Refused { why }) => {
                    return Err(Break::Here(Cause::Refused, why));
                }
                Frame::Message(other) => {
                    let (wanted, got) = ("block", other.name());
                    return Err(FrameError::Unexpected { wanted, got }.into());
                }
            }
        }
    }

    /// Adds to what is told of this node: how a block came, and how long the ring was full.
    fn count(&self, link: Pace, held: Duration) {
        if self.counted {
            self.context.offset.store(self.offset, Ordering::Relaxed);
            self.context.progress.send_modify(|progress| {
                progress.link.add(link);
                progress.held += micros(held);
            });
        }
    }
}

/// Tells the peer that this node lives, above all while a full ring keeps it from reading.
async fn beat(writer: &mut FrameWriter<OwnedWriteHalf>, pace: Duration) -> FrameError {
    loop {
        sleep(pace).await;
        if let Err(error) = writer.message(&Message::Alive).await {
            return error;
        }
    }
}
