//! Handing blocks to a peer: the same for the server and for a relay.

use crate::{
    frame::{Block, Connection, FrameError, FrameWriter},
    message::{End, Loss, Message, Timing},
};
use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::tcp::OwnedWriteHalf,
    time::{Instant, sleep_until, timeout},
};

/// What comes next in a stream.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// A block.
    Block(Block),
    /// That was all.
    End(End),
    /// The block that is next is not there any more: the first that is begins at this offset.
    Behind(u64),
    /// There will be no more.
    Broken(Loss),
    /// Whoever made the blocks went away.
    Gone,
}

/// Where blocks come from.
pub(crate) trait Blocks: Send {
    /// The next one. Cancel-safe.
    fn next(&mut self) -> impl Future<Output = Next> + Send;
}

/// How blocks go out.
#[derive(Clone, Debug)]
pub(crate) struct Gait {
    pub(crate) timing: Timing,
    /// Of this connection.
    pub(crate) rate: Option<u64>,
    /// Of all connections that share it.
    pub(crate) budget: Option<Arc<Budget>>,
}

impl Gait {
    /// When a connection that was free at `free` is so again, after `bytes` more.
    fn after(&self, bytes: u64, free: Instant) -> Instant {
        let now = Instant::now();
        let own = self.rate.map(|rate| free.max(now) + time_of(bytes, rate));
        let shared = self.budget.as_ref().map(|budget| budget.spend(bytes, now));
        // Not `now`, which a timer takes for a moment that is still to come.
        own.max(shared).unwrap_or(free)
    }
}

/// Bytes per second that several connections share.
#[derive(Debug)]
pub(crate) struct Budget {
    rate: u64,
    /// When all that was sent so far should have been.
    free: Mutex<Instant>,
}

impl Budget {
    /// At most `rate` bytes per second.
    pub(crate) fn new(rate: u64) -> Self {
        Self { rate, free: Mutex::new(Instant::now()) }
    }

    /// When there is time for these bytes, and what was spent before them.
    fn spend(&self, bytes: u64, now: Instant) -> Instant {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = now.max(*free) + time_of(bytes, self.rate);
        *free
    }
}

/// Sends `blocks` until their end; `count` is told the bytes of each. A peer that blocks
/// is waited for as long as it says that it is alive.
///
/// # Errors
/// The peer did not take all of them.
pub(crate) async fn forward(
    (mut reader, writer): Connection,
    blocks: &mut impl Blocks,
    gait: Gait,
    count: impl Fn(u64) + Send,
) -> Result<(), FrameError> {
    let hear = async {
        loop {
            match reader.message("alive").await {
                Ok(Message::Alive) => {}
                Ok(other) => {
                    break FrameError::Unexpected { wanted: "alive", got: other.name() };
                }
                Err(error) => break error,
            }
        }
    };
    let mut hear = pin!(hear);
    tokio::select! {
        end = send(writer, blocks, gait, count) => end?,
        error = &mut hear => return Err(error),
    }
    // The peer closes first: closing with its beats unread would take the end back.
    hear.await;
    Ok(())
}

/// Speaks at least as often as the beat.
async fn send(
    mut writer: FrameWriter<OwnedWriteHalf>,
    blocks: &mut impl Blocks,
    gait: Gait,
    count: impl Fn(u64) + Send,
) -> Result<(), FrameError> {
    let mut free = Instant::now();
    loop {
        let Ok(next) = timeout(gait.timing.beat, paced(free, blocks)).await else {
            writer.message(&Message::Alive).await?;
            continue;
        };
        let message = match next {
            Next::Block(block) => {
                let bytes = writer.block(&block).await?;
                count(bytes);
                free = gait.after(bytes, free);
                continue;
            }
            Next::End(end) => Message::End(end),
            Next::Behind(oldest) => Message::Behind { oldest },
            Next::Broken(loss) => Message::Broken(loss),
            Next::Gone => return Ok(()),
        };
        return writer.message(&message).await;
    }
}

/// The next of `blocks`, once the connection is free again.
async fn paced(free: Instant, blocks: &mut impl Blocks) -> Next {
    sleep_until(free).await;
    blocks.next().await
}

/// What `bytes` take at `rate` bytes per second.
fn time_of(bytes: u64, rate: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / rate.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_waits_for_its_own_rate_and_for_what_it_shares() {
        let begun = Instant::now();
        let budget = Some(Arc::new(Budget::new(100)));
        let own = Gait { timing: Timing::default(), rate: Some(50), budget: None };
        let shared = Gait { rate: None, budget: budget.clone(), ..own };
        let both = Gait { rate: Some(50), budget, ..own };
        let seconds = |at: Instant| (at - begun).as_secs();
        assert_eq!(seconds(own.after(100, begun)), 2);
        assert_eq!(seconds(shared.after(100, begun)), 1);
        assert_eq!(seconds(shared.after(100, begun)), 2, "the second that asks is the second");
        assert_eq!(seconds(both.after(100, begun)), 3, "what is shared is less here");
        assert_eq!(seconds(both.after(50, begun + Duration::from_secs(9))), 10);
        let free = Gait { rate: None, budget: None, ..own };
        assert_eq!(free.after(100, begun), begun);
    }
}
