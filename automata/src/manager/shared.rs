//! What the managers of one operation share, and the handle that controls them.

use crate::{
    Event, Illegal, Journal, JournalError, ManagerPath, NoJournal, NoObserver, Observer, Raise,
    Reason, Record, RunId, SetId, replay::Kept,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long the journal may take: longer, and the run must not go on without it.
const JOURNAL_LIMIT: Duration = Duration::from_secs(30);

/// How long nodes may be paused if nothing else is said: somebody looks once a week.
const PATIENCE: Duration = Duration::from_secs(7 * 24 * 3600);

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
    /// How long nodes may be paused; those that still are fail then.
    pub patience: Duration,
    /// Numbers of the node sets.
    pub set_ids: SetIds,
}

impl Default for Options {
    /// No journal, no observer, breakpoints end; a week for paused nodes.
    fn default() -> Self {
        Self {
            journal: Arc::new(NoJournal),
            observer: Arc::new(NoObserver),
            keep: false,
            patience: PATIENCE,
            set_ids: SetIds::default(),
        }
    }
}

/// Why everything stops.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    Killed(Reason),
    Suspended,
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
    began: Instant,
    /// How long the operation had been going on then: not nothing when it goes on.
    before: Duration,
    /// Managers inside that go on when their run does.
    kept: Mutex<BTreeMap<ManagerPath, Kept>>,
    /// Whether nodes are paused anywhere.
    held: AtomicBool,
    /// Nothing is begun any more.
    drained: AtomicBool,
    /// Micro-steps under way, until the journal has their end.
    busy: AtomicUsize,
    idle: Notify,
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        before: Duration,
        kept: BTreeMap<ManagerPath, Kept>,
    ) -> Self {
        Self {
            options,
            stop: CancellationToken::new(),
            why: OnceLock::new(),
            orders: watch::Sender::new(None),
            began: Instant::now(),
            before,
            kept: Mutex::new(kept),
            held: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            idle: Notify::new(),
        }
    }

    /// How long the operation has been going on.
    pub(super) fn now(&self) -> Duration {
        self.before.saturating_add(self.began.elapsed())
    }

    /// The manager that the journal left behind at `path`, if it did: once.
    pub(super) fn take_kept(&self, path: &ManagerPath) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(path)
    }

    pub(super) fn set_held(&self, held: bool) {
        self.held.store(held, Ordering::Release);
    }

    /// Whether nothing is to be begun any more.
    pub(super) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::SeqCst)
    }

    pub(super) fn micro_steps_begin(&self, count: usize) {
        self.busy.fetch_add(count, Ordering::SeqCst);
    }

    /// The journal has the end of so many micro-steps.
    pub(super) fn micro_steps_ended(&self, count: usize) {
        if count > 0 && self.busy.fetch_sub(count, Ordering::SeqCst) == count {
            self.idle.notify_waiters();
        }
    }

    /// Begins nothing any more; returns when the journal has the end of all that runs.
    async fn drain(&self) {
        self.drained.store(true, Ordering::SeqCst);
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.busy.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
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

    pub(crate) fn observe(&self, event: &Event) {
        self.options.observer.event(event);
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new(Options::default(), Duration::ZERO, BTreeMap::new())
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

    /// Stops the run so that it can go on later ([`TaskManager::resume`]): nothing more is
    /// begun; what ends within `patience` is still written down, the rest is cancelled and
    /// will be recovered. [`TaskManager::run`] returns [`RunError::Suspended`].
    ///
    /// [`TaskManager::resume`]: crate::TaskManager::resume
    /// [`TaskManager::run`]: crate::TaskManager::run
    /// [`RunError::Suspended`]: crate::RunError::Suspended
    pub async fn suspend(&self, patience: Duration) {
        // Not over in time: the journal says what was under way.
        let _ = timeout(patience, self.0.drain()).await;
        self.0.stop(Stop::Suspended);
    }

    /// Whether nodes are paused now.
    pub fn is_paused(&self) -> bool {
        self.0.held.load(Ordering::Acquire)
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
