//! The server's part: one file, once, into the pipeline.
//!
//! [`broadcast`] owns everything of one broadcast: the [`door`] takes connections and
//! tells control from data, the [`feed`] reads and sends the file, the [`roster`] knows
//! how far each node is and what comes of it. Dropping the future closes all of it, and
//! with it the relays.

mod door;
mod feed;
mod heal;
mod probe;
mod rest;
mod roster;
mod seat;
mod shape;

use crate::{
    forward::{Budget, Gait},
    frame::MAX_BLOCK,
    message::{Loss, Secret, Ticket, Timing},
};
use door::{Door, Event, Owner};
use feed::Feed;
use futures_util::stream::{FuturesUnordered, StreamExt};
use roster::Roster;
pub use shape::Shape;
use std::{
    collections::HashMap,
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    time::{Instant, sleep_until, timeout, timeout_at},
};

/// Events that may wait for the roster; a node whose event does not fit waits a moment.
const EVENTS: usize = 256;

/// Bytes of a block: large against its header, small against the image. A node hands a block on
/// when it has all of it, so the last of a line is a block later for each node before it.
pub const DEFAULT_BLOCK: usize = 64 * 1024;

/// Blocks in a node's ring: 32 MiB by default, a second or two of a fast network.
pub const DEFAULT_RING: usize = 512;

/// A node of the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, for messages.
    pub name: String,
    /// Its address: its relay listens there.
    pub address: IpAddr,
    /// Shell text that reads the stream there.
    pub command: String,
    /// The stream is handed on among members of one group, such as those of one switch; each
    /// group gets it from the server.
    pub group: String,
    /// Only a relay that is there from a server before may take part: it goes on with the command
    /// that it runs.
    pub resumes: bool,
}

/// What is to be sent, to whom.
#[derive(Clone, Debug)]
pub struct Broadcast {
    /// The file; a regular one.
    pub file: PathBuf,
    /// The nodes in the order of the pipeline.
    pub members: Vec<Member>,
    /// The server's listener as the nodes reach it.
    pub server: SocketAddr,
    /// The whole ends within this time.
    pub deadline: Duration,
    /// When the other side counts as dead.
    pub timing: Timing,
    /// Bytes of a block, 1 to [`MAX_BLOCK`]; see [`DEFAULT_BLOCK`].
    pub block: usize,
    /// Blocks in each node's ring; see [`DEFAULT_RING`].
    pub ring: usize,
    /// Who hands the stream to whom.
    pub shape: Shape,
    /// Most bytes per second on each connection; none: as fast as it goes.
    pub rate: Option<u64>,
    /// Most bytes per second that the server sends, on all connections; none: as fast as it goes.
    pub total_rate: Option<u64>,
    /// Where another server is to go on with this broadcast if this one is killed: its name, which
    /// no other broadcast has.
    pub run: Option<String>,
    /// Set before the future is dropped, this leaves the relays to another server, as if this one
    /// had been killed. Else they end.
    pub leaving: Arc<AtomicBool>,
}

/// What came of a broadcast.
#[derive(Clone, Debug)]
pub struct Report {
    /// For each member, in order.
    pub outcomes: Vec<Result<(), Failure>>,
    /// Bytes of blocks that the server sent, headers included.
    pub sent: u64,
    /// Streams that broke, in the order in which the server heard of them, whether another
    /// peer could take over or not.
    pub losses: Vec<Loss>,
    /// Members that were so slow that nobody waited for them any more.
    pub slow: Vec<Slow>,
}

/// A member that was much slower than the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// Which.
    pub name: String,
    /// `its command` or `its link`.
    pub what: &'static str,
    /// How fast that was, bytes per second, as far as is known.
    pub own: Option<u64>,
    /// The same of the others: half of them were at least so fast.
    pub others: Option<u64>,
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, what, own, others } = self;
        write!(f, "{name}: {what} is so slow that nobody waits for it any more")?;
        if let (Some(own), Some(others)) = (own, others) {
            write!(f, " ({} KiB/s, the others {} KiB/s)", own / 1024, others / 1024)?;
        }
        Ok(())
    }
}

/// Why one node does not have the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The launch failed.
    #[error("{0}")]
    Launch(String),
    /// It was launched, or was still being launched, and did not join.
    #[error("{name} did not join within {} s", within.as_secs_f32())]
    Absent {
        /// Which node.
        name: String,
        /// [`Timing::join`].
        within: Duration,
    },
    /// Its relay went away.
    #[error(
        "the relay of {name} went away at block {block} (its command had taken {taken} bytes): {why}"
    )]
    Gone {
        /// Which node.
        name: String,
        /// Number of the block its command was at.
        block: u64,
        /// Bytes its command had taken when it was last heard of.
        taken: u64,
        /// How it was noticed.
        why: String,
    },
    /// It, or a node before it, lost its stream.
    #[error("{0}")]
    Stream(#[from] Loss),
    /// The command could not be run, or was killed.
    #[error("{0}")]
    Failed(String),
    /// The command ended with another status than 0.
    #[error("the command ended with status {status}: {stderr}")]
    Command {
        /// Exit status; 128 + n after signal n.
        status: i32,
        /// The end of its standard error.
        stderr: String,
    },
    /// The command ended with status 0, but before the stream did.
    #[error("the command ended with status 0 after {taken} of {total} bytes")]
    Short {
        /// Bytes it took.
        taken: u64,
        /// Bytes of the file.
        total: u64,
    },
    /// The command took other blocks than the file has, or in another order.
    #[error("the command took blocks of digest {got} instead of {expected}")]
    Digest {
        /// Digest of the sequence of the file's blocks, hexadecimal.
        expected: String,
        /// The same of the blocks it took, hexadecimal.
        got: String,
    },
    /// The deadline passed.
    #[error("the broadcast did not end within {} s", .0.as_secs_f32())]
    Deadline(Duration),
}

/// Why nothing could be sent to anyone.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file.
    #[error("cannot read {path}: {why}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The size of blocks.
    #[error("blocks of {0} bytes: the protocol has 1 to {MAX_BLOCK}")]
    Block(usize),
    /// No random numbers.
    #[error("cannot make tokens: {0}")]
    Token(io::Error),
}

/// Sends the file of `job` to its members. `launch` starts the relay of a member, given
/// by its index, with the ticket; all launches run at once. `progress` hears the index of
/// a member and the bytes its command has taken.
///
/// # Errors
/// Only what concerns all members; what concerns one is in the report. Dropping the
/// future ends the relays.
pub async fn broadcast<L, F>(
    listener: TcpListener,
    job: &Broadcast,
    launch: L,
    progress: &(dyn Fn(usize, u64) + Send + Sync),
) -> Result<Report, SourceError>
where
    L: Fn(usize, Ticket) -> F,
    F: Future<Output = Result<(), String>>,
{
    if !(1..=MAX_BLOCK).contains(&job.block) {
        return Err(SourceError::Block(job.block));
    }
    let deadline = Instant::now() + job.deadline;
    let feed = Arc::new(open(job, deadline).await?);
    let pass = Arc::new(Mutex::new(Secret::random().map_err(SourceError::Token)?));
    let mut tokens = HashMap::new();
    let launches = FuturesUnordered::new();
    for (index, member) in job.members.iter().enumerate() {
        let ticket = ticket(job, member).map_err(SourceError::Token)?;
        tokens.insert(ticket.token.digest(), Owner { member: index, used: false });
        let attempt = launch(index, ticket);
        launches.push(async move { (index, attempt.await) });
    }
    let (events, mut inbox) = mpsc::channel(EVENTS);
    let door = Door {
        tokens: Arc::new(Mutex::new(tokens)),
        pass: Arc::clone(&pass),
        leaving: Arc::clone(&job.leaving),
        feed: feed.clone(),
        gait: Gait {
            timing: job.timing,
            rate: job.rate,
            budget: job.total_rate.map(Budget::new).map(Arc::new),
        },
        most: 4 * job.members.len() + door::STRANGERS,
        events,
        lines: Arc::new(AtomicU64::new(0)),
    };
    let mut roster = Roster::new(job, pass, feed.clone(), progress);
    tokio::select! {
        () = follow(&mut roster, &mut inbox, launches, deadline) => {}
        never = door.stand(listener) => match never {},
    }
    let (losses, slow) = (std::mem::take(&mut roster.losses), std::mem::take(&mut roster.slow));
    Ok(Report { outcomes: roster.outcomes(), sent: feed.sent(), losses, slow })
}

/// Tells the roster what happens until there is a result for everyone, and everyone goes.
async fn follow(
    roster: &mut Roster<'_>,
    inbox: &mut mpsc::Receiver<Event>,
    mut launches: FuturesUnordered<impl Future<Output = (usize, Result<(), String>)>>,
    deadline: Instant,
) {
    let timing = roster.job.timing;
    let join = Instant::now() + timing.join;
    while !roster.is_settled() {
        tokio::select! {
            biased;
            Some(event) = inbox.recv() => roster.apply(event),
            Some((index, result)) = launches.next(), if !launches.is_empty() => {
                if let Err(why) = result {
                    roster.apply(Event::Unlaunched(index, why));
                }
            }
            () = until(roster.gathering()) => roster.close_gathering(),
            () = sleep_until(join), if roster.is_awaiting() => roster.close_door(),
            () = until(roster.next_departure()) => roster.depart(Instant::now()),
            () = roster.rest.done() => roster.judge_waiting(),
            () = sleep_until(deadline) => roster.expire(),
        }
    }
    roster.dismiss();
    let all_gone = async {
        while roster.is_connected()
            && let Some(event) = inbox.recv().await
        {
            roster.apply(event);
        }
    };
    // Who does not hear it goes when it finds the server gone.
    let _ = timeout(timing.beat, all_gone).await;
}

/// At `at`, or never.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Opens the file; a file server that hangs has until the deadline.
async fn open(job: &Broadcast, deadline: Instant) -> Result<Feed, SourceError> {
    timeout_at(deadline, Feed::open(&job.file, job.block)).await.unwrap_or_else(|_| {
        let (path, why) = (job.file.clone(), io::ErrorKind::TimedOut.into());
        Err(SourceError::File { path, why })
    })
}

fn ticket(job: &Broadcast, member: &Member) -> io::Result<Ticket> {
    Ok(Ticket {
        server: job.server,
        token: Secret::random()?,
        name: member.name.clone(),
        listen: member.address,
        timing: job.timing,
        run: job.run.clone(),
        resume: member.resumes,
    })
}
