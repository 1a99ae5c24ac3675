//! Where a service is stopped, and the store of one that is.

use crate::{
    simulation::gate::{Gate, Gated},
    store::{Change, EmbeddedStore, Fault, MemoryDisk, Store, StoreError},
};
use std::{
    future::{pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio_util::sync::CancellationToken;

/// When a service is stopped; commits and commands are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Never,
    BeforeCommit(u64),
    /// The power fails while it is synced: of what was written some is there, some is torn.
    TornCommit(u64),
    AfterCommit(u64),
    /// It goes on, and this commit alone fails.
    FailedCommit(u64),
    /// It goes on, and from this one on the disk is full, for a while.
    FullFromCommit(u64),
    BeforeCommand(u64),
    /// It has reached the machine, and nobody has heard the answer.
    DuringCommand(u64),
    AfterCommand(u64),
}

/// Stops one service where its [`Cut`] says: from then on nothing that it does reaches the
/// store or a machine, and whatever it had under way is dropped.
pub(super) struct Knife {
    cut: Cut,
    commits: AtomicU64,
    commands: AtomicU64,
    dead: CancellationToken,
}

impl Knife {
    pub(super) fn new(cut: Cut) -> Self {
        let (commits, commands) = Default::default();
        Self { cut, commits, commands, dead: CancellationToken::new() }
    }

    /// Commits and commands so far.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.commits.load(Relaxed), self.commands.load(Relaxed))
    }

    /// Whether the service was stopped.
    pub(super) fn is_down(&self) -> bool {
        self.dead.is_cancelled()
    }

    /// Ends when the service was stopped.
    pub(super) async fn fell(&self) {
        self.dead.cancelled().await;
    }

    /// Carries `call` out as long as the service lives; a dead one never hears of it.
    pub(super) async fn alive<T>(&self, call: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            () = self.dead.cancelled() => pending().await,
            done = call => done,
        }
    }

    /// The same for a command to a machine: one of the moments to stop at.
    pub(super) async fn command<T>(&self, call: impl Future<Output = T>) -> T {
        self.alive(ready(())).await;
        let number = self.commands.fetch_add(1, Relaxed);
        if self.cut == Cut::BeforeCommand(number) {
            return self.fall().await;
        }
        if self.cut == Cut::DuringCommand(number) {
            // Begun, and dropped at once.
            tokio::select! {
                biased;
                _ = call => {}
                () = ready(()) => {}
            }
            return self.fall().await;
        }
        let done = self.alive(call).await;
        if self.cut == Cut::AfterCommand(number) {
            return self.fall().await;
        }
        done
    }

    async fn fall<T>(&self) -> T {
        self.dead.cancel();
        pending().await
    }
}

/// The gate of the store of a service that is stopped somewhere, or whose disk fails.
pub(super) struct CutGate {
    disk: MemoryDisk,
    knife: Arc<Knife>,
    /// The operation, once it is there, and how many records its journal has.
    written: Mutex<(Option<String>, u64)>,
}

/// The store of one service.
pub(super) type CutStore = Gated<CutGate>;

/// The state on `disk`, as the service under `knife` has it.
pub(super) fn open(disk: &MemoryDisk, knife: &Arc<Knife>) -> CutStore {
    let inner = EmbeddedStore::on_disk(disk.clone()).unwrap();
    let knife = Arc::clone(knife);
    let gate = CutGate { disk: disk.clone(), knife, written: Mutex::default() };
    Gated { inner, gate }
}

impl CutGate {
    /// Records in the journal of the one operation there is.
    pub(super) fn written(&self) -> u64 {
        self.written.lock().unwrap().1
    }

    /// The disk, which is well again after a while, is so now.
    pub(super) fn heal(&self) {
        self.disk.set_fault(None);
    }

    async fn count(&self, store: &EmbeddedStore) {
        let (wid, before) = self.written.lock().unwrap().clone();
        let wid = match wid {
            Some(wid) => Some(wid),
            None => store.operations().await.unwrap().pop().map(|one| one.id),
        };
        let Some(wid) = wid else { return };
        let new = store.journal(&wid, before, usize::MAX).await.unwrap();
        *self.written.lock().unwrap() = (Some(wid), new.last().map_or(before, |last| last.seq));
    }
}

#[async_trait::async_trait]
impl Gate for CutGate {
    async fn pass(&self, store: &EmbeddedStore, change: Change) -> Result<(), StoreError> {
        let knife = &self.knife;
        knife.alive(ready(())).await;
        let number = knife.commits.fetch_add(1, Relaxed);
        let fault = match knife.cut {
            Cut::BeforeCommit(at) if at == number => return knife.fall().await,
            Cut::TornCommit(at) if at == number => Some(Fault::PowerCutAtSync),
            Cut::FailedCommit(at) if at == number => Some(Fault::Error(self.disk.changes())),
            Cut::FullFromCommit(at) if at == number => Some(Fault::NoSpace),
            _ => None,
        };
        if fault.is_some() {
            self.disk.set_fault(fault);
        }
        let done = store.commit(change).await;
        assert!(fault.is_none() || done.is_err(), "commit {number} got through {fault:?}");
        if [Cut::TornCommit(number), Cut::AfterCommit(number)].contains(&knife.cut) {
            return knife.fall().await;
        }
        if knife.cut == Cut::Never {
            self.count(store).await;
        }
        done
    }
}
