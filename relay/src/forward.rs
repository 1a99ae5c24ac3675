//! Handing blocks to a peer: the same for the server and for a relay.

use crate::{
    frame::{Block, Connection, FrameError, FrameWriter},
    message::{End, Loss, Message, Timing},
};
use std::{future::Future, pin::pin, time::Duration};
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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gait {
    pub(crate) timing: Timing,
    /// Most bytes per second.
    pub(crate) rate: Option<u64>,
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
    Gait { timing, rate }: Gait,
    count: impl Fn(u64) + Send,
) -> Result<(), FrameError> {
    let mut free = Instant::now();
    loop {
        let Ok(next) = timeout(timing.beat, paced(free, blocks)).await else {
            writer.message(&Message::Alive).await?;
            continue;
        };
        let message = match next {
            Next::Block(block) => {
                let bytes = writer.block(&block).await?;
                count(bytes);
                if let Some(rate) = rate {
                    free = free.max(Instant::now()) + time_of(bytes, rate);
                }
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
