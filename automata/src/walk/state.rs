//! What a walk knows, as a value that can be compared.

use super::Gone;
use crate::{
    Failures, NodeId, NodeSet, Raise, Reason, RunId, SetId, Status, StepId, task::failures,
};
use std::{collections::BTreeMap, sync::Arc};

/// Where every node of a walk is. Two walks that were told the same have equal states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    nodes: NodeSet,
    pub(super) keep: bool,
    pub(super) runs: BTreeMap<RunId, Box<Run>>,
    next: u32,
    pub(super) paused: usize,
    ok: Vec<NodeId>,
    ko: Failures,
    brk: Vec<NodeId>,
    pub(super) killed: Option<Reason>,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its nodes wait at a breakpoint.
    Paused,
    /// It was commanded.
    Commanded,
    /// It was reported to start.
    Started,
}

/// One run of a step on a node set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) step: StepId,
    pub(super) nodes: NodeSet,
    /// Those of `nodes` that left early.
    pub(super) gone: Gone,
    pub(super) set: SetId,
    pub(super) attempt: u32,
    pub(super) phase: Phase,
}

impl State {
    pub(super) fn new(nodes: NodeSet, keep: bool) -> Self {
        Self {
            nodes,
            keep,
            runs: BTreeMap::new(),
            next: 0,
            paused: 0,
            ok: Vec::new(),
            ko: Failures::new(),
            brk: Vec::new(),
            killed: None,
        }
    }

    /// All the nodes of the run.
    pub fn nodes(&self) -> &NodeSet {
        &self.nodes
    }

    /// Nodes that passed.
    pub fn ok(&self) -> NodeSet {
        self.ok.iter().copied().collect()
    }

    /// Nodes that failed for good, with the reason.
    pub fn ko(&self) -> &Failures {
        &self.ko
    }

    /// Nodes that stopped at a breakpoint for good.
    pub fn brk(&self) -> NodeSet {
        self.brk.iter().copied().collect()
    }

    /// Whether every node is at its end.
    pub fn is_done(&self) -> bool {
        self.ok.len() + self.ko.len() + self.brk.len() == self.nodes.len()
    }

    /// Whether nodes are paused.
    pub fn has_paused(&self) -> bool {
        self.paused > 0
    }

    /// Why the run was killed, if it was.
    pub fn killed(&self) -> Option<&Reason> {
        self.killed.as_ref()
    }

    /// Runs that were commanded and have not ended: id, step, set, the nodes still held,
    /// attempt, and whether they were reported to start.
    pub fn open_runs(
        &self,
    ) -> impl Iterator<Item = (RunId, StepId, SetId, NodeSet, u32, bool)> + '_ {
        let open = self.runs.iter().filter(|(_, run)| run.phase != Phase::Paused);
        open.map(|(id, run)| {
            let started = run.phase == Phase::Started;
            (*id, run.step, run.set, run.held(), run.attempt, started)
        })
    }

    /// The nodes, set, step and attempt of an open run.
    pub(crate) fn open_run(&self, run: RunId) -> Option<(&NodeSet, SetId, StepId, u32)> {
        self.runs.get(&run).map(|run| (&run.nodes, run.set, run.step, run.attempt))
    }

    /// Whether an open run was reported to start.
    pub fn has_started(&self, run: RunId) -> bool {
        self.runs.get(&run).is_some_and(|run| run.phase == Phase::Started)
    }

    /// The nodes that an open run still holds.
    pub(crate) fn held(&self, run: RunId) -> NodeSet {
        self.runs.get(&run).map(|run| run.held()).unwrap_or_default()
    }

    pub(super) fn next_run(&mut self) -> RunId {
        self.next += 1;
        RunId(self.next)
    }

    pub(super) fn take_paused(&mut self) -> Vec<RunId> {
        if std::mem::take(&mut self.paused) == 0 {
            return Vec::new();
        }
        let paused = self.runs.iter().filter(|(_, run)| run.phase == Phase::Paused);
        paused.map(|(id, _)| *id).collect()
    }

    pub(super) fn settle(&mut self, nodes: &NodeSet, status: Status, reasons: &Failures) {
        match status {
            Status::Ok => self.ok.extend(nodes),
            Status::Brk => self.brk.extend(nodes),
            Status::Ko => self.ko.extend(reasons.iter().map(|(id, why)| (*id, Arc::clone(why)))),
        }
    }

    /// After a kill every node has failed; those that had failed before keep their reason.
    pub(super) fn all_killed(&mut self, reason: &Reason) {
        let mut all = failures(&self.nodes, Arc::clone(reason));
        all.append(&mut self.ko);
        self.ko = all;
        self.ok.clear();
        self.brk.clear();
        self.paused = 0;
        self.killed = Some(Arc::clone(reason));
    }
}

impl Run {
    pub(super) fn new(step: StepId, nodes: NodeSet, set: SetId, attempt: u32) -> Self {
        Self { step, nodes, gone: Gone::new(), set, attempt, phase: Phase::Commanded }
    }

    fn holds(&self, node: NodeId) -> bool {
        self.nodes.contains(node) && !self.gone.contains(&node)
    }

    /// The nodes it still holds.
    pub(super) fn held(&self) -> NodeSet {
        if self.gone.is_empty() {
            return self.nodes.clone();
        }
        if self.gone.len() == self.nodes.len() {
            return NodeSet::new();
        }
        self.nodes.iter().filter(|node| !self.gone.contains(node)).collect()
    }

    /// Lets nodes go; returns those it held.
    pub(super) fn release(&mut self, nodes: &Raise) -> Raise {
        let nodes = match nodes {
            Raise::Ok(nodes) => Raise::Ok(self.those_held(nodes)),
            Raise::Brk(nodes) => Raise::Brk(self.those_held(nodes)),
            Raise::Ko(ko) => {
                let held = ko.iter().filter(|(node, _)| self.holds(**node));
                Raise::Ko(held.map(|(node, why)| (*node, Arc::clone(why))).collect())
            }
        };
        match &nodes {
            Raise::Ok(nodes) | Raise::Brk(nodes) => self.gone.extend(nodes),
            Raise::Ko(ko) => self.gone.extend(ko.keys()),
        }
        nodes
    }

    fn those_held(&self, nodes: &NodeSet) -> NodeSet {
        if self.gone.is_empty() && *nodes == self.nodes {
            return nodes.clone();
        }
        nodes.iter().filter(|node| self.holds(*node)).collect()
    }

    /// The results for the nodes it still holds: one in both sets failed, and so did one
    /// in neither.
    pub(super) fn results(&self, ok: &NodeSet, ko: &Failures, step: &str) -> (NodeSet, Failures) {
        let mut failed = Failures::new();
        for (node, why) in ko.iter().filter(|(node, _)| self.holds(**node)) {
            failed.insert(*node, Arc::clone(why));
        }
        let mut passed = self.those_held(ok);
        if !failed.is_empty() {
            passed = passed.iter().filter(|node| !failed.contains_key(node)).collect();
        }
        let held = self.nodes.len() - self.gone.len();
        if passed.len() + failed.len() < held {
            let reason: Reason = format!("the {step} step gave no result for this node").into();
            for node in &self.held() {
                if !passed.contains(node) {
                    failed.entry(node).or_insert_with(|| Arc::clone(&reason));
                }
            }
        }
        (passed, failed)
    }
}
