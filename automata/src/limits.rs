//! The transition table as far as it bounds things: how often, and for how long.

use crate::{
    Automaton, Path, StepId,
    automaton::{Vertex, Way},
};
use std::time::Duration;

/// What bounds a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepLimits {
    /// The step: one element for a macro-step, two for a micro-step.
    pub path: Path,
    /// Limit of an attempt; none where it may last for ever.
    pub timeout: Option<Duration>,
    /// How many times it may be started again.
    pub retries: u32,
}

impl Automaton {
    /// Every step and what is inside it, each with what bounds it.
    pub fn limits(&self) -> Vec<StepLimits> {
        let mut all = Vec::new();
        self.collect(&Path::default(), &mut all);
        all
    }

    /// The steps that could last for ever: those without a limit of their own. There must be none
    /// in what is run on machines.
    pub fn unbounded(&self) -> Vec<Path> {
        let endless = |one: &StepLimits| one.timeout.is_none();
        self.limits().into_iter().filter(endless).map(|one| one.path).collect()
    }

    fn collect(&self, around: &Path, all: &mut Vec<StepLimits>) {
        for at in self.graph.node_indices() {
            let Some(work) = self.work(StepId(at)) else { continue };
            let path = around.child(work.location.clone());
            // A step that fails goes back to its gate.
            let retries = match &self.graph[self.follow(at, Way::Ko)] {
                Vertex::Gate { retries } => *retries,
                _ => 0,
            };
            all.push(StepLimits { path: path.clone(), timeout: work.timeout, retries });
            if let Some(inner) = &work.inner {
                inner.collect(&path, all);
            }
        }
    }
}
