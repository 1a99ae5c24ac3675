//! Taking connections: control to the roster, data from the feed, strangers out.

use super::feed::Feed;
use crate::{
    forward::forward,
    frame::{self, FrameError, FrameReader, FrameWriter},
    message::{Message, Secret, Timing},
};
use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

/// Connections beyond those of the members: room for strangers to be refused in.
pub(super) const STRANGERS: usize = 64;

/// Messages that may wait for a node: `Begin`, and what healing will say.
const ORDERS: usize = 8;

/// What the roster hears.
#[derive(Debug)]
pub(super) enum Event {
    /// The launch of this member failed.
    Unlaunched(usize, String),
    /// This member joined: where its relay serves, and where orders for it go.
    Joined(usize, SocketAddr, mpsc::Sender<Message>),
    /// A message of this member.
    Said(usize, Message),
    /// Its control connection ended.
    Left(usize, FrameError),
}

/// What connections share.
#[derive(Clone)]
pub(super) struct Door {
    /// Digests of the tokens that have not been used, and whose they are.
    pub(super) tokens: Arc<Mutex<HashMap<blake3::Hash, usize>>>,
    pub(super) pass: Secret,
    pub(super) feed: Arc<Feed>,
    pub(super) timing: Timing,
    /// Most connections at once.
    pub(super) most: usize,
    pub(super) events: mpsc::Sender<Event>,
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
                        tokio::time::sleep(self.timing.beat).await;
                    }
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    }

    /// Serves one connection to its end.
    async fn greet(self, stream: TcpStream) -> Result<(), FrameError> {
        let (first, (reader, mut writer)) = frame::accept(stream, self.timing.silence).await?;
        let why = match first {
            Message::Join { token, address } => match self.admit(&token) {
                Some(index) => {
                    let end = self.control(index, address, reader, writer).await;
                    self.tell(Event::Left(index, end)).await;
                    return Ok(());
                }
                None => "the token is not one of this broadcast, or has been used",
            },
            Message::Get { pass, from, node } if pass.digest() == self.pass.digest() => {
                tracing::debug!(node, from, "feeding");
                let blocks = self.feed.blocks(from);
                return forward(reader, writer, blocks, self.timing, |sent| self.feed.count(sent))
                    .await;
            }
            Message::Get { .. } => "the pass is not that of this broadcast",
            _ => "a connection begins with join or get",
        };
        writer.message(&Message::Refused { why: why.to_owned() }).await
    }

    /// Whose token it is; it is good once.
    fn admit(&self, token: &Secret) -> Option<usize> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(&token.digest())
    }

    /// The roster outlives the door's tasks, or all of them are being dropped.
    async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }

    /// Carries messages both ways until one way ends.
    async fn control(
        &self,
        index: usize,
        address: SocketAddr,
        mut reader: FrameReader<OwnedReadHalf>,
        mut writer: FrameWriter<OwnedWriteHalf>,
    ) -> FrameError {
        let (orders, mut outbox) = mpsc::channel(ORDERS);
        self.tell(Event::Joined(index, address, orders.clone())).await;
        let speak = async {
            writer.message(&Message::Welcome).await?;
            loop {
                match timeout(self.timing.beat, outbox.recv()).await {
                    Ok(Some(message)) => writer.message(&message).await?,
                    Ok(None) | Err(_) => writer.message(&Message::Alive).await?,
                }
            }
        };
        let hear = async {
            loop {
                match reader.message("report").await {
                    Ok(Message::Alive) => {}
                    Ok(message) => self.tell(Event::Said(index, message)).await,
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
