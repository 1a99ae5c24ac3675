//! Taking connections: control to the roster, data from the feed, strangers out.

use super::feed::Feed;
use crate::{
    forward::{Gait, forward},
    frame::{self, Connection, FrameError, FrameWriter},
    message::{Have, Message, Secret},
};
use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::{
    net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

/// Connections beyond those of the members: room for strangers to be refused in.
pub(super) const STRANGERS: usize = 64;

/// Messages that may wait for a node.
const ORDERS: usize = 16;

/// A control connection.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Each connection has its own.
    pub(super) number: u64,
    /// Where the node's relay serves.
    pub(super) address: SocketAddr,
    /// Orders for it go here.
    pub(super) orders: mpsc::Sender<Message>,
}

/// What the roster hears.
#[derive(Debug)]
pub(super) enum Event {
    /// The launch of this member failed.
    Unlaunched(usize, String),
    /// This member joined, or came back; with what it has from a server before, if it goes on.
    Joined(usize, Line, Option<Have>),
    /// A message of this member.
    Said(usize, Message),
    /// The control connection of that number ended.
    Left(usize, u64, FrameError),
}

/// Whose token it is, and whether it was used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) member: usize,
    pub(super) used: bool,
}

/// The way to a relay, whose broadcast is over when it is dropped.
struct Mouth<'a> {
    writer: FrameWriter<OwnedWriteHalf>,
    leaving: &'a AtomicBool,
}

impl Drop for Mouth<'_> {
    /// A relay that only finds the server gone waits for another one.
    fn drop(&mut self) {
        if !self.leaving.load(Ordering::Relaxed) {
            self.writer.message_at_once(&Message::Over);
        }
    }
}

/// What connections share.
#[derive(Clone)]
pub(super) struct Door {
    /// By the digests of the tokens.
    pub(super) tokens: Arc<Mutex<HashMap<blake3::Hash, Owner>>>,
    /// That of the nodes that go on, if any do.
    pub(super) pass: Arc<Mutex<Secret>>,
    /// The relays are left to another server.
    pub(super) leaving: Arc<AtomicBool>,
    pub(super) feed: Arc<Feed>,
    pub(super) gait: Gait,
    /// Most connections at once.
    pub(super) most: usize,
    pub(super) events: mpsc::Sender<Event>,
    /// Control connections so far.
    pub(super) lines: Arc<AtomicU64>,
}

impl Door {
    /// Takes connections for ever; owns their tasks.
    pub(super) async fn stand(self, listener: TcpListener) -> Infallible {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if connections.len() < self.most => match accepted {
                    Ok((stream, from)) => {
                        let door = self.clone();
                        connections.spawn(async move {
                            if let Err(error) = door.greet(stream).await {
                                tracing::debug!(%from, %error, "a relay connection ended");
                            }
                        });
                    }
                    Err(error) => {
                        // Out of file descriptors, most likely: wait for one of ours to end.
                        tracing::warn!(%error, "cannot accept a relay connection");
                        tokio::time::sleep(self.gait.timing.beat).await;
                    }
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    }

    /// Serves one connection to its end.
    async fn greet(self, stream: TcpStream) -> Result<(), FrameError> {
        let silence = self.gait.timing.silence;
        let (first, mut connection) = frame::accept(stream, silence).await?;
        let why = match first {
            Message::Join { token, address, back, have } => match self.admit(&token, back) {
                Some(member) => {
                    let number = self.lines.fetch_add(1, Ordering::Relaxed);
                    let end = self.control((member, have), number, address, connection).await;
                    self.tell(Event::Left(member, number, end)).await;
                    return Ok(());
                }
                None => "the token is not one of this broadcast, or has been used",
            },
            Message::Get { pass, from, to, node, .. } if self.is_pass(&pass) => {
                tracing::debug!(node, from, to, "feeding");
                let mut blocks = self.feed.blocks(from, to);
                return forward(connection, &mut blocks, self.gait.clone(), |sent| {
                    self.feed.count(sent);
                })
                .await;
            }
            Message::Get { .. } => "the pass is not that of this broadcast",
            _ => "a connection begins with join or get",
        };
        connection.1.message(&Message::Refused { why: why.to_owned() }).await
    }

    /// Whose token it is. It is good once, and then for the same relay to come back with.
    fn admit(&self, token: &Secret, back: bool) -> Option<usize> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = tokens.get_mut(&token.digest()).filter(|owner| owner.used == back)?;
        owner.used = true;
        Some(owner.member)
    }

    fn is_pass(&self, pass: &Secret) -> bool {
        let ours = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        pass.digest() == ours.digest()
    }

    /// The roster outlives the door's tasks, or all of them are being dropped.
    async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }

    /// Carries messages both ways until one way ends.
    async fn control(
        &self,
        (member, have): (usize, Option<Have>),
        number: u64,
        address: SocketAddr,
        (mut reader, writer): Connection,
    ) -> FrameError {
        let (orders, mut outbox) = mpsc::channel(ORDERS);
        self.tell(Event::Joined(member, Line { number, address, orders }, have)).await;
        let mut mouth = Mouth { writer, leaving: &self.leaving };
        let writer = &mut mouth.writer;
        let beat = self.gait.timing.beat;
        let speak = async {
            writer.message(&Message::Welcome).await?;
            // The roster drops a line that another one took the place of.
            while let Some(message) =
                timeout(beat, outbox.recv()).await.unwrap_or(Some(Message::Alive))
            {
                writer.message(&message).await?;
            }
            Err(FrameError::Closed)
        };
        let hear = async {
            loop {
                match reader.message("report").await {
                    Ok(Message::Alive) => {}
                    Ok(message) => self.tell(Event::Said(member, message)).await,
                    Err(error) => break error,
                }
            }
        };
        tokio::select! {
            end = speak => match end { Err(error) => error, Ok(()) => FrameError::Closed },
            error = hear => error,
        }
    }
}
