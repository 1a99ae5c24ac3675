//! The last blocks of the stream, for several readers at their own pace.
//!
//! One writer pushes blocks in order. Each [`Reader`] holds the writer back by at most
//! the ring's capacity; blocks that all readers have taken stay until their room is
//! needed, for who attaches later. The whole state is one watched value: whoever waits,
//! waits for a condition on it.

use crate::{
    forward::{Blocks, Next},
    frame::Block,
    message::{End, Loss},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use tokio::sync::watch;

/// A ring; clones are the same ring.
#[derive(Clone, Debug)]
pub(crate) struct Ring(Arc<watch::Sender<State>>);

#[derive(Debug)]
struct State {
    capacity: usize,
    block: u64,
    /// Number of the block at the front.
    first: u64,
    blocks: VecDeque<Block>,
    /// For each reader the number of the block it takes next.
    readers: BTreeMap<u64, u64>,
    last_reader: u64,
    outcome: Option<Result<End, Loss>>,
}

impl State {
    /// Is there room for a block, or a block that nobody waits for?
    fn has_room(&self) -> bool {
        self.blocks.len() < self.capacity || self.readers.values().all(|next| *next > self.first)
    }

    /// Puts the block in, in place of the oldest if the ring is full.
    fn add(&mut self, block: &mut Option<Block>) -> bool {
        if self.blocks.len() >= self.capacity {
            self.blocks.pop_front();
            self.first += 1;
        }
        self.blocks.extend(block.take());
        true
    }

    /// What a reader at block `number` gets, if that is known.
    fn at(&self, number: u64) -> Option<Next> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        if let Some(block) = self.blocks.get(index) {
            return Some(Next::Block(block.clone()));
        }
        self.outcome.clone().map(|outcome| match outcome {
            Ok(end) => Next::End(end),
            Err(loss) => Next::Broken(loss),
        })
    }
}

/// No such block to begin with: the ring has forgotten it, or there is no boundary there.
#[derive(Debug, thiserror::Error)]
#[error("offset {from} is not to be had: the ring begins at {oldest}, in blocks of {block} bytes")]
pub(crate) struct Gone {
    from: u64,
    oldest: u64,
    block: u64,
}

impl Ring {
    /// An empty ring of at most `capacity` blocks (at least 1) of `block` bytes.
    pub(crate) fn new(capacity: usize, block: usize) -> Self {
        let state = State {
            capacity: capacity.max(1),
            block: block.max(1) as u64,
            first: 0,
            blocks: VecDeque::new(),
            readers: BTreeMap::new(),
            last_reader: 0,
            outcome: None,
        };
        Self(Arc::new(watch::Sender::new(state)))
    }

    /// Adds the next block, once there is room.
    pub(crate) async fn push(&self, block: Block) {
        let mut watch = self.0.subscribe();
        let mut block = Some(block);
        while block.is_some() {
            // The sender is alive: it is `self.0`. The room may be taken again by a new
            // reader before the block is in, so the test is made again with the change.
            let _ = watch.wait_for(State::has_room).await.map(drop);
            self.0.send_if_modified(|state| state.has_room() && state.add(&mut block));
        }
    }

    /// No more blocks: readers get `outcome` after the last.
    pub(crate) fn close(&self, outcome: Result<End, Loss>) {
        self.0.send_modify(|state| state.outcome = Some(outcome));
    }

    /// A reader that begins at the offset `from`.
    pub(crate) fn reader(&self, from: u64) -> Result<Reader, Gone> {
        let mut result = Err(Gone { from, oldest: 0, block: 0 });
        self.0.send_if_modified(|state| {
            let number = from / state.block;
            let end = state.first + state.blocks.len() as u64;
            if !from.is_multiple_of(state.block) || number < state.first || number > end {
                let oldest = state.first * state.block;
                result = Err(Gone { from, oldest, block: state.block });
                return false;
            }
            state.last_reader += 1;
            state.readers.insert(state.last_reader, number);
            result = Ok((state.last_reader, number));
            true
        });
        let (id, next) = result?;
        Ok(Reader { watch: self.0.subscribe(), ring: self.clone(), id, next })
    }
}

/// One reader of a ring.
#[derive(Debug)]
pub(crate) struct Reader {
    ring: Ring,
    watch: watch::Receiver<State>,
    id: u64,
    next: u64,
}

impl Blocks for Reader {
    /// The next block or the outcome. Cancel-safe.
    async fn next(&mut self) -> Next {
        let number = self.next;
        let mut found = None;
        // The sender is alive: it is in `self.ring`.
        let _ = self
            .watch
            .wait_for(|state| {
                found = state.at(number);
                found.is_some()
            })
            .await;
        if matches!(found, Some(Next::Block(_))) {
            self.next += 1;
            self.ring.0.send_modify(|state| {
                state.readers.insert(self.id, self.next);
            });
        }
        found.unwrap_or(Next::Gone)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.ring.0.send_modify(|state| {
            state.readers.remove(&self.id);
        });
    }
}

#[cfg(test)]
mod tests;
