//! Where each node of an operation is, and how long it took to get there.

use crate::{
    steps::Undone,
    types::{ClusterStatus, NodeStatus, StatusTree, StepNodes},
};
use automata::{Failures, Location, NodeId, NodeSet, Path, Status};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Macro-steps of a workflow: the columns of the statistics.
pub(crate) const POSITIONS: usize = 3;

/// One cluster's nodes.
#[derive(Debug)]
pub(crate) struct Board {
    nodes: Vec<Place>,
    /// The steps that were gone through: `Macro/micro`.
    steps: Vec<String>,
    /// Who left which macro-step, and how, until he enters it again.
    left: BTreeMap<String, Left>,
}

/// Nodes that left a macro-step.
#[derive(Debug, Default)]
struct Left {
    ok: NodeSet,
    ko: NodeSet,
}

/// Where one node is.
#[expect(clippy::struct_excessive_bools, reason = "each is true of a node or not")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The micro-step it is in, or failed in.
    at: Option<Path>,
    /// `ok`, `ko`, `reboot_in_progress`, `rebooted` or `brk`.
    pub(crate) state: &'static str,
    /// Why it failed, until it is tried again.
    pub(crate) error: Option<String>,
    /// What was asked for (power status).
    pub(crate) out: Option<String>,
    /// Time in the steps of the board, by their index, milliseconds.
    took: Vec<(u16, u32)>,
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
    /// Its micro-step has succeeded, and the next one has not begun.
    passed: bool,
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
    /// Macro-step instance and micro-step that it is in, or failed in.
    pub(crate) fn step(&self) -> Option<(&Arc<str>, &Arc<str>)> {
        let at = self.at.as_ref()?;
        Some((&at.macro_step()?.name, &at.micro_step()?.name))
    }

    fn spent(&mut self, step: u16, milliseconds: u32) {
        match self.took.iter_mut().find(|(one, _)| *one == step) {
            Some((_, before)) => *before = before.saturating_add(milliseconds),
            None => self.took.push((step, milliseconds)),
        }
    }

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

    /// The list of its micro-step that it is in.
    fn list<'l>(&self, lists: &'l mut StepNodes) -> &'l mut Vec<String> {
        match self.state {
            "ko" => &mut lists.ko,
            _ if self.passed => &mut lists.ok,
            _ => &mut lists.processing,
        }
    }
}

/// One macro-step in the statistics of one node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    /// The instance; none if it was not entered.
    pub(crate) step: Option<Arc<str>>,
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
        Self { nodes: vec![place; nodes], steps: Vec::new(), left: BTreeMap::new() }
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

    /// One node as users see it.
    pub(crate) fn status(&self, place: &Place) -> NodeStatus {
        let (macro_step, micro) = place.step().unzip();
        let seconds = place.took.iter().filter_map(|(step, milliseconds)| {
            let name = self.steps.get(usize::from(*step))?;
            Some((name.clone(), f64::from(*milliseconds) / 1000.0))
        });
        NodeStatus {
            macro_step: macro_step.map(ToString::to_string),
            micro: micro.map(ToString::to_string),
            state: place.state.to_owned(),
            error: place.error.clone(),
            out: place.out.clone(),
            seconds: seconds.collect(),
        }
    }

    /// Index of a step among those that were gone through.
    fn index(&mut self, name: String) -> u16 {
        let known = self.steps.iter().position(|one| *one == name);
        let index = known.unwrap_or_else(|| {
            self.steps.push(name);
            self.steps.len() - 1
        });
        u16::try_from(index).unwrap_or(u16::MAX)
    }

    /// All nodes with their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Place)> {
        (0_u32..).map(NodeId).zip(&self.nodes)
    }

    /// `nodes` began `path`.
    pub(crate) fn enter(&mut self, path: &Path, nodes: &NodeSet, limit: Option<Duration>) {
        let (Some(outer), inner) = (path.macro_step(), path.micro_step()) else { return };
        if let (None, Some(left)) = (inner, self.left.get_mut(&*outer.name)) {
            left.ok = left.ok.difference(nodes);
            left.ko = left.ko.difference(nodes);
        }
        for id in nodes {
            let place = self.place_mut(id);
            place.started = true;
            place.paused = false;
            place.passed = false;
            // What failed before is not why it fails now.
            place.error = None;
            let now = Instant::now();
            if inner.is_some() {
                place.since = Some(now);
                let own = limit.map(|limit| now + limit).into_iter();
                place.until = own.chain(place.macro_until).min();
                place.at = Some(path.clone());
                place.state = "ok";
                continue;
            }
            place.macro_until = limit.map(|limit| now + limit);
            if let Some(column) = place.columns.get_mut(outer.position as usize) {
                column.step = Some(Arc::clone(&outer.name));
                column.timeout = limit.map_or(0, |limit| limit.as_secs());
            }
        }
    }

    /// `nodes` wait at a breakpoint until they are told to go on or given up.
    pub(crate) fn pause(&mut self, nodes: &NodeSet) {
        for id in nodes {
            let place = self.place_mut(id);
            (place.paused, place.error) = (true, None);
        }
    }

    /// Whether a node waits at a breakpoint.
    pub(crate) fn has_paused(&self) -> bool {
        self.nodes.iter().any(|place| place.paused && place.ended.is_none())
    }

    /// `ok` and `ko` left `path`, which took `elapsed`.
    pub(crate) fn leave(&mut self, path: &Path, ok: &NodeSet, ko: &NodeSet, elapsed: Duration) {
        let Some(outer) = path.macro_step() else { return };
        let inner = path.micro_step();
        let step = inner.map(|inner| self.index(format!("{}/{}", outer.name, inner.name)));
        let milliseconds = elapsed.as_secs_f64() * 1000.0;
        if inner.is_none() {
            let left = self.left.entry(outer.name.to_string()).or_default();
            left.ok = left.ok.union(ok);
            left.ko = left.ko.union(ko);
        }
        for id in &ok.union(ko) {
            let place = self.place_mut(id);
            place.passed = step.is_some() && ok.contains(id);
            if let Some(step) = step {
                let most = f64::from(u32::MAX);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "between 0 and the most"
                )]
                place.spent(step, milliseconds.round().min(most) as u32);
            } else if let Some(column) = place.columns.get_mut(outer.position as usize) {
                column.seconds = milliseconds.round() / 1000.0;
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
            let place = self.place_mut(*id);
            place.state = "ko";
            place.error = Some(format!("{path}: {reason}"));
        }
    }

    /// `nodes` are at their end.
    pub(crate) fn settle(&mut self, nodes: &NodeSet, status: Status, reasons: &Failures) {
        for id in nodes {
            let place = self.place_mut(id);
            place.ended = Some(status);
            match status {
                Status::Ko => {
                    place.state = "ko";
                    let reason = reasons.get(&id).map(ToString::to_string);
                    place.failed.clone_from(&reason);
                    place.error = place.error.take().or(reason);
                }
                Status::Ok | Status::Brk => {
                    place.state = if status == Status::Ok { "ok" } else { "brk" };
                    (place.at, place.error) = (None, None);
                }
            }
        }
    }

    /// Where the nodes are, by macro- and micro-step, and which have left them.
    pub(crate) fn tree(&self, cluster: &str, name: impl Fn(NodeId) -> String) -> StatusTree {
        let mut status = ClusterStatus::default();
        for (id, place) in self.iter().filter(|(_, place)| place.ended.is_none()) {
            let Some((outer, inner)) = place.step() else { continue };
            let steps = &mut status.steps.entry(outer.to_string()).or_default().steps;
            let step = steps.entry(inner.to_string()).or_default();
            place.list(&mut step.nodes).push(name(id));
            let age = place.since.map_or(0, |since| since.elapsed().as_secs());
            step.time = step.time.max(age);
        }
        for (outer, step) in &mut status.steps {
            let Some(left) = self.left.get(outer) else { continue };
            step.ok = left.ok.iter().map(&name).collect();
            step.ko = left.ko.iter().map(&name).collect();
        }
        status.ok = self.ended_with(Status::Ok).map(&name).collect();
        status.ko = self.ended_with(Status::Ko).map(&name).collect();
        let nobody = status == ClusterStatus::default();
        if nobody { StatusTree::new() } else { [(cluster.to_owned(), status)].into() }
    }

    /// The nodes that ended with `status`.
    pub(crate) fn ended_with(&self, status: Status) -> impl Iterator<Item = NodeId> {
        let mine = self.iter().filter(move |(_, place)| place.ended == Some(status));
        mine.map(|(id, _)| id)
    }
}
