//! Drives walks with real tasks.
//!
//! A [`TaskManager`] owns one walk and one queue. It takes all waiting reports at once,
//! tells them to the walk, writes them to the journal, and only then acts on what
//! follows. Nothing is polled and no lock is shared with a task: one owner, messages.
//!
//! A [`TaskedTaskManager`] is the same one level down: a task whose body is a manager.
//! The managers of one operation share what is in [`Shared`], and nothing else.

mod act;
mod driver;
mod running;
mod shared;
mod tasked;

pub use shared::{Control, Options, SetIds};
pub(crate) use shared::{Shared, Upward};
pub use tasked::TaskedTaskManager;

use crate::{
    Automaton, Context, Event, Failures, Illegal, JournalError, ManagerPath, NodeSet, Path, Reason,
    SetId,
};
use driver::Driver;
use shared::Stop;
use std::sync::Arc;
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
        let shared = Arc::new(Shared::new(options));
        let level = Level {
            manager: ManagerPath::default(),
            path: Path::default(),
            cancel: shared.stop.clone(),
            above: None,
            shared: Arc::clone(&shared),
        };
        (Self { automaton, nodes, set: SetId::FIRST, level }, Control::new(shared))
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
        Self { automaton, nodes, set: above.set_id(), level }
    }

    /// Runs to the end.
    ///
    /// Dropping the future stops all tasks at their next `await`.
    ///
    /// # Errors
    /// The journal failed; all tasks were stopped first.
    pub async fn run(self) -> Result<Ended, RunError> {
        let shared = Arc::clone(&self.level.shared);
        let nodes = self.nodes.clone();
        shared.observe(|| Event::RunStarted { nodes: nodes.clone(), set: self.set });
        let mut driver = Driver::new(self);
        match driver.run().await.err().or_else(|| shared.stopped()) {
            Some(Stop::Journal(error)) => Err(error.into()),
            Some(Stop::Illegal(error)) => Err(error.into()),
            Some(Stop::Killed(reason)) if driver.state().killed().is_some() => {
                shared.observe(|| Event::Killed { nodes, reason });
                Ok(driver.ended())
            }
            Some(Stop::Killed(_)) | None => Ok(driver.ended()),
        }
    }
}
