//! What can be seen of a run: the one source of messages, states, metrics and bars.

use crate::{Failures, Location, NodeSet, Path, Raise, Reason, Recovery, SetId, Status};
use std::time::Duration;

/// Watches a run.
pub trait Observer: Send + Sync {
    /// Told by the managers, in order per node, after the journal has it. It is called
    /// between two steps of work: it must be cheap and never block.
    fn event(&self, event: &Event);
}

/// Sees nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn event(&self, _: &Event) {}
}

/// Something that happened. `path` is the step it happened to: one element for a
/// macro-step, two for a micro-step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The run began.
    RunStarted {
        /// All its nodes.
        nodes: NodeSet,
        /// Their set.
        set: SetId,
    },
    /// A step began.
    StepStarted {
        /// Which step.
        path: Path,
        /// On which set.
        set: SetId,
        /// Its nodes.
        nodes: NodeSet,
        /// Which attempt, from 0.
        attempt: u32,
        /// Limit of the attempt.
        limit: Option<Duration>,
    },
    /// A micro-step that was in flight when the service was stopped is run again.
    Recovered {
        /// Which step.
        path: Path,
        /// On which set.
        set: SetId,
        /// The nodes it still holds.
        nodes: NodeSet,
        /// How it is recovered.
        recovery: Recovery,
    },
    /// Nodes left a step that goes on: the step handed them over.
    Raised {
        /// Which step.
        path: Path,
        /// Their set from now on.
        set: SetId,
        /// The nodes and how they ended there.
        nodes: Raise,
        /// How long the step has been running.
        elapsed: Duration,
    },
    /// A step ended; nodes it handed over before are not among these.
    StepFinished {
        /// Which step.
        path: Path,
        /// On which set.
        set: SetId,
        /// The nodes it succeeded on.
        ok: NodeSet,
        /// The nodes it failed on.
        ko: Failures,
        /// How long it ran.
        elapsed: Duration,
    },
    /// A step went over its limit and was stopped; `StepFinished` with its nodes follows.
    TimedOut {
        /// Which step.
        path: Path,
        /// On which set.
        set: SetId,
        /// The nodes it still held.
        nodes: NodeSet,
        /// The limit.
        limit: Duration,
    },
    /// A set was split by a step.
    Split {
        /// Which step.
        path: Path,
        /// The set that was split.
        from: SetId,
        /// The nodes that passed it.
        ok: (SetId, NodeSet),
        /// The nodes that did not.
        ko: (SetId, NodeSet),
    },
    /// A step is tried again.
    Retry {
        /// Which step.
        path: Path,
        /// On which set.
        set: SetId,
        /// Its nodes.
        nodes: NodeSet,
        /// Which attempt, from 0.
        attempt: u32,
    },
    /// An alternative gave up; the next one serves.
    Fallback {
        /// The step that takes over.
        path: Path,
        /// On which set.
        set: SetId,
        /// Its nodes.
        nodes: NodeSet,
    },
    /// Nodes stopped before a step for good.
    Breakpoint {
        /// Which step.
        path: Path,
        /// Their set.
        set: SetId,
        /// Which nodes.
        nodes: NodeSet,
    },
    /// Nodes wait before a step.
    Paused {
        /// Which step.
        path: Path,
        /// Their set.
        set: SetId,
        /// Which nodes.
        nodes: NodeSet,
    },
    /// Nodes that were paused go on with the step.
    Continued {
        /// Which step.
        path: Path,
        /// Their set.
        set: SetId,
        /// Which nodes.
        nodes: NodeSet,
    },
    /// Nodes are at their end inside a macro-step. They leave it now, or when it ends if
    /// the micro-step is not raisable.
    Left {
        /// Which macro-step.
        path: Path,
        /// The micro-step they ended at.
        at: Location,
        /// Their set.
        set: SetId,
        /// Which nodes.
        nodes: NodeSet,
        /// How they ended.
        status: Status,
        /// Why, for nodes that failed.
        reasons: Failures,
        /// How long the macro-step has been running.
        elapsed: Duration,
    },
    /// Nodes are at the end of the run.
    Settled {
        /// The step they ended at.
        path: Path,
        /// Their set.
        set: SetId,
        /// Which nodes.
        nodes: NodeSet,
        /// How they ended.
        status: Status,
        /// Why, for nodes that failed.
        reasons: Failures,
        /// How long the run has been going on.
        elapsed: Duration,
    },
    /// The run was killed: all its nodes failed, and nothing of it runs any more.
    Killed {
        /// All its nodes.
        nodes: NodeSet,
        /// Why.
        reason: Reason,
    },
}
