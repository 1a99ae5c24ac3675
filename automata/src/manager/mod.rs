//! Drives walks with real tasks.
//!
//! A [`TaskManager`] owns one walk and one queue. It takes all waiting reports at once,
//! tells them to the walk, writes them to the journal, and only then acts on what
//! follows. Nothing is polled and no lock is shared with a task: one owner, messages.
//!
//! A run that the journal left behind goes on the same way (`resume`): the walks are those
//! of the replay, and what was in flight is launched again before the first wait.
//!
//! A [`TaskedTaskManager`] is the same one level down: a task whose body is a manager.
//! The managers of one operation share what is in [`Shared`], and nothing else.

mod act;
mod batch;
mod driver;
mod resume;
mod running;
mod shared;
mod tasked;

pub use shared::{Control, Options, SetIds};
pub(crate) use shared::{Shared, Upward};
pub use tasked::TaskedTaskManager;

use crate::{
    Automaton, Context, Failures, Illegal, JournalError, ManagerPath, NodeSet, Path, Reason,
    Replay, SetId, replay::Kept,
};
use driver::Driver;
use shared::Stop;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How a run ended; every node is in exactly one of the sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Nodes that passed.
    pub ok: NodeSet,
    /// Nodes that failed, with the reason.
    pub ko: Failures,
    /// Nodes that stopped at a breakpoint.
    pub brk: NodeSet,
    /// Why the run was killed, if it was; then all nodes are in `ko`.
    pub killed: Option<Reason>,
}

/// A run that could not be brought to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal failed: the run was stopped, because what cannot be written down
    /// must not be done.
    #[error("the run was stopped")]
    Journal(#[from] JournalError),
    /// The run was suspended: it can go on where its journal ends.
    #[error("the run was suspended")]
    Suspended,
    /// The walk refused a report: a mistake in this crate. The run was stopped.
    #[error("the run was stopped by a mistake in the automaton")]
    Illegal(#[from] Illegal),
}

/// Runs an automaton over a set of nodes.
pub struct TaskManager {
    automaton: Arc<Automaton>,
    nodes: NodeSet,
    set: SetId,
    level: Level,
    /// What the journal left of it, if it goes on.
    kept: Option<Kept>,
}

/// Where a manager stands.
#[derive(Clone)]
struct Level {
    shared: Arc<Shared>,
    manager: ManagerPath,
    path: Path,
    /// Stops it and all that it runs.
    cancel: CancellationToken,
    /// The run of the manager above that it is.
    above: Option<Context>,
}

impl TaskManager {
    /// A run of `automaton` over `nodes`, and the handle that controls it.
    pub fn new(automaton: Arc<Automaton>, nodes: NodeSet, options: Options) -> (Self, Control) {
        Self::resume(Replay::new(automaton), nodes, options, Duration::ZERO)
    }

    /// A run that goes on where its journal ends, and the handle that controls it.
    ///
    /// Nodes that are at their end stay there and paused ones stay paused. A micro-step that
    /// was in flight is recovered by its rule ([`Recovery`]) for the nodes it still held,
    /// with a new deadline; one that was commanded and had not begun begins. Ids of node
    /// sets go on after the last one given out, whatever `options` says.
    ///
    /// `nodes` are those of a journal that does not yet say them; `at` is how long the
    /// operation has been going on. Records go to the end of the same journal.
    ///
    /// [`Recovery`]: crate::Recovery
    pub fn resume(
        replay: Replay,
        nodes: NodeSet,
        options: Options,
        at: Duration,
    ) -> (Self, Control) {
        let options = match replay.next_set() {
            SetId(1) => options,
            next => Options { set_ids: SetIds::starting_at(next), ..options },
        };
        let (automaton, mut kept) = replay.into_parts();
        let manager = ManagerPath::default();
        let outermost = kept.remove(&manager);
        let shared = Arc::new(Shared::new(options, at, kept));
        let level = Level {
            manager,
            path: Path::default(),
            cancel: shared.stop.clone(),
            above: None,
            shared: Arc::clone(&shared),
        };
        let set = SetId::FIRST;
        (Self { automaton, nodes, set, level, kept: outermost }, Control::new(shared))
    }

    /// The manager inside a macro-step.
    fn inside(automaton: Arc<Automaton>, nodes: NodeSet, above: &Context) -> Self {
        let run = above.inner();
        let level = Level {
            shared: Arc::clone(&run.shared),
            manager: run.inside.clone(),
            path: run.path.clone(),
            cancel: run.cancel.clone(),
            above: Some(above.clone()),
        };
        Self {
            automaton,
            nodes,
            set: above.set_id(),
            level,
            kept: run.shared.take_kept(&run.inside),
        }
    }

    /// Runs to the end.
    ///
    /// Dropping the future stops all tasks at their next `await`.
    ///
    /// # Errors
    /// The run was suspended, or the journal failed; all tasks were stopped first.
    pub async fn run(self) -> Result<Ended, RunError> {
        let shared = Arc::clone(&self.level.shared);
        let mut driver = Driver::new(self);
        match driver.run().await.err().or_else(|| shared.stopped()) {
            Some(Stop::Journal(error)) => Err(error.into()),
            Some(Stop::Illegal(error)) => Err(error.into()),
            Some(Stop::Suspended) if !driver.is_done() => Err(RunError::Suspended),
            Some(Stop::Killed(_) | Stop::Suspended) | None => Ok(driver.ended()),
        }
    }
}
