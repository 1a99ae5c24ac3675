//! The tasks of a manager that are running.

use super::Level;
use crate::{Context, NodeSet, Outcome, Path, RunId, Task};
use futures_util::FutureExt;
use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet, HashMap},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long a cancelled task may take to end before it is aborted. Long enough to close
/// connections, short enough for the person who waits for a kill.
const GRACE: Duration = Duration::from_secs(4);

/// What a manager gets on top of its tasks' grace, to stop them itself.
const GRACE_PER_LEVEL: Duration = Duration::from_secs(2);

/// How long an aborted task may take to be dropped: only one that blocks its thread needs
/// more than an instant, and nothing can stop that one.
const ABORT_LIMIT: Duration = Duration::from_secs(1);

type Alone = Pin<Box<dyn Future<Output = (RunId, Result)> + Send>>;

/// What a task returned, or the text of its panic.
type Result = std::result::Result<Outcome, String>;

/// The running tasks of a manager, with their deadlines.
#[derive(Default)]
pub(super) struct Running {
    /// Boxed, so that a manager of one run stays small.
    live: BTreeMap<RunId, Box<Live>>,
    deadlines: BTreeSet<(Instant, RunId)>,
    spawned: JoinSet<(RunId, Result)>,
    /// The only run of a macro-step, which needs no tokio task of its own.
    alone: Option<(RunId, Alone)>,
    aborted: HashMap<Id, RunId>,
    held: usize,
}

/// A run and its limits.
pub(super) struct Live {
    pub(super) path: Path,
    /// It is no macro-step.
    pub(super) micro: bool,
    cancel: CancellationToken,
    abort: Option<AbortHandle>,
    phase: Phase,
    grace: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Until this instant, if there is a limit.
    Runs(Option<Instant>),
    /// Nodes inside are paused: the limit rests, with so much left.
    Held(Option<Duration>),
    /// Over the limit: cancelled, then aborted.
    Cancelled(Instant),
    Aborted(Instant),
}

/// How a run ended.
pub(super) enum Ending {
    Returned(Outcome),
    Panicked(String),
    TimedOut,
}

/// A run about to begin.
pub(super) struct Launch {
    pub(super) run: RunId,
    pub(super) nodes: NodeSet,
    pub(super) task: Arc<dyn Task>,
    pub(super) context: Context,
    pub(super) limit: Option<Duration>,
    /// How many levels of managers the task is.
    pub(super) levels: u32,
}

impl Running {
    pub(super) fn get(&self, run: RunId) -> Option<&Live> {
        self.live.get(&run).map(|live| &**live)
    }

    /// Whether nodes are paused inside a run.
    pub(super) fn holds(&self) -> bool {
        self.held > 0
    }

    pub(super) fn launch(&mut self, level: &Level, launch: Launch) {
        let Launch { run, nodes, task, context, limit, levels } = launch;
        let begun = Instant::now();
        let until = limit.and_then(|limit| begun.checked_add(limit));
        let mut live = Box::new(Live {
            path: context.path().clone(),
            micro: levels == 0,
            cancel: context.token().clone(),
            abort: None,
            phase: Phase::Runs(until),
            grace: grace(levels),
        });
        let attempt = async move {
            let result = AssertUnwindSafe(task.run(nodes, context)).catch_unwind().await;
            (run, result.map_err(|panic| panic_text(panic.as_ref())))
        };
        if level.above.is_some() && self.live.is_empty() {
            self.alone = Some((run, Box::pin(attempt)));
        } else {
            live.abort = Some(self.spawned.spawn(attempt));
        }
        self.deadlines.extend(until.map(|until| (until, run)));
        self.live.insert(run, live);
    }

    /// Waits until a task ends or a deadline passes; for ever if there is neither.
    pub(super) async fn changed(&mut self) -> Option<(RunId, Ending)> {
        let next = self.deadlines.first().map(|(until, _)| *until);
        tokio::select! {
            biased;
            (run, result) = alone(&mut self.alone) => self.ended(run, result),
            Some(joined) = self.spawned.join_next_with_id() => self.joined(joined),
            () = sleep(next) => self.overdue(),
        }
    }

    /// A task that has ended already.
    pub(super) fn ended_now(&mut self) -> Option<(RunId, Ending)> {
        while let Some(joined) = self.spawned.try_join_next_with_id() {
            let ended = self.joined(joined);
            if ended.is_some() {
                return ended;
            }
        }
        None
    }

    /// Rests the limit of a run while nodes inside are paused.
    pub(super) fn hold(&mut self, run: RunId, held: bool) {
        let Some(live) = self.live.get_mut(&run) else { return };
        match (live.phase, held) {
            (Phase::Runs(until), true) => {
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                live.phase = Phase::Held(left);
                self.held += 1;
                if let Some(until) = until {
                    self.deadlines.remove(&(until, run));
                }
            }
            (Phase::Held(left), false) => {
                let until = left.and_then(|left| Instant::now().checked_add(left));
                live.phase = Phase::Runs(until);
                self.held -= 1;
                self.deadlines.extend(until.map(|until| (until, run)));
            }
            _ => {}
        }
    }

    /// Ends all runs within a bounded time; they have been cancelled.
    pub(super) async fn stop(&mut self) {
        let longest = self.live.values().map(|live| live.grace).max().unwrap_or_default();
        for live in self.live.values() {
            live.cancel.cancel();
        }
        let all = async {
            if let Some((_, alone)) = &mut self.alone {
                let _ = alone.await;
            }
            self.alone = None;
            while self.spawned.join_next().await.is_some() {}
        };
        if timeout(longest, all).await.is_err() {
            self.alone = None;
            if timeout(ABORT_LIMIT, self.spawned.shutdown()).await.is_err() {
                tracing::error!(runs = self.spawned.len(), "tasks block their threads");
            }
        }
        *self = Self::default();
    }

    fn joined(
        &mut self,
        joined: std::result::Result<(Id, (RunId, Result)), JoinError>,
    ) -> Option<(RunId, Ending)> {
        match joined {
            Ok((_, (run, result))) => self.ended(run, result),
            Err(error) => {
                let run = self.aborted.remove(&error.id())?;
                self.ended(run, Err(error.to_string()))
            }
        }
    }

    /// The run stays known until it is forgotten.
    fn ended(&mut self, run: RunId, result: Result) -> Option<(RunId, Ending)> {
        if self.alone.as_ref().is_some_and(|(alone, _)| *alone == run) {
            self.alone = None;
        }
        let ending = match (self.live.get(&run)?.phase, result) {
            (Phase::Cancelled(_) | Phase::Aborted(_), _) => Ending::TimedOut,
            (_, Ok(outcome)) => Ending::Returned(outcome),
            (_, Err(panic)) => Ending::Panicked(panic),
        };
        Some((run, ending))
    }

    /// Takes the next step against the first run over its limit.
    fn overdue(&mut self) -> Option<(RunId, Ending)> {
        let (_, run) = self.deadlines.pop_first()?;
        let live = self.live.get_mut(&run)?;
        let now = Instant::now();
        match live.phase {
            Phase::Runs(_) | Phase::Held(_) => {
                live.cancel.cancel();
                live.phase = Phase::Cancelled(now + live.grace);
                self.deadlines.insert((now + live.grace, run));
            }
            Phase::Cancelled(_) => {
                let Some(abort) = &live.abort else {
                    return self.ended(run, Ok(Outcome::default()));
                };
                self.aborted.insert(abort.id(), run);
                abort.abort();
                live.phase = Phase::Aborted(now + ABORT_LIMIT);
                self.deadlines.insert((now + ABORT_LIMIT, run));
            }
            Phase::Aborted(_) => {
                tracing::error!(step = %live.path, "a task that is over its limit blocks its thread");
                return self.ended(run, Ok(Outcome::default()));
            }
        }
        None
    }

    /// Takes out a run that has ended.
    pub(super) fn forget(&mut self, run: RunId) -> Option<Live> {
        let live = self.live.remove(&run)?;
        let until = match live.phase {
            Phase::Runs(until) => until,
            Phase::Held(_) => {
                self.held -= 1;
                None
            }
            Phase::Cancelled(until) | Phase::Aborted(until) => Some(until),
        };
        if let Some(until) = until {
            self.deadlines.remove(&(until, run));
        }
        Some(*live)
    }
}

impl Live {
    /// Whether what it tells still counts.
    pub(super) fn is_heard(&self) -> bool {
        matches!(self.phase, Phase::Runs(_) | Phase::Held(_))
    }
}

/// How long a cancelled task of so many levels of managers may take to end.
fn grace(levels: u32) -> Duration {
    GRACE + GRACE_PER_LEVEL * levels
}

async fn alone(alone: &mut Option<(RunId, Alone)>) -> (RunId, Result) {
    match alone {
        Some((_, run)) => run.await,
        None => std::future::pending().await,
    }
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
