//! The bytes of a file on a disk in memory, and what a power cut leaves of them.

use super::{GRAIN, Loss, pages::Pages};

/// Changes that wait for a sync at most: more, and all are written back, as a system does that
/// is not asked for half a minute. A file that nobody ever syncs costs no more than this.
const WAITING: usize = 4096;

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// What reads see.
    pub(super) now: Pages,
    /// What was asked for since the last sync.
    pending: Vec<Pending>,
    /// What takes all of that back, the last step first: a power cut leaves in any case what
    /// was there at the last sync.
    undo: Vec<Pending>,
}

#[derive(Clone, Debug)]
pub(super) enum Pending {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Content {
    /// All of it synced.
    pub(super) fn of(now: Pages) -> Self {
        Self { now, ..Self::default() }
    }

    pub(super) fn apply(&mut self, pending: Pending) {
        match &pending {
            Pending::Write(at, data) => {
                self.undo.push(Pending::Write(*at, self.now.get(*at, data.len())));
            }
            Pending::Length(len) => {
                self.undo.push(Pending::Write(*len, self.now.get(*len, usize::MAX)));
                self.undo.push(Pending::Length(self.now.len()));
            }
        }
        pending.apply(&mut self.now);
        self.pending.push(pending);
        if self.pending.len() > WAITING {
            self.sync();
        }
    }

    pub(super) fn sync(&mut self) {
        self.pending = Vec::new();
        self.undo = Vec::new();
    }

    fn durable(&self) -> Pages {
        let mut bytes = self.now.clone();
        for step in self.undo.iter().rev() {
            step.apply(&mut bytes);
        }
        bytes
    }

    /// What was not synced is gone.
    pub(super) fn undo(&mut self) {
        for step in std::mem::take(&mut self.undo).iter().rev() {
            step.apply(&mut self.now);
        }
        self.pending = Vec::new();
    }

    pub(super) fn after_a_cut(&self, loss: Loss, chance: &mut Chance) -> Pages {
        match loss {
            Loss::All => self.durable(),
            Loss::Nothing => self.now.clone(),
            Loss::Some(_) => {
                let mut pending = self.pending.clone();
                chance.shuffle(&mut pending);
                let mut bytes = self.durable();
                for write in pending {
                    if let Some(write) = write.survivor(chance) {
                        write.apply(&mut bytes);
                    }
                }
                bytes
            }
        }
    }
}

impl Pending {
    /// What is left of it: all, nothing, or its beginning.
    fn survivor(self, chance: &mut Chance) -> Option<Self> {
        match (chance.below(3), self) {
            (0, _) => None,
            (1, Self::Write(at, mut data)) => {
                let grain = (at + chance.below(data.len() + 1)) / GRAIN * GRAIN;
                data.truncate(grain.saturating_sub(at));
                Some(Self::Write(at, data))
            }
            (_, whole) => Some(whole),
        }
    }

    /// A write past the end is lost: nothing says that those bytes belong to the file.
    pub(super) fn apply(&self, bytes: &mut Pages) {
        match self {
            Self::Length(len) => bytes.set_len(*len),
            Self::Write(at, data) => bytes.write(*at, data),
        }
    }
}

/// Numbers that look like chance and are the same for the same seed (splitmix64).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn of(loss: Loss) -> Self {
        Self(if let Loss::Some(seed) = loss { seed } else { 0 })
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not zero.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or(0)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
