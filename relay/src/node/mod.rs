//! A node's part: the program behind `kadence-relay run`.
//!
//! [`run`] joins the server and then obeys it: `Begin` starts three tasks around one
//! ring, [`upstream`] fills it, [`command`] and [`downstream`] empty it. A control
//! connection that breaks is made anew, and the tasks go on meanwhile; `Over` ends
//! everything, and so does a server that stays away.

mod command;
mod control;
mod downstream;
mod upstream;

use crate::{
    frame::FrameError,
    message::{Attach, Begin, Loss, Message, Progress, Ticket},
    ring::Ring,
};
use control::{Control, Farewell};
use std::{io, net::SocketAddr};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
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
}

/// What the tasks of a node share.
#[derive(Clone)]
struct Context {
    ticket: Ticket,
    begin: Begin,
    ring: Ring,
    facts: watch::Sender<Facts>,
    progress: watch::Sender<Progress>,
    /// Where blocks come from.
    attach: watch::Sender<Attach>,
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
}

/// Does a node's part of one broadcast. Calls `joined` when the server has welcomed it.
/// When this returns the command's process group has been killed.
///
/// # Errors
/// The node never took part, or left before the server said that it was over.
pub async fn run(ticket: Ticket, joined: impl FnOnce()) -> Result<(), NodeError> {
    let wanted = SocketAddr::new(ticket.listen, 0);
    let listen = |why| NodeError::Listen { address: wanted, why };
    let listener = TcpListener::bind(wanted).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(NodeError::Signals)?;
    let mut control = Control::new(ticket, address);
    let mut connection = control.join(false).await?;
    joined();

    let mut tasks = JoinSet::new();
    let mut listener = Some(listener);
    let mut begin = |context| start(context, listener.take(), &mut tasks);
    let work = async {
        loop {
            let error = match control.talk(connection, &mut begin).await {
                Farewell::Over => return Ok(()),
                Farewell::Broken(error) => error,
            };
            connection = control.rejoin(error).await?;
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
