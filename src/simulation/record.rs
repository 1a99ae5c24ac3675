//! The journal of a run and what was seen of it.

use crate::{
    nodes::Node,
    operations::pages,
    platform::sim::World,
    store::Store,
    types::{Problem, is_mistake},
};
use automata::{Event, NodeId, NodeSet, Observer, Raise, Status};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What was written.
pub(super) struct Written {
    /// Entries of the journal.
    pub(super) entries: usize,
    /// Bytes of a file with an entry a line, and its SHA-256 in hexadecimal.
    pub(super) bytes: usize,
    pub(super) sha256: String,
    /// Bytes on the disk.
    pub(super) disk: usize,
}

impl Written {
    /// What is in `store`.
    pub(super) async fn read(store: &dyn Store) -> Result<Self, Problem> {
        let (mut entries, mut bytes, mut digest) = (0, 0, Sha256::new());
        pages(store, |page| {
            entries += 1;
            bytes += page.len() + 1;
            digest.update(page);
            digest.update("\n");
        })
        .await?;
        let sha256 = format!("{:x}", digest.finalize());
        Ok(Self { entries, bytes, sha256, disk: 0 })
    }
}

/// The nodes that come to their end, and how.
pub(super) fn settles(event: &Event) -> Option<(&NodeSet, Status)> {
    match event {
        Event::Settled { nodes, status, .. } => Some((nodes, *status)),
        Event::Killed { nodes, .. } => Some((nodes, Status::Ko)),
        _ => None,
    }
}

/// Sees nodes settle, and closes their books in the world; sees what one service tells.
pub(super) struct Seen {
    world: Arc<World>,
    nodes: Vec<Arc<Node>>,
    told: Mutex<Told>,
}

/// What was told, as far as it is checked.
#[derive(Default)]
pub(super) struct Told {
    /// Nodes of which nothing more is to be heard.
    over: BTreeSet<NodeId>,
    /// What was heard of them.
    pub(super) late: Vec<String>,
    /// Failures of steps that are ours, be the nodes deployed afterwards or not.
    pub(super) mistakes: Vec<String>,
}

impl Seen {
    pub(super) fn new(world: &Arc<World>, nodes: &[Arc<Node>]) -> Self {
        Self { world: Arc::clone(world), nodes: nodes.to_vec(), told: Mutex::default() }
    }

    /// What was told until now.
    pub(super) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is told of nodes that are settled.
    fn heed(&self, event: &Event) {
        let mut told = self.told();
        let late: Vec<NodeId> = nodes_of(event).filter(|id| told.over.contains(id)).collect();
        for id in late {
            let what = format!("{event:?}");
            let what = what.split([' ', '{']).next().unwrap_or_default();
            let late = format!("{what} of {} after it was settled", self.nodes[id.index()].name);
            told.late.push(late);
        }
        let (Event::StepFinished { ko: failed, .. }
        | Event::Raised { nodes: Raise::Ko(failed), .. }) = event
        else {
            return;
        };
        let ours = failed.iter().filter(|(_, reason)| is_mistake(reason));
        let ours = ours.map(|(id, reason)| format!("{}: {reason}", self.nodes[id.index()].name));
        told.mistakes.extend(ours);
    }
}

impl Observer for Seen {
    fn event(&self, event: &Event) {
        self.heed(event);
        for id in settles(event).into_iter().flat_map(|(nodes, _)| nodes) {
            self.world.audit(|audit| audit.close(&self.nodes[id.index()].name));
            self.told().over.insert(id);
        }
    }
}

/// The nodes that an event is about.
fn nodes_of(event: &Event) -> Box<dyn Iterator<Item = NodeId> + '_> {
    match event {
        Event::RunStarted { nodes, .. }
        | Event::StepStarted { nodes, .. }
        | Event::Recovered { nodes, .. }
        | Event::TimedOut { nodes, .. }
        | Event::Retry { nodes, .. }
        | Event::Fallback { nodes, .. }
        | Event::Breakpoint { nodes, .. }
        | Event::Paused { nodes, .. }
        | Event::Continued { nodes, .. }
        | Event::Left { nodes, .. }
        | Event::Settled { nodes, .. }
        | Event::Raised { nodes: Raise::Ok(nodes) | Raise::Brk(nodes), .. } => {
            Box::new(nodes.iter())
        }
        Event::Raised { nodes: Raise::Ko(failed), .. } => Box::new(failed.keys().copied()),
        Event::StepFinished { ok, ko, .. } => Box::new(ok.iter().chain(ko.keys().copied())),
        Event::Split { ok, ko, .. } => Box::new(ok.1.iter().chain(ko.1.iter())),
        // It is about all, whatever became of them.
        Event::Killed { .. } => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::{Place, Scenario, Stage};
    use automata::{Failures, Path, SetId};
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_step_that_panicked_is_seen_whatever_becomes_of_its_nodes() {
        let (scenario, place) = (Scenario::new(1, 3), Place::built_in().unwrap());
        let stage = Stage::new(&scenario, &place);
        let seen = Seen::new(&stage.world, stage.site.inventory.all());
        for why in ["the kexec step panicked: no", "Timeout in the kexec step"] {
            let (path, ok, elapsed) = (Path::default(), NodeSet::default(), Duration::ZERO);
            let ko = Failures::from([(NodeId(1), why.into())]);
            seen.event(&Event::StepFinished { path, set: SetId(0), ok, ko, elapsed });
        }
        assert_eq!(seen.told().mistakes, ["node-2.sim: the kexec step panicked: no"]);
    }
}
