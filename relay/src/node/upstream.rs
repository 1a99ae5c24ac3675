//! Getting blocks from the peer before this node.

use super::Context;
use crate::{
    frame::{self, Frame, FrameError, FrameReader, FrameWriter},
    message::{End, Loss, Message, Peer},
};
use std::io;
use tokio::{
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{sleep, timeout},
};

/// Why the stream ended before its end.
enum Break {
    /// Here: this node is the first to notice.
    Here(String),
    /// Further up: the peer says why.
    Above(Loss),
}

impl From<FrameError> for Break {
    fn from(error: FrameError) -> Self {
        Self::Here(error.to_string())
    }
}

/// Fills the ring from the peer of `Begin`; a break is told to the server and, through
/// the ring, to the nodes behind.
pub(super) async fn follow(context: Context) {
    let peer = context.begin.attach.clone();
    let mut offset = 0;
    let outcome = match attach(&context, &peer, &mut offset).await {
        Ok(end) => Ok(end),
        Err(Break::Above(loss)) => Err(loss),
        Err(Break::Here(why)) => Err(Loss {
            node: context.ticket.name.clone(),
            peer: peer.name.clone(),
            address: peer.address.unwrap_or(context.ticket.server).to_string(),
            block: offset / context.begin.block.max(1) as u64,
            offset,
            why,
        }),
    };
    context.ring.close(outcome.clone());
    if let Err(loss) = outcome {
        context.report(Message::Lost(loss)).await;
    }
}

/// Reads from `peer`, beginning at `offset`, and moves `offset` with each good block.
async fn attach(context: &Context, peer: &Peer, offset: &mut u64) -> Result<End, Break> {
    let timing = context.ticket.timing;
    let address = peer.address.unwrap_or(context.ticket.server);
    let stream = timeout(timing.silence, TcpStream::connect(address))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| Break::Here(format!("cannot connect: {error}")))?;
    let (mut reader, mut writer) = frame::open(stream, timing.silence).await?;
    let (pass, node) = (context.begin.pass.clone(), context.ticket.name.clone());
    writer.message(&Message::Get { pass, node, from: *offset }).await?;
    tokio::select! {
        end = receive(context, &mut reader, offset) => end,
        error = beat(&mut writer, timing.beat) => Err(error.into()),
    }
}

/// Tells the peer that this node lives, above all while a full ring keeps it from reading.
async fn beat(writer: &mut FrameWriter<OwnedWriteHalf>, pace: std::time::Duration) -> FrameError {
    loop {
        sleep(pace).await;
        if let Err(error) = writer.message(&Message::Alive).await {
            return error;
        }
    }
}

/// Takes frames until the end; checks that each block is the next one and intact.
async fn receive(
    context: &Context,
    reader: &mut FrameReader<OwnedReadHalf>,
    offset: &mut u64,
) -> Result<End, Break> {
    let total = context.begin.total;
    loop {
        match reader.next().await? {
            Frame::Block(block) => {
                let expected = (total - *offset).min(context.begin.block as u64);
                let length = block.bytes.len() as u64;
                if block.offset != *offset || length != expected {
                    let got = block.offset;
                    return Err(Break::Here(format!(
                        "{length} bytes of offset {got} came in place of {expected}"
                    )));
                }
                if !block.is_intact() {
                    return Err(Break::Here("the block does not have its digest".into()));
                }
                context.ring.push(block).await;
                *offset += length;
                // Blocks may come faster than they are checked, and then nothing here waits:
                // the beat beside us must have its turn, or the peer takes us for dead.
                tokio::task::yield_now().await;
            }
            Frame::Message(Message::Alive) => {}
            Frame::Message(Message::End(end)) if end.length == *offset && *offset == total => {
                return Ok(end);
            }
            Frame::Message(Message::Broken(loss)) => return Err(Break::Above(loss)),
            Frame::Message(Message::Refused { why }) => return Err(Break::Here(why)),
            Frame::Message(other) => {
                let (wanted, got) = ("block", other.name());
                return Err(FrameError::Unexpected { wanted, got }.into());
            }
        }
    }
}
