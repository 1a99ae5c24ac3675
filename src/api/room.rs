//! How much of requests is held in memory at once, whatever clients send.

use crate::types::Problem;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// A body up to this size is read whenever it comes: those of all connections are few megabytes.
const SMALL: u64 = 16 << 10;

/// Larger bodies at once, a megabyte each at most.
const BODIES: usize = 64;

/// Most values in one body. A list of ten thousand nodes, each with its own word, has a third.
const MOST_VALUES: u32 = 60_000;

/// Values in all bodies at once. One takes up to a kilobyte when it is read, however short it is.
const VALUES: usize = 240_000;

/// How long a request waits for others to be done.
const PATIENCE: Duration = Duration::from_secs(30);

/// The room there is for requests.
pub(super) struct Room {
    bodies: Arc<Semaphore>,
    values: Arc<Semaphore>,
}

/// A place in it, given back when it is dropped.
pub(super) type Place = Option<OwnedSemaphorePermit>;

impl Room {
    pub(super) fn new() -> Arc<Self> {
        let (bodies, values) = (Semaphore::new(BODIES), Semaphore::new(VALUES));
        Arc::new(Self { bodies: Arc::new(bodies), values: Arc::new(values) })
    }

    /// Room for a body of this length. 503 if others hold it for too long.
    pub(super) async fn body(&self, length: u64) -> Result<Place, Problem> {
        if length <= SMALL {
            return Ok(None);
        }
        place(&self.bodies, 1).await
    }

    /// Room for what is in a body. 413 if that is too much for any.
    pub(super) async fn values(&self, body: &[u8]) -> Result<Place, Problem> {
        let count = count(body);
        if count > MOST_VALUES {
            let text = format!("the body cannot hold more than {MOST_VALUES} values");
            return Err(Problem::TooLarge(text));
        }
        if count == 0 { Ok(None) } else { place(&self.values, count).await }
    }
}

async fn place(room: &Arc<Semaphore>, many: u32) -> Result<Place, Problem> {
    let busy = || Problem::Unavailable("too many large requests at once".into());
    let acquired = timeout(PATIENCE, Arc::clone(room).acquire_many_owned(many)).await;
    acquired.map_err(|_| busy())?.map(Some).map_err(|_| busy())
}

/// How many values a body may hold: no fewer than it has, in JSON or in YAML, of which each
/// begins at a line, or behind one of these.
fn count(body: &[u8]) -> u32 {
    let begins = body.iter().filter(|byte| b",:[{*\n".contains(byte)).count();
    u32::try_from(begins).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_for_any_is_refused_and_what_is_too_much_at_once_waits() {
        let room = Room::new();
        let many = b"[],".repeat(30_001);
        assert!(matches!(room.values(&many).await, Err(Problem::TooLarge(_))));
        let most = b"[],".repeat(30_000);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(room.values(&most).await.unwrap());
        }
        assert!(matches!(room.values(b"{}").await, Err(Problem::Unavailable(_))));
        assert!(room.values(b"x").await.unwrap().is_none());
        held.pop();
        room.values(&most).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn small_bodies_never_wait() {
        let room = Room::new();
        let mut held = Vec::new();
        for _ in 0..BODIES {
            held.push(room.body(1 << 20).await.unwrap());
        }
        assert!(room.body(1 << 20).await.is_err());
        assert!(room.body(SMALL).await.unwrap().is_none());
    }
}
