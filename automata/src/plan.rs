//! The plan as people write it.

use crate::{Automaton, InvalidPlan, Task};
use std::{fmt, sync::Arc, time::Duration};

/// A list of positions that nodes pass one after the other.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In the order in which they are passed.
    pub positions: Vec<Position>,
}

/// A place in the list, with the ways to get past it.
#[derive(Clone, Debug)]
pub struct Position {
    /// Name shown to users.
    pub name: Arc<str>,
    /// Tried in order: the second serves the nodes on which the first gave up.
    pub alternatives: Vec<Step>,
}

/// A step with its limits.
#[derive(Clone)]
pub struct Step {
    /// Name shown to users.
    pub name: Arc<str>,
    /// Limit of one attempt; none when absent.
    pub timeout: Option<Duration>,
    /// How many times it may be started again after the first attempt failed.
    pub retries: u32,
    /// Whether nodes that end here leave the enclosing macro-step at once.
    pub raisable: bool,
    /// Whether nodes stop before this step.
    pub breakpoint: bool,
    /// What is done.
    pub body: Body,
}

/// What a step does.
#[derive(Clone)]
pub enum Body {
    /// A treatment of the nodes: a micro-step.
    Task(Arc<dyn Task>),
    /// A list of its own: a macro-step.
    Plan(Plan),
}

impl Plan {
    /// A plan of `positions`.
    pub fn new(positions: impl IntoIterator<Item = Position>) -> Self {
        Self { positions: positions.into_iter().collect() }
    }

    /// A plan whose positions have one way each.
    pub fn sequence(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::new(steps.into_iter().map(Position::from))
    }

    /// Makes the graph that is walked.
    ///
    /// # Errors
    /// A position without alternatives, or a macro-step or plan without positions.
    pub fn compile(&self) -> Result<Arc<Automaton>, InvalidPlan> {
        Automaton::new(self).map(Arc::new)
    }
}

impl Position {
    /// A position with its ways in order.
    pub fn new(name: impl Into<Arc<str>>, alternatives: impl IntoIterator<Item = Step>) -> Self {
        Self { name: name.into(), alternatives: alternatives.into_iter().collect() }
    }
}

impl From<Step> for Position {
    fn from(step: Step) -> Self {
        Self { name: Arc::clone(&step.name), alternatives: vec![step] }
    }
}

impl Step {
    /// A micro-step: no timeout, no retries, raisable, no breakpoint.
    pub fn task(name: impl Into<Arc<str>>, task: impl Task) -> Self {
        Self::new(name, Body::Task(Arc::new(task)))
    }

    /// A macro-step: no timeout, no retries, raisable, no breakpoint.
    pub fn plan(name: impl Into<Arc<str>>, plan: Plan) -> Self {
        Self::new(name, Body::Plan(plan))
    }

    /// A step with the given body: no timeout, no retries, raisable, no breakpoint.
    pub fn new(name: impl Into<Arc<str>>, body: Body) -> Self {
        let name = name.into();
        Self { name, timeout: None, retries: 0, raisable: true, breakpoint: false, body }
    }

    /// Limits each attempt.
    #[must_use]
    pub fn timeout(self, limit: Duration) -> Self {
        Self { timeout: Some(limit), ..self }
    }

    /// Allows further attempts.
    #[must_use]
    pub fn retries(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    /// Says whether nodes that end here leave the macro-step at once.
    #[must_use]
    pub fn raisable(self, raisable: bool) -> Self {
        Self { raisable, ..self }
    }

    /// Stops nodes before this step.
    #[must_use]
    pub fn breakpoint(self, breakpoint: bool) -> Self {
        Self { breakpoint, ..self }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(_) => f.write_str("Task"),
            Self::Plan(plan) => plan.fmt(f),
        }
    }
}

/// Puts custom operations around a position: `pre` before it, `post` after it, and
/// `substitute` in its place unless that is empty. They are ordinary steps.
pub fn splice(
    position: Position,
    pre: Vec<Step>,
    substitute: Vec<Step>,
    post: Vec<Step>,
) -> Vec<Position> {
    let own = if substitute.is_empty() {
        vec![position]
    } else {
        substitute.into_iter().map(Position::from).collect()
    };
    let pre = pre.into_iter().map(Position::from);
    pre.chain(own).chain(post.into_iter().map(Position::from)).collect()
}
