//! Serving blocks to the nodes behind this one.

use super::Context;
use crate::{forward::forward, frame, message::Message, ring::Reader};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

/// Connections served at once: the successor, and room for strangers to be refused.
const MAX_CONNECTIONS: usize = 16;

/// The place in the ring that is kept for the successor until it attaches.
type Kept = Arc<Mutex<Option<Reader>>>;

/// Serves who attaches. `kept` holds the ring back for the successor that the server
/// announced, for as long as nodes may take to join.
pub(super) async fn serve(context: Context, listener: TcpListener, kept: Option<Reader>) {
    let kept: Kept = Arc::new(Mutex::new(kept));
    let mut connections = JoinSet::new();
    let expired = sleep(context.ticket.timing.join);
    tokio::pin!(expired);
    let mut waiting = true;
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                // A failed accept is that connection's failure, not ours.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(peer(context.clone(), stream, kept.clone()));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = &mut expired, if waiting => {
                waiting = false;
                drop(take(&kept));
            }
        }
    }
}

fn take(kept: &Kept) -> Option<Reader> {
    kept.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Serves one connection to its end.
async fn peer(context: Context, stream: TcpStream, kept: Kept) {
    let timing = context.ticket.timing;
    let Ok((first, (reader, mut writer))) = frame::accept(stream, timing.silence).await else {
        return;
    };
    // Neither end is of use here: a peer that dies is noticed by the server as well.
    let _ = match admit(&context, &first, &kept) {
        Ok(blocks) => forward(reader, writer, blocks, timing, |_| {}).await,
        Err(why) => writer.message(&Message::Refused { why }).await,
    };
}

/// Checks the pass and finds the place in the ring, or says why not.
fn admit(context: &Context, first: &Message, kept: &Kept) -> Result<Reader, String> {
    match first {
        Message::Get { pass, from, .. } if pass.digest() == context.begin.pass.digest() => {
            // The new reader is made before the kept place is given up.
            let reader = context.ring.reader(*from).map_err(|gone| gone.to_string())?;
            drop(take(kept));
            Ok(reader)
        }
        Message::Get { .. } => Err("the pass is not that of this broadcast".to_owned()),
        other => Err(format!("a relay does not take {}", other.name())),
    }
}
