//! Handing blocks to a peer: the same for the server and for a relay.

use crate::{
    frame::{Block, FrameError, FrameReader, FrameWriter},
    message::{End, Loss, Message, Timing},
};
use std::{future::Future, pin::pin};
use tokio::{
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    time::timeout,
};

/// What comes next in a stream.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// A block.
    Block(Block),
    /// That was all.
    End(End),
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

/// Sends `blocks` until their end; `count` is told the bytes of each. A peer that blocks
/// is waited for as long as it says that it is alive.
pub(crate) async fn forward(
    mut reader: FrameReader<OwnedReadHalf>,
    mut writer: FrameWriter<OwnedWriteHalf>,
    mut blocks: impl Blocks,
    timing: Timing,
    count: impl Fn(u64) + Send,
) -> Result<(), FrameError> {
    let send = async {
        loop {
            let Ok(next) = timeout(timing.beat, blocks.next()).await else {
                writer.message(&Message::Alive).await?;
                continue;
            };
            match next {
                Next::Block(block) => count(writer.block(&block).await?),
                Next::End(end) => break writer.message(&Message::End(end)).await,
                Next::Broken(loss) => break writer.message(&Message::Broken(loss)).await,
                Next::Gone => break Ok(()),
            }
        }
    };
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
        end = send => end?,
        error = &mut hear => return Err(error),
    }
    // The peer closes first: closing with its beats unread would take the end back.
    hear.await;
    Ok(())
}
