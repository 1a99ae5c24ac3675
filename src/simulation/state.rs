//! The state of a simulated service: the real store on a disk in memory, which fails as the
//! scenario says.

use super::gate::{Gate, Gated};
use crate::{
    platform::sim::{Dice, FaultKind, World},
    store::{Change, EmbeddedStore, Fault, MemoryDisk, Store, StoreError},
};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// The disk that services start from, one after the other.
pub(super) struct State {
    world: Arc<World>,
    disk: MemoryDisk,
    /// Luck of the disk.
    dice: Arc<Mutex<Dice>>,
}

impl State {
    /// An empty disk of the server beside `world`.
    pub(super) fn new(seed: u64, world: &Arc<World>) -> Self {
        let dice = Arc::new(Mutex::new(Dice::new(seed, "server")));
        Self { world: Arc::clone(world), disk: MemoryDisk::new(), dice }
    }

    /// Bytes on the disk.
    pub(super) fn size(&self) -> usize {
        self.disk.len()
    }

    /// The store of a service that starts; the one before is gone, and what it had not synced
    /// with it. A disk that is not `faulty` is well from now on.
    ///
    /// # Errors
    /// What is on the disk cannot be read.
    pub(super) fn open(&mut self, faulty: bool) -> Result<Arc<dyn Store>, StoreError> {
        self.disk = std::mem::take(&mut self.disk).restart();
        let inner = EmbeddedStore::on_disk(self.disk.clone())?;
        if !faulty {
            return Ok(Arc::new(inner));
        }
        let faults = Faults {
            world: Arc::clone(&self.world),
            disk: self.disk.clone(),
            dice: Arc::clone(&self.dice),
            full: AtomicBool::new(false),
        };
        Ok(Arc::new(Gated { inner, gate: faults }))
    }
}

/// What goes wrong with the disk.
struct Faults {
    world: Arc<World>,
    disk: MemoryDisk,
    dice: Arc<Mutex<Dice>>,
    full: AtomicBool,
}

impl Faults {
    /// What goes wrong with the next commit; a full disk stays full.
    fn next(&self) -> Option<Fault> {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let [fails, full] = [FaultKind::JournalWrite, FaultKind::DiskFull]
            .map(|kind| self.world.strikes(kind, &mut dice));
        if self.full.fetch_or(full, Relaxed) || full {
            return Some(Fault::NoSpace);
        }
        fails.then(|| Fault::Error(self.disk.changes()))
    }
}

#[async_trait::async_trait]
impl Gate for Faults {
    async fn pass(&self, store: &EmbeddedStore, change: Change) -> Result<(), StoreError> {
        if let Some(fault) = self.next() {
            self.disk.set_fault(fault);
        }
        store.commit(change).await
    }
}
