//! Serving blocks to the nodes behind this one.

use super::Context;
use crate::{
    forward::{Gait, forward},
    frame::{self, Connection},
    message::Message,
    ring::{Gone, Reader},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Connections served at once besides those of the successors: nodes that come in another's
/// place, and strangers to be refused.
const MORE_CONNECTIONS: usize = 16;

/// Places in the ring that are kept for nodes that are to attach, or that were here and may
/// come back, or another in their place: until when. A place holds the ring back.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<String, (Reader, Instant)>>>);

impl Kept {
    fn change<T>(&self, how: impl FnOnce(&mut BTreeMap<String, (Reader, Instant)>) -> T) -> T {
        how(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, node: String, reader: Reader, until: Instant) {
        self.change(|kept| kept.insert(node, (reader, until)));
    }

    fn give_up(&self, node: &str) {
        self.change(|kept| kept.remove(node));
    }

    /// When the next place expires.
    fn next(&self) -> Option<Instant> {
        self.change(|kept| kept.values().map(|(_, until)| *until).min())
    }

    fn expire(&self, now: Instant) {
        self.change(|kept| kept.retain(|_, (_, until)| *until > now));
    }
}

/// Serves who attaches. `successors` are those whom the server announced, with their places
/// in the ring, which are kept for as long as nodes may take to join.
pub(super) async fn serve(
    context: Context,
    listener: TcpListener,
    successors: Vec<(String, Reader)>,
) {
    let timing = context.ticket.timing;
    let kept = Kept::default();
    let most = successors.len() + MORE_CONNECTIONS;
    for (name, reader) in successors {
        kept.keep(name, reader, Instant::now() + timing.join);
    }
    let mut connections = JoinSet::new();
    loop {
        // A place that is kept meanwhile is looked at one turn later, at a beat at most.
        let next = kept.next().unwrap_or_else(|| Instant::now() + timing.patience);
        tokio::select! {
            accepted = listener.accept(), if connections.len() < most => {
                // A failed accept is that connection's failure, not ours.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(peer(context.clone(), stream, kept.clone()));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = sleep_until(next) => kept.expire(Instant::now()),
        }
    }
}

/// What a peer gets.
enum Answer {
    Blocks { reader: Reader, node: String, holds: bool },
    Message(Message),
}

/// Serves one connection to its end.
async fn peer(context: Context, stream: TcpStream, kept: Kept) {
    let timing = context.ticket.timing;
    let Ok((first, connection)) = frame::accept(stream, timing.patience).await else {
        return;
    };
    match admit(&context, first, &kept) {
        Answer::Blocks { reader, node, holds } => {
            let gait = Gait { timing, rate: context.begin.rate, budget: None };
            let until = timing.patience * 2;
            let place = feed(connection, reader, gait).await;
            if let Some(reader) = place.filter(|_| holds) {
                kept.keep(node, reader, Instant::now() + until);
            }
        }
        // Whether it hears that is its own affair.
        Answer::Message(message) => {
            let (_reader, mut writer) = connection;
            let _ = writer.message(&message).await;
        }
    }
}

/// Sends blocks; gives the place back if the peer went away before the end.
async fn feed(connection: Connection, mut reader: Reader, gait: Gait) -> Option<Reader> {
    let end = forward(connection, &mut reader, gait, |_| {}).await;
    end.is_err().then_some(reader)
}

/// Checks the pass and finds the place in the ring, or says why not.
fn admit(context: &Context, first: Message, kept: &Kept) -> Answer {
    let refused = |why: String| Answer::Message(Message::Refused { why });
    let Message::Get { pass, node, from, holds, instead, .. } = first else {
        return refused(format!("a relay does not take {}", first.name()));
    };
    if pass.digest() != context.server.borrow().pass.digest() {
        return refused("the pass is not that of this broadcast".to_owned());
    }
    // The new place is made before the kept ones are given up.
    let (place, answer) = match context.ring.reader(from, holds) {
        Ok(reader) => (None, Answer::Blocks { reader, node: node.clone(), holds }),
        Err(why @ Gone::Nowhere(_)) => return refused(why.to_string()),
        // It comes back when it has got what is missing from the server.
        Err(Gone::Before(oldest)) => (
            context.ring.reader(oldest, true).ok().filter(|_| holds),
            Answer::Message(Message::Behind { oldest }),
        ),
    };
    for name in instead.iter().chain([&node]) {
        kept.give_up(name);
    }
    if let Some(reader) = place {
        kept.keep(node, reader, Instant::now() + context.ticket.timing.patience * 4);
    }
    answer
}
