//! What the managers of one operation share, and the handle that controls them.

use crate::{
    Event, Illegal, Journal, JournalError, NoJournal, NoObserver, Observer, Raise, Reason, Record,
    RunId, SetId,
};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

/// How long the journal may take: longer, and the run must not go on without it.
const JOURNAL_LIMIT: Duration = Duration::from_secs(30);

/// Counts the node sets of an operation. Clones count together.
#[derive(Clone, Debug)]
pub struct SetIds(Arc<AtomicI32>);

impl SetIds {
    /// Counts from `first` on.
    pub fn starting_at(first: SetId) -> Self {
        Self(Arc::new(AtomicI32::new(first.0)))
    }

    pub(crate) fn next(&self) -> SetId {
        SetId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

impl Default for SetIds {
    /// Counts from 1: the set a run starts with is 0.
    fn default() -> Self {
        Self::starting_at(SetId(1))
    }
}

/// How a run is to be done.
#[derive(Clone)]
pub struct Options {
    /// Where it is written down.
    pub journal: Arc<dyn Journal>,
    /// Who watches it.
    pub observer: Arc<dyn Observer>,
    /// Whether nodes at a breakpoint are paused until they are continued or aborted;
    /// otherwise they are done.
    pub keep: bool,
    /// Numbers of the node sets.
    pub set_ids: SetIds,
}

impl Default for Options {
    /// No journal, no observer, breakpoints end.
    fn default() -> Self {
        Self {
            journal: Arc::new(NoJournal),
            observer: Arc::new(NoObserver),
            keep: false,
            set_ids: SetIds::default(),
        }
    }
}

/// Why everything stops.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    Killed(Reason),
    Journal(JournalError),
    Illegal(Illegal),
}

/// What becomes of paused nodes.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Continue,
    Abort(Reason),
}

/// What a run tells its manager while it goes on.
pub(crate) enum Upward {
    /// It hands nodes over.
    Raise { run: RunId, nodes: Raise, set: Option<SetId> },
    /// Nodes inside it are paused, or no longer.
    Hold { run: RunId, held: bool },
}

/// What the managers of one operation share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    /// Stops everything; `why` is set before.
    pub(crate) stop: CancellationToken,
    why: OnceLock<Stop>,
    orders: watch::Sender<Option<Order>>,
}

impl Shared {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            stop: CancellationToken::new(),
            why: OnceLock::new(),
            orders: watch::Sender::new(None),
        }
    }

    /// Stops everything; the first reason counts.
    pub(crate) fn stop(&self, why: Stop) {
        self.why.set(why).ok();
        self.stop.cancel();
    }

    pub(crate) fn stopped(&self) -> Option<Stop> {
        self.why.get().cloned()
    }

    pub(crate) fn orders(&self) -> watch::Receiver<Option<Order>> {
        self.orders.subscribe()
    }

    /// Writes records down, or says why that failed.
    pub(super) async fn append(&self, records: &[Record]) -> Result<(), Stop> {
        let written = timeout(JOURNAL_LIMIT, self.options.journal.append(records)).await;
        let late = |_| Err(JournalError::new(format!("no answer within {JOURNAL_LIMIT:?}")));
        written.unwrap_or_else(late).map_err(Stop::Journal)
    }

    pub(crate) fn observe(&self, event: impl FnOnce() -> Event) {
        self.options.observer.event(&event());
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

/// Controls a run from outside. Cheap to clone; after the end of the run it does nothing.
#[derive(Clone)]
pub struct Control(Arc<Shared>);

impl Control {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Stops the run: its tasks are cancelled, given a bounded time to end, then aborted.
    /// All nodes fail, those that had passed as well. [`TaskManager::run`] returns when
    /// nothing runs any more.
    ///
    /// [`TaskManager::run`]: crate::TaskManager::run
    pub fn kill(&self, reason: impl Into<Reason>) {
        self.0.stop(Stop::Killed(reason.into()));
    }

    /// Lets the nodes that are paused now go on with the step they wait before.
    ///
    /// Of several orders given at once the last counts.
    pub fn continue_paused(&self) {
        self.0.orders.send_replace(Some(Order::Continue));
    }

    /// Makes the nodes that are paused now fail.
    pub fn abort_paused(&self, reason: impl Into<Reason>) {
        self.0.orders.send_replace(Some(Order::Abort(reason.into())));
    }
}
