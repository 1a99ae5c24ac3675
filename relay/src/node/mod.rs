//! A node's part: the program behind `kadence-relay run`.
//!
//! [`run`] joins the server and then obeys it: `Begin` starts three tasks around one
//! ring, [`upstream`] fills it, [`command`] and [`downstream`] empty it. The end of the
//! control connection ends everything.

mod command;
mod downstream;
mod upstream;

use crate::{
    frame::{self, FrameError, FrameReader, FrameWriter},
    message::{Begin, Message, Ticket},
    ring::Ring,
};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

/// The server hears of progress this often at most: often enough for a bar that moves,
/// little for a server with thousands of nodes.
const PROGRESS_PACE: Duration = Duration::from_millis(250);

/// Reports that may wait for the control connection. A node makes two or three in all.
const REPORTS: usize = 16;

/// Why a relay ended.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Its own port could not be had.
    #[error("cannot listen on {address}: {why}; is that an address of this machine?")]
    Listen {
        /// The address of the ticket.
        address: SocketAddr,
        /// What the system said.
        why: io::Error,
    },
    /// The server could not be reached.
    #[error("cannot reach the server at {address}: {why}")]
    Connect {
        /// The address of the ticket.
        address: SocketAddr,
        /// What the system said.
        why: io::Error,
    },
    /// The server did not want us.
    #[error("the server at {address} refused this relay: {why}")]
    Refused {
        /// The address of the ticket.
        address: SocketAddr,
        /// What the server said.
        why: String,
    },
    /// The control connection ended; after `Begin` that is how the server says goodbye.
    #[error("the server went away: {0}")]
    Control(#[from] FrameError),
    /// A signal came.
    #[error("ended by a signal")]
    Signal,
    /// Signals could not be listened to.
    #[error("cannot listen to signals: {0}")]
    Signals(io::Error),
}

/// What the tasks of a node share.
#[derive(Clone)]
struct Context {
    ticket: Ticket,
    begin: Begin,
    ring: Ring,
    reports: mpsc::Sender<Message>,
    taken: watch::Sender<u64>,
}

impl Context {
    /// Tells the server; if it is gone the relay is about to end anyway.
    async fn report(&self, message: Message) {
        let _ = self.reports.send(message).await;
    }
}

/// Does a node's part of one broadcast. Calls `joined` when the server has welcomed it.
///
/// # Errors
/// It always ends with an error: a broadcast is over when the server closes the control
/// connection. When this returns the command's process group has been killed.
pub async fn run(ticket: Ticket, joined: impl FnOnce()) -> Result<(), NodeError> {
    let wanted = SocketAddr::new(ticket.listen, 0);
    let listen = |why| NodeError::Listen { address: wanted, why };
    let listener = TcpListener::bind(wanted).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(NodeError::Signals)?;
    let (reader, writer) = join(&ticket, address).await?;
    joined();

    let (reports, outbox) = mpsc::channel(REPORTS);
    let (taken, taken_seen) = watch::channel(0);
    let mut tasks = JoinSet::new();
    let end = tokio::select! {
        end = obey(reader, &ticket, listener, reports, taken, &mut tasks) => end.into(),
        end = report(writer, outbox, taken_seen, ticket.timing.beat) => end.into(),
        _ = terminate.recv() => NodeError::Signal,
    };
    // Dropping the command's task kills its process group.
    tasks.shutdown().await;
    Err(end)
}

/// Connects to the server and joins with the token.
async fn join(
    ticket: &Ticket,
    address: SocketAddr,
) -> Result<(FrameReader<OwnedReadHalf>, FrameWriter<OwnedWriteHalf>), NodeError> {
    let server = ticket.server;
    let connecting = timeout(ticket.timing.silence, TcpStream::connect(server)).await;
    let stream = connecting
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|why| NodeError::Connect { address: server, why })?;
    let (mut reader, mut writer) = frame::open(stream, ticket.timing.silence).await?;
    writer.message(&Message::Join { token: ticket.token.clone(), address }).await?;
    match reader.message("welcome").await? {
        Message::Welcome => Ok((reader, writer)),
        Message::Refused { why } => Err(NodeError::Refused { address: server, why }),
        other => Err(FrameError::Unexpected { wanted: "welcome", got: other.name() }.into()),
    }
}

/// Follows the server until the connection ends. Tasks are started in `tasks`.
async fn obey(
    mut reader: FrameReader<OwnedReadHalf>,
    ticket: &Ticket,
    listener: TcpListener,
    reports: mpsc::Sender<Message>,
    taken: watch::Sender<u64>,
    tasks: &mut JoinSet<()>,
) -> FrameError {
    let mut listener = Some(listener);
    loop {
        let message = match reader.message("begin").await {
            Ok(message) => message,
            Err(error) => return error,
        };
        match (message, listener.take()) {
            (Message::Alive, kept) => listener = kept,
            (Message::Begin(begin), Some(listener)) => {
                let ring = Ring::new(begin.ring, begin.block);
                let (ticket, reports, taken) = (ticket.clone(), reports.clone(), taken.clone());
                start(Context { ticket, begin, ring, reports, taken }, listener, tasks);
            }
            (other, _) => {
                return FrameError::Unexpected { wanted: "begin", got: other.name() };
            }
        }
    }
}

/// Starts the three tasks. The readers are made first: no block can pass them.
fn start(context: Context, listener: TcpListener, tasks: &mut JoinSet<()>) {
    let for_command = context.ring.reader(0);
    let for_successor = context.begin.successor.then(|| context.ring.reader(0).ok()).flatten();
    if let Ok(reader) = for_command {
        tasks.spawn(command::run(context.clone(), reader));
    }
    tasks.spawn(downstream::serve(context.clone(), listener, for_successor));
    tasks.spawn(upstream::follow(context));
}

/// Sends reports as they come, progress at its pace, and a beat when there is neither.
async fn report(
    mut writer: FrameWriter<OwnedWriteHalf>,
    mut outbox: mpsc::Receiver<Message>,
    mut taken: watch::Receiver<u64>,
    beat: Duration,
) -> FrameError {
    let mut pace = interval(PROGRESS_PACE.min(beat));
    let mut beats = interval(beat);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            biased;
            Some(message) = outbox.recv() => message,
            _ = pace.tick(), if taken.has_changed().unwrap_or(false) => {
                Message::Progress { taken: *taken.borrow_and_update() }
            }
            _ = beats.tick() => Message::Alive,
        };
        if let Err(error) = writer.message(&message).await {
            return error;
        }
    }
}
