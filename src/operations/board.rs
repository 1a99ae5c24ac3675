//! Where each node of an operation is, and how long it took to get there.

use crate::{
    steps::Undone,
    types::{NodeStatus, StatusTree, StepStatus},
};
use automata::{Failures, Location, NodeId, NodeSet, Path, Status};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Macro-steps of a workflow: the columns of the statistics.
pub(crate) const POSITIONS: usize = 3;

/// One cluster's nodes.
#[derive(Debug)]
pub(crate) struct Board {
    nodes: Vec<Place>,
}

/// Where one node is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// As users see it.
    pub(crate) status: NodeStatus,
    /// It has begun.
    pub(crate) started: bool,
    /// How it ended.
    pub(crate) ended: Option<Status>,
    /// Why it failed for good, if it did.
    pub(crate) failed: Option<String>,
    /// It was under way when the operation was broken off.
    pub(crate) broken_off: bool,
    /// What became of it then.
    pub(crate) undone: Option<Undone>,
    /// It waits at a breakpoint.
    paused: bool,
    /// Its way through the macro-steps.
    pub(crate) columns: [Column; POSITIONS],
    since: Option<Instant>,
    /// When something was last heard of it.
    heard: Option<Instant>,
    /// When the step fails on it, or the macro-step does.
    until: Option<Instant>,
    /// When the macro-step fails on it.
    macro_until: Option<Instant>,
}

impl Place {
    /// How long it has been in its step, and how long it may still be.
    pub(crate) fn times(&self) -> (Duration, Option<Duration>) {
        let since = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        (since, left)
    }

    /// Whether nothing was heard of it for so long, and it does not wait at a breakpoint.
    pub(crate) fn is_quiet(&self, timer: Duration) -> bool {
        !self.paused && self.heard.is_none_or(|heard| heard.elapsed() >= timer)
    }

    /// Whether it waits at a breakpoint.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }
}

/// One macro-step in the statistics of one node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    /// The instance.
    pub(crate) step: String,
    /// Its limit, seconds; 0: none.
    pub(crate) timeout: u64,
    /// Retries and fallbacks.
    pub(crate) retries: u32,
    /// Seconds of the last attempt.
    pub(crate) seconds: f64,
}

impl Board {
    /// Nobody has begun.
    pub(crate) fn new(nodes: usize) -> Self {
        let place = Place { heard: Some(Instant::now()), ..Place::default() };
        Self { nodes: vec![place; nodes] }
    }

    /// One node.
    pub(crate) fn place(&self, id: NodeId) -> &Place {
        &self.nodes[id.index()]
    }

    /// One node, to be changed.
    pub(crate) fn place_mut(&mut self, id: NodeId) -> &mut Place {
        let place = &mut self.nodes[id.index()];
        place.heard = Some(Instant::now());
        place
    }

    /// All nodes with their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Place)> {
        (0_u32..).map(NodeId).zip(&self.nodes)
    }

    /// `nodes` began `path`.
    pub(crate) fn enter(&mut self, path: &Path, nodes: &NodeSet, limit: Option<Duration>) {
        let (Some(outer), inner) = (path.macro_step(), path.micro_step()) else { return };
        for id in nodes {
            let place = self.place_mut(id);
            place.started = true;
            place.paused = false;
            match inner {
                None => {
                    place.macro_until = limit.map(|limit| Instant::now() + limit);
                    if let Some(column) = place.columns.get_mut(outer.position as usize) {
                        column.step = outer.name.to_string();
                        column.timeout = limit.map_or(0, |limit| limit.as_secs());
                    }
                }
                Some(inner) => {
                    let now = Instant::now();
                    place.since = Some(now);
                    let own = limit.map(|limit| now + limit).into_iter();
                    place.until = own.chain(place.macro_until).min();
                    place.status.macro_step = Some(outer.name.to_string());
                    place.status.micro = Some(inner.name.to_string());
                    place.status.state = "ok".into();
                }
            }
        }
    }

    /// `nodes` wait at a breakpoint until they are told to go on or given up.
    pub(crate) fn pause(&mut self, nodes: &NodeSet) {
        for id in nodes {
            self.place_mut(id).paused = true;
        }
    }

    /// Whether a node waits at a breakpoint.
    pub(crate) fn has_paused(&self) -> bool {
        self.nodes.iter().any(|place| place.paused && place.ended.is_none())
    }

    /// `nodes` left `path`, which took `elapsed`.
    pub(crate) fn leave(&mut self, path: &Path, nodes: &NodeSet, elapsed: Duration) {
        let Some(outer) = path.macro_step() else { return };
        for id in nodes {
            let place = self.place_mut(id);
            let seconds = (elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
            if let Some(inner) = path.micro_step() {
                let name = format!("{}/{}", outer.name, inner.name);
                *place.status.seconds.entry(name).or_default() += seconds;
            } else if let Some(column) = place.columns.get_mut(outer.position as usize) {
                column.seconds = seconds;
            }
        }
    }

    /// `nodes` go through the macro-step at `location` again, or another way.
    pub(crate) fn again(&mut self, location: &Location, nodes: &NodeSet) {
        for id in nodes {
            if let Some(column) = self.place_mut(id).columns.get_mut(location.position as usize) {
                column.retries += 1;
            }
        }
    }

    /// `nodes` failed in `path`; the text stays with them unless they succeed later.
    pub(crate) fn failed(&mut self, path: &Path, failures: &Failures) {
        for (id, reason) in failures {
            let status = &mut self.place_mut(*id).status;
            status.state = "ko".into();
            status.error = Some(format!("{path}: {reason}"));
        }
    }

    /// `nodes` are at their end.
    pub(crate) fn settle(&mut self, nodes: &NodeSet, status: Status, reasons: &Failures) {
        for id in nodes {
            let place = self.place_mut(id);
            place.ended = Some(status);
            match status {
                Status::Ko => {
                    place.status.state = "ko".into();
                    let reason = reasons.get(&id).map(ToString::to_string);
                    place.failed.clone_from(&reason);
                    place.status.error = place.status.error.take().or(reason);
                }
                Status::Ok | Status::Brk => {
                    let state = if status == Status::Ok { "ok" } else { "brk" };
                    let (seconds, out) =
                        (std::mem::take(&mut place.status.seconds), place.status.out.take());
                    place.status =
                        NodeStatus { state: state.into(), seconds, out, ..NodeStatus::default() };
                }
            }
        }
    }

    /// The nodes that are under way, by macro- and micro-step.
    pub(crate) fn tree(&self, cluster: &str, name: impl Fn(NodeId) -> String) -> StatusTree {
        let mut tree = StatusTree::new();
        for (id, place) in self.iter().filter(|(_, place)| place.ended.is_none()) {
            let (Some(outer), Some(inner)) = (&place.status.macro_step, &place.status.micro) else {
                continue;
            };
            let steps = tree.entry(cluster.to_owned()).or_default();
            let step = steps.entry(outer.clone()).or_default().entry(inner.clone());
            let step = step.or_insert_with(empty_step);
            let list = if place.status.state == "ko" { "KO" } else { "**" };
            step.nodes.entry(list.to_owned()).or_default().push(name(id));
            let age = place.since.map_or(0, |since| since.elapsed().as_secs());
            step.time = step.time.max(age);
        }
        tree
    }
}

fn empty_step() -> StepStatus {
    let lists = ["OK", "KO", "**"].map(|list| (list.to_owned(), Vec::new()));
    StepStatus { nodes: BTreeMap::from(lists), time: 0 }
}
