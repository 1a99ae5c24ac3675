//! A node's part: the program behind `kadence-relay run`.
//!
//! [`run`] joins the server and then obeys it: `Begin` starts three tasks around one
//! ring, [`upstream`] fills it, [`command`] and [`downstream`] empty it. A control
//! connection that breaks is made anew, and the tasks go on meanwhile; `Over` ends
//! everything, and so does a server that stays away.

mod command;
mod control;
mod downstream;
pub mod rendezvous;
mod upstream;

use crate::{
    frame::FrameError,
    message::{Attach, Begin, Loss, Message, Progress, Secret, Ticket},
    ring::Ring,
};
use control::{Control, Farewell};
use rendezvous::{Rendezvous, hand_over};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinSet,
};

/// Why a relay ended before the broadcast did.
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
    /// The control connection ended and could not be made anew.
    #[error("the server went away: {0}")]
    Control(#[from] FrameError),
    /// A relay of this broadcast is here already, and did not go on.
    #[error("the relay that is here does not go on: {0}")]
    HandOver(String),
    /// No relay of this broadcast is here.
    #[error("there is nothing here to go on with")]
    Nothing,
    /// It could not make itself found.
    #[error("cannot be found again: {0}")]
    Rendezvous(io::Error),
    /// A signal came.
    #[error("ended by a signal")]
    Signal,
    /// Signals could not be listened to.
    #[error("cannot listen to signals: {0}")]
    Signals(io::Error),
}

/// What the server is to know, told again on each new control connection.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// The stream broke here, and there is no other peer yet.
    lost: Option<Loss>,
    /// `Done`, `Failed` or `Broken`.
    outcome: Option<Message>,
    /// The stream has begun.
    begun: bool,
}

impl Facts {
    /// Has it begun, and has nothing failed here?
    fn are_good(&self) -> bool {
        let failed = match &self.outcome {
            None => false,
            Some(Message::Done(done)) => done.status != 0,
            Some(_) => true,
        };
        self.begun && !failed
    }
}

/// What another server of the same broadcast has otherwise.
#[derive(Clone, Debug)]
struct Server {
    /// Where it listens.
    address: SocketAddr,
    /// Opens data connections.
    pass: Secret,
}

/// What the tasks of a node share.
#[derive(Clone)]
struct Context {
    /// With which this relay began.
    ticket: Ticket,
    begin: Begin,
    ring: Ring,
    facts: watch::Sender<Facts>,
    progress: watch::Sender<Progress>,
    server: watch::Sender<Server>,
    /// Where blocks come from.
    attach: watch::Sender<Attach>,
    /// The first byte that did not come yet.
    offset: Arc<AtomicU64>,
    /// The command does not hold the ring back any more.
    loose: watch::Sender<bool>,
}

impl Context {
    /// What came of the command. The first outcome counts: what follows is its consequence.
    fn settle(&self, outcome: Message) {
        self.facts.send_modify(|facts| {
            facts.outcome.get_or_insert(outcome);
        });
    }

    /// Another server begins where the one before was: what is here is the beginning of its file.
    fn go_on(&self, begin: Begin) {
        if (begin.total, begin.block) != (self.begin.total, self.begin.block) {
            let (total, before) = (begin.total, self.begin.total);
            let why = format!("the file has {total} bytes now, and had {before} before");
            return self.settle(Message::Failed { why });
        }
        self.server.send_modify(|server| server.pass = begin.pass);
        self.facts.send_modify(|facts| facts.lost = None);
        self.attach.send_replace(begin.attach);
    }
}

/// Does a node's part of one broadcast. Calls `joined` when the server has welcomed it.
/// When this returns the command's process group has been killed; or a relay that was here before
/// has taken the ticket, and goes on.
///
/// # Errors
/// The node never took part, or left before the server said that it was over.
pub async fn run(ticket: Ticket, joined: impl FnOnce()) -> Result<(), NodeError> {
    match hand_over(&ticket).await {
        Some(Ok(())) => {
            joined();
            return Ok(());
        }
        Some(Err(why)) => return Err(NodeError::HandOver(why)),
        None if ticket.resume => return Err(NodeError::Nothing),
        None => {}
    }
    let rendezvous = Rendezvous::at(ticket.rendezvous()).map_err(NodeError::Rendezvous)?;
    let wanted = SocketAddr::new(ticket.listen, 0);
    let listen = |why| NodeError::Listen { address: wanted, why };
    let listener = TcpListener::bind(wanted).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(NodeError::Signals)?;
    let mut control = Control::new(ticket, address);
    let mut connection = control.join(false).await?;
    joined();

    let mut tasks = JoinSet::new();
    let (door, mut visits) = mpsc::channel(1);
    tasks.spawn(rendezvous.stand(control.facts.clone(), door));
    let mut listener = Some(listener);
    let mut begin = |context| start(context, listener.take(), &mut tasks);
    let work = async {
        loop {
            let end = tokio::select! {
                end = control.talk(connection, &mut begin) => match end {
                    Farewell::Over => return Ok(()),
                    Farewell::Broken(error) => Err(error.into()),
                },
                Some(visit) = visits.recv() => control.welcome(visit).await,
            };
            connection = match end {
                Ok(connection) => connection,
                Err(error) => control.rejoin(error, &mut visits).await?,
            };
        }
    };
    let end = tokio::select! {
        end = work => end,
        _ = terminate.recv() => Err(NodeError::Signal),
    };
    // Dropping the command's task kills its process group.
    tasks.shutdown().await;
    end
}

/// Starts the three tasks. The readers are made first: no block can pass them.
fn start(context: Context, listener: Option<TcpListener>, tasks: &mut JoinSet<()>) {
    let Some(listener) = listener else { return };
    let reader = || context.ring.reader(0, true).ok();
    let successors = context.begin.successors.iter();
    let kept = successors.filter_map(|name| Some((name.clone(), reader()?))).collect();
    if let Some(reader) = reader() {
        tasks.spawn(command::run(context.clone(), reader));
    }
    tasks.spawn(downstream::serve(context.clone(), listener, kept));
    tasks.spawn(upstream::follow(context));
}
