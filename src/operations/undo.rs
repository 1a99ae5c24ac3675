//! What becomes of the nodes of an operation that was cancelled, or on which it failed.
//!
//! Those of a deployment are brought into a state that is known; an order to switch or to
//! reboot is not taken back, but it is told whether there was one. Either is on the node's
//! result.

use super::{operation::Operation, part::Part, watch::Watch};
use crate::{
    steps::{self, Phase, Run, Undone},
    types::Kind,
};
use automata::{ManagerPath, NodeId};
use futures_util::future::join_all;
use std::sync::Arc;

/// What is needed of an operation to undo it, whatever became of its parts.
pub(super) struct Ground {
    runs: Vec<(Arc<Watch>, Arc<Run>)>,
    /// It was under way before a restart: this may have been begun.
    resumed: bool,
}

impl Ground {
    /// Of an operation with these parts, before they are driven.
    pub(super) fn of(parts: &[Part]) -> Self {
        let top = ManagerPath::default();
        let resumed = parts.iter().any(|part| part.replay.walk(&top).is_some());
        let runs = parts.iter().map(|part| (Arc::clone(&part.watch), Arc::clone(&part.run)));
        Self { runs: runs.collect(), resumed }
    }

    /// Ends what is at work on nodes that failed.
    pub(super) async fn tidy(&self, operation: &Operation) {
        if operation.kind == Kind::Deploy {
            join_all(self.runs.iter().map(|(watch, run)| tidy(watch, run))).await;
        }
    }

    /// Takes care of the nodes that were under way when the operation was broken off, all at
    /// once. Each has a bound of its own.
    pub(super) async fn undo(&self, operation: &Operation) {
        let broken_off = |(watch, run): &(Arc<Watch>, Arc<Run>)| {
            let nodes = watch.broken_off().into_iter();
            nodes.map(|id| (Arc::clone(watch), Arc::clone(run), id)).collect::<Vec<_>>()
        };
        let nodes: Vec<_> = self.runs.iter().flat_map(broken_off).collect();
        if nodes.is_empty() {
            return;
        }
        if operation.kind == Kind::Deploy {
            operation.undoing.cancel();
            operation.say(0, "Each node that was under way is brought into a state that is known");
        }
        let one = |(watch, run, id): (Arc<Watch>, Arc<Run>, NodeId)| async move {
            let undone = match operation.kind {
                Kind::Deploy => steps::undo(&run, id, self.resumed).await,
                Kind::Reboot | Kind::Power => ordered(&run, id).await,
            };
            watch.left_as(id, &undone);
        };
        join_all(nodes.into_iter().map(one)).await;
    }
}

/// Ends what a deployment left at work on the nodes on which it failed, on all at once. The next
/// attempt of a macro-step begins with that, and does without this.
pub(super) async fn tidy(watch: &Watch, run: &Run) {
    let broken_off = watch.broken_off();
    let one = |id| async move {
        if let Err(why) = steps::tidy(run, id).await {
            let node = &run.nodes[id.index()].name;
            watch.say(1, &format!("{node}: what failed there may still be at work: {why}"));
        }
    };
    let failed = watch.failed().iter().filter(|id| !broken_off.contains(id)).collect::<Vec<_>>();
    join_all(failed.into_iter().map(one)).await;
}

/// A node that was to be rebooted or switched: it boots what is on its disk next.
async fn ordered(run: &Run, id: NodeId) -> Undone {
    let order = match run.power_order(id).map(|(_, phase)| phase) {
        None => "nothing was ordered",
        Some(Phase::Failed) => "the order to it had no effect",
        Some(Phase::Observed) => "the order to it had its effect",
        Some(Phase::Intent | Phase::Issued) => {
            "an order was given and is not taken back: `kadence power status` tells how it is"
        }
    };
    let cleared = steps::clear_profile(run, id).await;
    let state = match cleared {
        Ok(()) => order.to_owned(),
        Err(why) => format!("{order}; its boot profile stays: {why}"),
    };
    Undone { written: false, state }
}
