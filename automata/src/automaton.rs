//! A plan compiled to a graph.
//!
//! Two kinds of vertex do the work: a *gate* lets a node set pass as often as its step
//! may be attempted, a *step* is run. Retry, fallback to the next alternative and giving
//! up are edges, so that nothing else in the crate decides about them.

use crate::{Body, Cause, Location, Plan, Position, Step, Task, TaskedTaskManager};
use petgraph::{
    algo::is_cyclic_directed,
    graph::{DiGraph, NodeIndex},
    visit::{EdgeRef, NodeFiltered},
};
use std::{sync::Arc, time::Duration};

/// A step of a compiled plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub(crate) NodeIndex);

/// How a vertex is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The step passed, or the gate lets the set through.
    Ok,
    /// The step failed, or the gate has no attempt left.
    Ko,
}

/// A place in the graph.
pub(crate) enum Vertex {
    /// Lets a node set pass `retries` + 1 times.
    Gate { retries: u32 },
    /// Something to run.
    Work(Work),
    /// All positions are passed.
    Passed,
    /// A position ran out of alternatives.
    GaveUp,
}

/// A step as it is run.
pub(crate) struct Work {
    pub(crate) location: Location,
    pub(crate) timeout: Option<Duration>,
    pub(crate) raisable: bool,
    pub(crate) breakpoint: bool,
    pub(crate) task: Arc<dyn Task>,
    /// The list inside, when the step is a macro-step.
    pub(crate) inner: Option<Arc<Automaton>>,
}

/// Where a node set goes from a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Onward {
    /// To a step, for this attempt.
    Step { step: StepId, attempt: u32, cause: Cause },
    /// It passed.
    Passed,
    /// It failed for good.
    GaveUp,
}

/// A plan no automaton can be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// The plan, or the plan of a macro-step, has no positions.
    #[error("`{0}` has no steps: give it at least one")]
    NoPositions(String),
    /// A position offers no way past it.
    #[error("position `{0}` has no alternatives: give it at least one step")]
    NoAlternatives(String),
    /// A cycle that no gate counts.
    #[error("`{0}` could run for ever: a cycle of its graph passes no counter")]
    Endless(String),
}

/// A plan compiled to a graph: every walk over it ends.
pub struct Automaton {
    pub(crate) graph: DiGraph<Vertex, Way>,
    start: NodeIndex,
    /// How many levels of plans it holds, itself included.
    pub(crate) levels: u32,
}

impl Automaton {
    pub(crate) fn new(plan: &Plan) -> Result<Self, InvalidPlan> {
        Self::build("the plan", plan)
    }

    fn build(name: &str, plan: &Plan) -> Result<Self, InvalidPlan> {
        if plan.positions.is_empty() {
            return Err(InvalidPlan::NoPositions(name.to_owned()));
        }
        let mut graph = DiGraph::new();
        let gave_up = graph.add_node(Vertex::GaveUp);
        let mut start = graph.add_node(Vertex::Passed);
        for (index, position) in plan.positions.iter().enumerate().rev() {
            start = add_position(&mut graph, number(index), position, start, gave_up)?;
        }
        if !ends(&graph) {
            return Err(InvalidPlan::Endless(name.to_owned()));
        }
        let inner = graph.node_weights().filter_map(|vertex| match vertex {
            Vertex::Work(work) => work.inner.as_ref().map(|inner| inner.levels),
            _ => None,
        });
        let levels = 1 + inner.max().unwrap_or(0);
        Ok(Self { graph, start, levels })
    }

    /// Name and place of a step.
    ///
    /// Absent if the id is of another automaton.
    pub fn location(&self, step: StepId) -> Option<&Location> {
        self.work(step).map(|work| &work.location)
    }

    pub(crate) fn start(&self) -> NodeIndex {
        self.start
    }

    pub(crate) fn work(&self, step: StepId) -> Option<&Work> {
        match self.graph.node_weight(step.0)? {
            Vertex::Work(work) => Some(work),
            _ => None,
        }
    }

    /// Where a run begins.
    pub(crate) fn enter(&self) -> Onward {
        self.pass_gates(self.start, 0, Cause::Next)
    }

    /// Where a set goes after attempt number `attempt` of `step`.
    pub(crate) fn leave(&self, step: StepId, attempt: u32, way: Way) -> Onward {
        match way {
            Way::Ok => self.pass_gates(self.follow(step.0, way), 0, Cause::Next),
            Way::Ko => {
                self.pass_gates(self.follow(step.0, way), attempt.saturating_add(1), Cause::Retry)
            }
        }
    }

    /// Passes gates until there is something to run; `attempts` of the first are used up.
    fn pass_gates(&self, mut at: NodeIndex, mut attempts: u32, mut cause: Cause) -> Onward {
        loop {
            match &self.graph[at] {
                Vertex::Gate { retries } if attempts <= *retries => at = self.follow(at, Way::Ok),
                Vertex::Gate { .. } => {
                    at = self.follow(at, Way::Ko);
                    attempts = 0;
                    cause = Cause::Fallback;
                }
                Vertex::Work(_) => {
                    return Onward::Step { step: StepId(at), attempt: attempts, cause };
                }
                Vertex::Passed => return Onward::Passed,
                Vertex::GaveUp => return Onward::GaveUp,
            }
        }
    }

    /// Every gate and step has one edge of each kind.
    pub(crate) fn follow(&self, at: NodeIndex, way: Way) -> NodeIndex {
        self.graph.edges(at).find(|edge| *edge.weight() == way).map_or(at, |edge| edge.target())
    }
}

/// Adds the gates and steps of a position; returns where a set enters it.
fn add_position(
    graph: &mut DiGraph<Vertex, Way>,
    index: u32,
    position: &Position,
    next: NodeIndex,
    gave_up: NodeIndex,
) -> Result<NodeIndex, InvalidPlan> {
    if position.alternatives.is_empty() {
        return Err(InvalidPlan::NoAlternatives(position.name.to_string()));
    }
    let mut otherwise = gave_up;
    for (alternative, step) in position.alternatives.iter().enumerate().rev() {
        let gate = graph.add_node(Vertex::Gate { retries: step.retries });
        let work = graph.add_node(Vertex::Work(Work::new(step, index, number(alternative))?));
        graph.add_edge(gate, work, Way::Ok);
        graph.add_edge(gate, otherwise, Way::Ko);
        graph.add_edge(work, next, Way::Ok);
        graph.add_edge(work, gate, Way::Ko);
        otherwise = gate;
    }
    Ok(otherwise)
}

impl Work {
    fn new(step: &Step, position: u32, alternative: u32) -> Result<Self, InvalidPlan> {
        let (task, inner): (Arc<dyn Task>, _) = match &step.body {
            Body::Task(task) => (Arc::clone(task), None),
            Body::Plan(plan) => {
                let inner = Arc::new(Automaton::build(&step.name, plan)?);
                (Arc::new(TaskedTaskManager::new(Arc::clone(&inner))), Some(inner))
            }
        };
        Ok(Self {
            location: Location { name: Arc::clone(&step.name), position, alternative },
            timeout: step.timeout,
            raisable: step.raisable,
            breakpoint: step.breakpoint,
            task,
            inner,
        })
    }
}

/// Whether every cycle passes a gate. A gate counts its passes and they are bounded; its
/// count begins anew only after the set has gone on to another position or alternative,
/// to which no edge leads back.
fn ends(graph: &DiGraph<Vertex, Way>) -> bool {
    let ungated = NodeFiltered::from_fn(graph, |at| !matches!(graph[at], Vertex::Gate { .. }));
    !is_cyclic_directed(&ungated)
}

/// An index as it is kept; a list that long does not fit into memory.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
