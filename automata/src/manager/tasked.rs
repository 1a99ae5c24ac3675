//! A task whose body is a manager.

use super::TaskManager;
use crate::{Automaton, Context, NodeSet, Outcome, Recovery, Task, manager::driver::Driver};
use std::sync::Arc;

/// A macro-step: a task that runs an automaton of its own.
///
/// Nodes that end inside are handed over at once if the step at which they ended is
/// raisable, otherwise when the macro-step ends.
pub struct TaskedTaskManager {
    automaton: Arc<Automaton>,
}

impl TaskedTaskManager {
    /// A task that runs `automaton` on the nodes it is given.
    pub fn new(automaton: Arc<Automaton>) -> Self {
        Self { automaton }
    }
}

#[async_trait::async_trait]
impl Task for TaskedTaskManager {
    /// Its own records say where it was; the steps inside are recovered by their rules.
    fn recovery(&self) -> Recovery {
        Recovery::Rerun
    }

    async fn run(&self, nodes: NodeSet, cx: Context) -> Outcome {
        let manager = TaskManager::inside(Arc::clone(&self.automaton), nodes, &cx);
        let mut driver = Box::new(Driver::new(manager));
        // An error has stopped the whole operation; the outermost manager returns it.
        match driver.run().await {
            Ok(()) => driver.take_outcome(),
            Err(_) => Outcome::default(),
        }
    }
}
