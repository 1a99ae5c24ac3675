//! What a step is to the automaton.

use crate::{Context, NodeId, NodeSet};
use std::{collections::BTreeMap, sync::Arc};

/// Why a node failed, in words fit for the user.
pub type Reason = Arc<str>;

/// Failed nodes, each with its reason.
pub type Failures = BTreeMap<NodeId, Reason>;

/// What a restart of the service does to a task that was in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Run it again from the start: it is idempotent.
    Rerun,
    /// Look at the world first: what it set off may have happened.
    Observe,
    /// Take its nodes as failed.
    Fail,
}

/// What a task says of its nodes when it ends.
///
/// A node in both sets failed. A node in neither (and not handed over before) failed too,
/// with a reason that says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Nodes it succeeded on.
    pub ok: NodeSet,
    /// Nodes it failed on, with the reason.
    pub ko: Failures,
}

impl Outcome {
    /// All of `nodes` succeeded.
    pub fn ok(nodes: NodeSet) -> Self {
        Self { ok: nodes, ko: Failures::new() }
    }

    /// All of `nodes` failed for one reason.
    pub fn ko(nodes: &NodeSet, reason: impl Into<Reason>) -> Self {
        Self { ok: NodeSet::new(), ko: failures(nodes, reason) }
    }

    /// The nodes of `ko` failed, the rest of `nodes` succeeded.
    pub fn all_but(nodes: &NodeSet, ko: Failures) -> Self {
        if ko.is_empty() {
            return Self::ok(nodes.clone());
        }
        Self { ok: nodes.iter().filter(|node| !ko.contains_key(node)).collect(), ko }
    }
}

/// The failures of `nodes` for one reason.
pub(crate) fn failures(nodes: &NodeSet, reason: impl Into<Reason>) -> Failures {
    let reason = reason.into();
    nodes.iter().map(|node| (node, Arc::clone(&reason))).collect()
}

/// One treatment of a node set.
///
/// One task value serves all the runs of its step, and several may run at once on
/// different nodes, so it keeps nothing of a run. A run may be cut short at any `await`
/// once [`Context::cancelled`] has fired and the grace is over: what it owns must clean
/// up when dropped. A task should end soon after the cancellation.
#[async_trait::async_trait]
pub trait Task: Send + Sync + 'static {
    /// What a restart of the service does to a run that was in flight.
    fn recovery(&self) -> Recovery;

    /// Treats `nodes` and says how it went; nodes may be handed over early through `cx`.
    async fn run(&self, nodes: NodeSet, cx: Context) -> Outcome;
}
