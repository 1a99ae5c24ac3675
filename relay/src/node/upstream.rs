//! Getting blocks from the peer before this node.

use super::Context;
use crate::{
    frame::{self, Frame, FrameError, FrameReader, FrameWriter},
    message::{Attach, End, Loss, Message, Pace, Peer, micros},
    ring::Ring,
};
use std::{
    io,
    time::{Duration, Instant},
};
use tokio::{
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{sleep, timeout},
};

/// How often the command's own stream may break without a block in between.
const ATTEMPTS: u32 = 3;

/// Why the stream ended before its end.
enum Break {
    /// Here: this node is the first to notice. It was the peer of the stream.
    Here(String),
    /// The same, while what had left the peer's ring came from the server.
    Gap(String),
    /// Further up, where nothing can heal it: the peer says why.
    Above(Loss),
    /// The peer does not have the next block any more; its ring begins at this offset.
    Behind(u64),
}

impl From<FrameError> for Break {
    fn from(error: FrameError) -> Self {
        Self::Here(error.to_string())
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
            Err(Break::Here(why)) => inlet.loss(&attach.peer, why),
            Err(Break::Gap(why)) => inlet.loss(&server(), why),
            Err(Break::Behind(oldest)) => {
                inlet.loss(&attach.peer, format!("its ring begins at offset {oldest}"))
            }
        };
        context.facts.send_modify(|facts| facts.lost = Some(loss.clone()));
        let Ok(Ok(())) = timeout(context.ticket.timing.join, orders.changed()).await else {
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
/// keep up.
///
/// # Errors
/// The words of the last of several breaks.
pub(super) async fn catch_up(context: &Context, ring: &Ring, offset: u64) {
    let mut inlet = Inlet { context, ring, offset, counted: false };
    let mut attempts = 0;
    loop {
        let before = inlet.offset;
        let why = match inlet.get(&server(), false, None, None).await {
            Ok(end) => return ring.close(Ok(end)),
            Err(Break::Above(loss)) => return ring.close(Err(loss)),
            Err(Break::Here(why) | Break::Gap(why)) => why,
            Err(Break::Behind(oldest)) => format!("it begins at offset {oldest}"),
        };
        attempts = if inlet.offset == before { attempts + 1 } else { 1 };
        if attempts == ATTEMPTS {
            return ring.close(Err(inlet.loss(&server(), why)));
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
    fn loss(&self, peer: &Peer, why: String) -> Loss {
        Loss {
            node: self.context.ticket.name.clone(),
            peer: peer.name.clone(),
            address: peer.address.unwrap_or(self.context.ticket.server).to_string(),
            block: self.offset / self.context.begin.block.max(1) as u64,
            offset: self.offset,
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
                        Break::Here(why) => Break::Gap(why),
                        Break::Behind(oldest) => Break::Gap(format!("it begins at {oldest}")),
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
        let address = peer.address.unwrap_or(self.context.ticket.server);
        let stream = timeout(timing.patience, TcpStream::connect(address))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| Break::Here(format!("cannot connect: {error}")))?;
        let (mut reader, mut writer) = frame::open(stream, timing.patience).await?;
        let get = Message::Get {
            pass: self.context.begin.pass.clone(),
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
                        return Err(Break::Here(format!(
                            "{length} bytes of offset {got} came in place of {expected}"
                        )));
                    }
                    if !block.is_intact() {
                        return Err(Break::Here("the block does not have its digest".into()));
                    }
                    let waiting = Instant::now();
                    self.ring.push(block).await;
                    self.offset += length;
                    self.count(reader.take_pace(), waiting.elapsed());
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
                Frame::Message(Message::Refused { why }) => return Err(Break::Here(why)),
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
