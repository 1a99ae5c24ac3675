//! What a walk is told, and what it tells.

use crate::{Failures, NodeSet, Reason, StepId};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// Number of one run of one step inside its manager; never used twice there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub u32);

/// Number of a node set, unique in its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SetId(pub i32);

impl SetId {
    /// The set a run starts with.
    pub const FIRST: Self = Self(0);

    /// Whether users see the number: only once a set has been split.
    pub fn is_shown(self) -> bool {
        self.0 > 0
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How nodes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// They passed.
    Ok,
    /// They failed for good.
    Ko,
    /// They stopped at a breakpoint.
    Brk,
}

/// Nodes that leave a running step before it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Raise {
    /// The step is done with them.
    Ok(NodeSet),
    /// The step failed on them.
    Ko(Failures),
    /// They stopped at a breakpoint inside the step.
    Brk(NodeSet),
}

impl Raise {
    /// How these nodes ended.
    pub fn status(&self) -> Status {
        match self {
            Self::Ok(_) => Status::Ok,
            Self::Ko(_) => Status::Ko,
            Self::Brk(_) => Status::Brk,
        }
    }
}

/// What happened: all a walk ever learns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The run is about to begin.
    Started {
        /// Which run.
        run: RunId,
        /// When it will be stopped, in milliseconds since the start of the operation: its own
        /// limit or that around it. It is later by as long as nodes inside are paused, and after
        /// a restart of the service its time begins anew.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
    },
    /// Some of its nodes left it early.
    Raised {
        /// Which run.
        run: RunId,
        /// The nodes.
        nodes: Raise,
        /// The id they have already, when they come from a set inside the step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        set: Option<SetId>,
    },
    /// The run ended.
    Finished {
        /// Which run.
        run: RunId,
        /// Nodes it succeeded on.
        ok: NodeSet,
        /// Nodes it failed on.
        ko: Failures,
    },
    /// The run went over its limit and was stopped.
    TimedOut {
        /// Which run.
        run: RunId,
    },
    /// All nodes that are paused go on.
    Continued,
    /// All nodes that are paused fail.
    Aborted {
        /// Why.
        reason: Reason,
    },
    /// The whole run is stopped; all its nodes fail, those that had passed as well.
    Killed {
        /// Why.
        reason: Reason,
    },
}

/// Why a step is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It is next.
    Next,
    /// It failed and may be tried again.
    Retry,
    /// The alternative before it gave up.
    Fallback,
    /// Its nodes were paused before it and go on.
    Continue,
}

/// What the driver must do, or tell its observer, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run a step on a node set, then report.
    Run {
        /// To be given back with each report.
        run: RunId,
        /// The step.
        step: StepId,
        /// On which nodes.
        nodes: NodeSet,
        /// Id of that set.
        set: SetId,
        /// Which attempt this is, from 0.
        attempt: u32,
        /// Why it is run.
        cause: Cause,
        /// Limit of this attempt.
        limit: Option<Duration>,
    },
    /// Nodes wait before a step until they are continued or aborted.
    Pause {
        /// The run that will be commanded for them.
        run: RunId,
        /// The step they wait before.
        step: StepId,
        /// Which nodes.
        nodes: NodeSet,
        /// Id of that set.
        set: SetId,
    },
    /// Nodes left a run that goes on.
    Leave {
        /// Which run.
        run: RunId,
        /// The nodes, without those the run did not hold.
        nodes: Raise,
        /// Their set from now on.
        set: SetId,
    },
    /// A run is over; these are its results for the nodes it still held.
    End {
        /// Which run.
        run: RunId,
        /// Nodes it succeeded on.
        ok: NodeSet,
        /// Nodes it failed on; those it gave no result for are among them.
        ko: Failures,
    },
    /// A set is split in two.
    Split {
        /// The step that split it.
        step: StepId,
        /// The set that was split.
        from: SetId,
        /// The nodes that passed the step.
        ok: (SetId, NodeSet),
        /// The nodes that did not.
        ko: (SetId, NodeSet),
    },
    /// Nodes are at the end of their way.
    Settle {
        /// The last step on it.
        step: StepId,
        /// Id of their set.
        set: SetId,
        /// Which nodes.
        nodes: NodeSet,
        /// How they ended.
        status: Status,
        /// Why, for nodes that failed.
        reasons: Failures,
    },
    /// Stop a run; nothing is reported of it any more.
    Kill {
        /// Which run.
        run: RunId,
    },
}
