//! Talking with the server.

use super::{Context, Facts, NodeError, Server, rendezvous::Visit};
use crate::{
    frame::{self, Connection, FrameError, FrameReader, FrameWriter},
    message::{Begin, Have, Message, Progress, Ticket, Timing},
    ring::Ring,
};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

/// The server hears of progress this often at most: often enough for a bar that moves,
/// little for a server with thousands of nodes.
const PROGRESS_PACE: Duration = Duration::from_millis(250);

/// Between two attempts to reach a server that went away.
const AGAIN: Duration = Duration::from_millis(200);

/// How a control connection ended.
pub(super) enum Farewell {
    /// The server says that the broadcast is over.
    Over,
    /// It broke.
    Broken(FrameError),
}

/// This node, as the server knows it.
pub(super) struct Control {
    ticket: Ticket,
    address: SocketAddr,
    /// What the server is to know.
    pub(super) facts: watch::Sender<Facts>,
    progress: watch::Sender<Progress>,
    /// Its part, once it has begun.
    part: Option<Context>,
}

impl Control {
    /// A node that has not joined; its relay serves at `address`.
    pub(super) fn new(ticket: Ticket, address: SocketAddr) -> Self {
        let (facts, progress) = <(watch::Sender<Facts>, watch::Sender<Progress>)>::default();
        Self { ticket, address, facts, progress, part: None }
    }

    /// Connects to the server and joins with the token.
    pub(super) async fn join(&self, back: bool) -> Result<Connection, NodeError> {
        let (address, timing) = (self.ticket.server, self.ticket.timing);
        let connecting = timeout(timing.silence, TcpStream::connect(address)).await;
        let stream = connecting
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|why| NodeError::Connect { address, why })?;
        let (mut reader, mut writer) = frame::open(stream, timing.silence).await?;
        let (token, own) = (self.ticket.token.clone(), self.address);
        // The server that we come back to knows.
        let have = self.part.as_ref().filter(|_| !back).map(|part| Have {
            pass: part.server.borrow().pass.clone(),
            offset: part.offset.load(Ordering::Relaxed),
        });
        writer.message(&Message::Join { token, address: own, back, have }).await?;
        match reader.message("welcome").await? {
            Message::Welcome => Ok((reader, writer)),
            Message::Refused { why } => Err(NodeError::Refused { address, why }),
            other => Err(FrameError::Unexpected { wanted: "welcome", got: other.name() }.into()),
        }
    }

    /// Joins again after the connection broke with `error`, at the same server or at another one
    /// that goes on with this broadcast.
    pub(super) async fn rejoin(
        &mut self,
        mut error: NodeError,
        visits: &mut mpsc::Receiver<Visit>,
    ) -> Result<Connection, NodeError> {
        if self.part.is_none() {
            return Err(error);
        }
        let Timing { orphan, resume, .. } = self.ticket.timing;
        let found = self.ticket.run.is_some();
        let until = Instant::now() + if found { resume.max(orphan) } else { orphan };
        loop {
            error = tokio::select! {
                joined = self.join(true) => match joined {
                    Err(NodeError::Connect { .. }) => error,
                    Err(NodeError::Refused { .. }) if found => error,
                    Err(other @ NodeError::Control(_)) => other,
                    end => return end,
                },
                Some(visit) = visits.recv() => match self.welcome(visit).await {
                    Err(other) => other,
                    end => return end,
                },
            };
            if Instant::now() >= until {
                return Err(error);
            }
            sleep(AGAIN).await;
        }
    }

    /// Goes over to another server, which sent `visit` with its ticket.
    pub(super) async fn welcome(&mut self, visit: Visit) -> Result<Connection, NodeError> {
        self.ticket = visit.ticket.clone();
        if let Some(part) = &self.part {
            part.server.send_modify(|server| server.address = self.ticket.server);
        }
        // It was lost with the server before.
        self.facts.send_modify(|facts| facts.lost = None);
        let joined = self.join(false).await;
        visit.answer(joined.as_ref().map(drop).map_err(ToString::to_string)).await;
        joined
    }

    /// Follows the server, and tells it how this node is, until the connection ends. `begin`
    /// starts the node's part.
    pub(super) async fn talk(
        &mut self,
        (reader, writer): Connection,
        begin: &mut impl FnMut(Context),
    ) -> Farewell {
        let beat = self.ticket.timing.beat;
        let telling = report(writer, self.facts.subscribe(), self.progress.subscribe(), beat);
        tokio::select! {
            end = self.obey(reader, begin) => end,
            error = telling => Farewell::Broken(error),
        }
    }

    /// Follows the server until the connection ends.
    async fn obey(
        &mut self,
        mut reader: FrameReader<OwnedReadHalf>,
        begin: &mut impl FnMut(Context),
    ) -> Farewell {
        loop {
            let message = match reader.message("order").await {
                Ok(message) => message,
                Err(error) => return Farewell::Broken(error),
            };
            match (message, &self.part) {
                (Message::Alive, _) => {}
                (Message::Over, _) => return Farewell::Over,
                (Message::Begin(order), None) => {
                    let part = self.part(order);
                    self.part = Some(part.clone());
                    self.facts.send_modify(|facts| facts.begun = true);
                    begin(part);
                }
                (Message::Begin(order), Some(part)) => part.go_on(order),
                (Message::Attach(attach), Some(part)) => {
                    part.facts.send_modify(|facts| facts.lost = None);
                    part.attach.send_replace(attach);
                }
                (Message::Loosen, Some(part)) => drop(part.loose.send_replace(true)),
                (other, _) => {
                    let (wanted, got) = ("begin", other.name());
                    return Farewell::Broken(FrameError::Unexpected { wanted, got });
                }
            }
        }
    }

    fn part(&self, begin: Begin) -> Context {
        let (address, pass) = (self.ticket.server, begin.pass.clone());
        Context {
            ring: Ring::new(begin.ring, begin.block, 0),
            server: watch::Sender::new(Server { address, pass }),
            attach: watch::Sender::new(begin.attach.clone()),
            offset: Arc::default(),
            loose: watch::Sender::new(false),
            ticket: self.ticket.clone(),
            begin,
            facts: self.facts.clone(),
            progress: self.progress.clone(),
        }
    }
}

/// Sends news as they come, progress at its pace, and a beat when there is neither.
async fn report(
    mut writer: FrameWriter<OwnedWriteHalf>,
    mut facts: watch::Receiver<Facts>,
    mut progress: watch::Receiver<Progress>,
    beat: Duration,
) -> FrameError {
    let mut told = Facts::default();
    let mut pace = interval(PROGRESS_PACE.min(beat));
    let mut beats = interval(beat);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // On a new connection everything is news.
    facts.mark_changed();
    progress.mark_changed();
    loop {
        let messages = tokio::select! {
            biased;
            Ok(()) = facts.changed() => news(&mut told, facts.borrow_and_update().clone()),
            _ = pace.tick(), if progress.has_changed().unwrap_or(false) => {
                vec![Message::Progress(*progress.borrow_and_update())]
            }
            _ = beats.tick() => vec![Message::Alive],
        };
        for message in messages {
            if let Err(error) = writer.message(&message).await {
                return error;
            }
        }
    }
}

/// What is in `facts` and was not told yet.
fn news(told: &mut Facts, facts: Facts) -> Vec<Message> {
    let lost = facts.lost.clone().filter(|_| facts.lost != told.lost).map(Message::Lost);
    let outcome = facts.outcome.clone().filter(|_| told.outcome.is_none());
    *told = facts;
    lost.into_iter().chain(outcome).collect()
}
