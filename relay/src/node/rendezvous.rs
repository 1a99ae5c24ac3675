//! Where a relay is found again by the next server of its broadcast.
//!
//! A server that is killed leaves its relays with what they have. Another one that goes on with
//! the same run starts a relay on each node as ever; that one finds the first by the name of the
//! run, hands it its ticket, and ends. The name is a socket without a file, which lasts as long as
//! the relay does, and only who is the same user is spoken to.

use super::Facts;
use crate::message::Ticket;
use rustix::process::getuid;
use serde::{Deserialize, Serialize};
use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener as StdListener, UnixStream as StdStream},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

/// Longest word on the socket: a ticket.
const MAX_WORD: u64 = 16 * 1024;

/// How long the other side may take to say what it wants.
const WORD: Duration = Duration::from_secs(5);

/// The answer to a word that was obeyed.
const WELL: &str = "well";

/// The answer of a relay that has not begun, or has failed.
const NOTHING: &str = "it has nothing to go on with";

/// What is said to a relay that is there.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    /// Is there anything to go on with?
    Ask,
    /// Go on with this ticket.
    GoOn(Box<Ticket>),
}

/// Which relay.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    /// Of the broadcast: the same for each server that goes on with it, and for no other.
    pub run: &'a str,
    /// Of the node.
    pub node: &'a str,
}

impl Name<'_> {
    fn address(self) -> io::Result<SocketAddr> {
        let mut hasher = blake3::Hasher::new();
        for part in [self.run, self.node] {
            hasher.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
        }
        SocketAddr::from_abstract_name(format!("kadence-relay-{}", hasher.finalize().to_hex()))
    }
}

impl Ticket {
    /// Where the relay of this ticket is found.
    pub(super) fn rendezvous(&self) -> Option<Name<'_>> {
        self.run.as_deref().map(|run| Name { run, node: &self.name })
    }
}

/// A relay that can be found.
#[derive(Debug)]
pub(super) struct Rendezvous(Option<UnixListener>);

/// What someone wants of this relay.
#[derive(Debug)]
pub(super) struct Visit {
    /// To be gone on with.
    pub(super) ticket: Ticket,
    stream: UnixStream,
}

impl Visit {
    /// Ends the visit.
    pub(super) async fn answer(mut self, result: Result<(), String>) {
        let words = result.map_or_else(|why| why, |()| WELL.to_owned());
        answer(&mut self.stream, &words).await;
    }
}

impl Rendezvous {
    /// Lets itself be found by `name`; a relay without one is not.
    pub(super) fn at(name: Option<Name<'_>>) -> io::Result<Self> {
        let Some(name) = name else { return Ok(Self(None)) };
        let listener = StdListener::bind_addr(&name.address()?)?;
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener).map(Some).map(Self)
    }

    /// Passes visits with a ticket on; who only asks is answered by what the `facts` are.
    pub(super) async fn stand(self, facts: watch::Sender<Facts>, visits: mpsc::Sender<Visit>) {
        let Some(listener) = self.0 else { return };
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                sleep(WORD).await;
                continue;
            };
            let Ok(Ok((word, mut stream))) = timeout(WORD, hear(stream)).await else { continue };
            let good = facts.borrow().are_good();
            match word {
                Word::GoOn(ticket) if good => {
                    // The relay ends with whoever would take it.
                    let _ = visits.send(Visit { ticket: *ticket, stream }).await;
                }
                Word::Ask if good => answer(&mut stream, WELL).await,
                Word::Ask | Word::GoOn(_) => answer(&mut stream, NOTHING).await,
            }
        }
    }
}

async fn hear(mut stream: UnixStream) -> io::Result<(Word, UnixStream)> {
    is_ours(&stream)?;
    let mut text = Vec::new();
    (&mut stream).take(MAX_WORD).read_to_end(&mut text).await?;
    Ok((serde_json::from_slice(&text)?, stream))
}

/// Whether it is heard is the other side's affair.
async fn answer(stream: &mut UnixStream, words: &str) {
    let _ = timeout(WORD, stream.write_all(words.as_bytes())).await;
}

/// A name can be taken by anyone: only the same user is believed.
fn is_ours(stream: &UnixStream) -> io::Result<()> {
    if stream.peer_cred()?.uid() == getuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::from(io::ErrorKind::PermissionDenied))
}

/// Is a relay of that name there, with something to go on with?
pub async fn is_there(name: Name<'_>) -> bool {
    matches!(say(name, &Word::Ask, WORD).await, Some(Ok(())))
}

/// Hands the ticket to the relay of its name; none if nobody is there.
pub(super) async fn hand_over(ticket: &Ticket) -> Option<Result<(), String>> {
    let word = Word::GoOn(Box::new(ticket.clone()));
    say(ticket.rendezvous()?, &word, ticket.timing.join).await
}

/// The answer to `word`, within `limit`; none if nobody is there.
async fn say(name: Name<'_>, word: &Word, limit: Duration) -> Option<Result<(), String>> {
    let stream = StdStream::connect_addr(&name.address().ok()?).ok()?;
    stream.set_nonblocking(true).ok()?;
    let mut stream = UnixStream::from_std(stream).ok()?;
    is_ours(&stream).ok()?;
    let talk = async {
        stream.write_all(&serde_json::to_vec(word)?).await?;
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.take(MAX_WORD).read_to_string(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    Some(match timeout(limit, talk).await {
        Ok(Ok(answer)) if answer == WELL => Ok(()),
        Ok(Ok(answer)) if answer.is_empty() => Err("the relay that is there went away".to_owned()),
        Ok(Ok(answer)) => Err(answer),
        Ok(Err(error)) => Err(format!("the relay that is there does not answer: {error}")),
        Err(_) => Err("the relay that is there does not answer".to_owned()),
    })
}
