//! The last blocks of the stream, for several readers at their own pace.
//!
//! One writer pushes blocks in order. A [`Reader`] holds the writer back by at most the
//! ring's capacity, unless it is *loose*: then it falls behind, and is told so. Of the blocks
//! that all readers have taken the last few stay, for who attaches in place of a reader that is
//! gone. The others go: memory that is used again and again costs less than memory that is
//! touched once. The whole state is one watched value: whoever waits, waits for a condition on it.

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

/// This part of the ring is kept behind the slowest reader: who follows it is a few blocks
/// behind it, and goes on here when it is gone.
const MARGIN: usize = 8;

/// At least so many blocks stay, if the ring has them, though all readers have taken them.
const LEAST: usize = 64;

/// A ring; clones are the same ring.
#[derive(Clone, Debug)]
pub(crate) struct Ring(Arc<watch::Sender<State>>);

/// Where a reader is.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Number of the block it takes next.
    next: u64,
    /// The writer waits for it.
    holds: bool,
}

#[derive(Debug)]
struct State {
    capacity: usize,
    block: u64,
    /// Number of the block at the front.
    first: u64,
    blocks: VecDeque<Block>,
    readers: BTreeMap<u64, Place>,
    last_reader: u64,
    outcome: Option<Result<End, Loss>>,
}

impl State {
    /// Is there room for a block, or a block that nobody waits for?
    fn has_room(&self) -> bool {
        let kept = self.first + (self.capacity / MARGIN) as u64;
        let passed = |place: &Place| !place.holds || place.next > kept;
        self.blocks.len() < self.capacity || self.readers.values().all(passed)
    }

    /// Puts the block in, in place of the oldest if the ring is full; of those that all have
    /// taken only the last stay. What goes is `spare`.
    fn add(&mut self, block: &mut Option<Block>, spare: &mut Option<Block>) -> bool {
        if self.blocks.len() >= self.capacity {
            self.forget(spare);
        }
        self.blocks.extend(block.take());
        let stays = (self.capacity / MARGIN).max(LEAST.min(self.capacity));
        let slowest = self.readers.values().filter(|place| place.holds).map(|place| place.next);
        let slowest = slowest.min().unwrap_or(u64::MAX);
        while self.blocks.len() > stays && self.first + (stays as u64) < slowest {
            self.forget(spare);
        }
        true
    }

    /// The oldest block goes.
    fn forget(&mut self, spare: &mut Option<Block>) {
        *spare = self.blocks.pop_front();
        self.first += 1;
    }

    /// What a reader at block `number` gets, if that is known.
    fn at(&self, number: u64) -> Option<Next> {
        let Some(index) = number.checked_sub(self.first) else {
            return Some(Next::Behind(self.oldest()));
        };
        if let Some(block) = self.blocks.get(usize::try_from(index).ok()?) {
            return Some(Next::Block(block.clone()));
        }
        self.outcome.clone().map(|outcome| match outcome {
            Ok(end) => Next::End(end),
            Err(loss) => Next::Broken(loss),
        })
    }

    /// Offset of the oldest block, bytes.
    fn oldest(&self) -> u64 {
        self.first * self.block
    }
}

/// Why there is no reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Gone {
    /// The ring has forgotten that block.
    #[error("the ring begins at offset {0}")]
    Before(u64),
    /// No block begins there.
    #[error("no block begins at offset {0}")]
    Nowhere(u64),
}

impl Ring {
    /// An empty ring of at most `capacity` blocks (at least 1) of `block` bytes, the first
    /// of which will be that at offset `from`.
    pub(crate) fn new(capacity: usize, block: usize, from: u64) -> Self {
        let block = block.max(1) as u64;
        let state = State {
            capacity: capacity.max(1),
            block,
            first: from / block,
            blocks: VecDeque::new(),
            readers: BTreeMap::new(),
            last_reader: 0,
            outcome: None,
        };
        Self(Arc::new(watch::Sender::new(state)))
    }

    /// Must the next block wait?
    pub(crate) fn is_full(&self) -> bool {
        !self.0.borrow().has_room()
    }

    /// Adds the next block, once there is room; returns one that had to go, if one did.
    pub(crate) async fn push(&self, block: Block) -> Option<Block> {
        let mut watch = self.0.subscribe();
        let (mut block, mut spare) = (Some(block), None);
        while block.is_some() {
            // The sender is alive: it is `self.0`. The room may be taken again by a new
            // reader before the block is in, so the test is made again with the change.
            let _ = watch.wait_for(State::has_room).await.map(drop);
            self.0.send_if_modified(|state| state.has_room() && state.add(&mut block, &mut spare));
        }
        spare
    }

    /// No more blocks: readers get `outcome` after the last.
    pub(crate) fn close(&self, outcome: Result<End, Loss>) {
        self.0.send_modify(|state| state.outcome = Some(outcome));
    }

    /// Changes the place of a reader. Of that the writer hears, if it waited for it: readers wait
    /// for blocks only, and waking them for each other's steps would cost more than the blocks.
    fn change(&self, id: u64, how: impl FnOnce(&mut Place)) {
        self.0.send_if_modified(|state| {
            let had_room = state.has_room();
            if let Some(place) = state.readers.get_mut(&id) {
                how(place);
            }
            !had_room && state.has_room()
        });
    }

    /// A reader that begins at the offset `from`, which may be still to come; the writer
    /// waits for it if it `holds`.
    pub(crate) fn reader(&self, from: u64, holds: bool) -> Result<Reader, Gone> {
        let mut result = Err(Gone::Nowhere(from));
        self.0.send_if_modified(|state| {
            let next = from / state.block;
            if !from.is_multiple_of(state.block) {
                return false;
            }
            if next < state.first {
                result = Err(Gone::Before(state.oldest()));
                return false;
            }
            state.last_reader += 1;
            state.readers.insert(state.last_reader, Place { next, holds });
            result = Ok((state.last_reader, next));
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

/// What ties the writer to a reader.
#[derive(Debug)]
pub(crate) struct Tether {
    ring: Ring,
    id: u64,
}

impl Tether {
    /// The writer does not wait for the reader any more.
    pub(crate) fn cut(self) {
        self.ring.change(self.id, |place| place.holds = false);
    }
}

impl Reader {
    /// What ties the writer to this reader.
    pub(crate) fn tether(&self) -> Tether {
        Tether { ring: self.ring.clone(), id: self.id }
    }
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
            self.ring.change(self.id, |place| place.next += 1);
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
