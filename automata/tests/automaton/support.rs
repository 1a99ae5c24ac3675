//! Tasks made of closures, and an observer and a journal that remember.

use automata::{
    Automaton, Context, Control, Ended, Event, Failures, Journal, JournalError, NodeId, NodeSet,
    Observer, Options, Outcome, Plan, Record, Recovery, Replay, RunError, Step, Task, TaskManager,
};
use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::timeout;

/// By the clock of the tests: a run that has not ended by then waits for what never comes.
const WAITS_FOR_EVER: Duration = Duration::from_secs(30 * 24 * 3600);

type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A task that is a function.
struct Act(Box<dyn Fn(NodeSet, Context) -> Work + Send + Sync>, Recovery);

#[async_trait::async_trait]
impl Task for Act {
    fn recovery(&self) -> Recovery {
        self.1
    }

    async fn run(&self, nodes: NodeSet, cx: Context) -> Outcome {
        (self.0)(nodes, cx).await
    }
}

pub(crate) fn step<F, W>(name: &str, work: F) -> Step
where
    F: Fn(NodeSet, Context) -> W + Send + Sync + 'static,
    W: Future<Output = Outcome> + Send + 'static,
{
    recovered(name, Recovery::Observe, work)
}

/// A step with its own rule for a restart.
pub(crate) fn recovered<F, W>(name: &str, rule: Recovery, work: F) -> Step
where
    F: Fn(NodeSet, Context) -> W + Send + Sync + 'static,
    W: Future<Output = Outcome> + Send + 'static,
{
    Step::task(name, Act(Box::new(move |nodes, cx| Box::pin(work(nodes, cx))), rule))
}

/// A step that succeeds.
pub(crate) fn good(name: &str) -> Step {
    step(name, |nodes, _| async { Outcome::ok(nodes) })
}

/// A step that fails on all nodes.
pub(crate) fn bad(name: &str) -> Step {
    step(name, |nodes, _| async move { Outcome::ko(&nodes, "bad") })
}

/// A step that never ends and does not heed its cancellation.
pub(crate) fn hang(name: &str) -> Step {
    step(name, |_, _| std::future::pending())
}

/// A step that fails on some nodes at the first attempt.
pub(crate) fn fails_once(name: &str, on: &'static [u32]) -> Step {
    step(name, move |nodes, cx| async move {
        let failing = nodes.iter().filter(|node| cx.attempt() == 0 && on.contains(&node.0));
        let ko: Failures = failing.map(|node| (node, "not yet".into())).collect();
        Outcome::all_but(&nodes, ko)
    })
}

pub(crate) fn set(ids: impl IntoIterator<Item = u32>) -> NodeSet {
    ids.into_iter().map(NodeId).collect()
}

/// Remembers the events and the records of a run.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) records: Mutex<Vec<Record>>,
    /// Set once somebody waits for an event.
    pub(crate) changed: tokio::sync::Notify,
}

impl Observer for Memory {
    fn event(&self, event: &Event) {
        self.events.lock().unwrap().push(event.clone());
        self.changed.notify_one();
    }
}

#[async_trait::async_trait]
impl Journal for Memory {
    async fn append(&self, records: &[Record]) -> Result<(), JournalError> {
        self.records.lock().unwrap().extend_from_slice(records);
        // A journal takes its time: other managers go on meanwhile.
        tokio::task::yield_now().await;
        Ok(())
    }
}

impl Memory {
    /// The runs of steps, as `path nodes attempt`, in the order in which they began.
    pub(crate) fn started(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let started = events.iter().filter_map(|event| match event {
            Event::StepStarted { path, nodes, attempt, .. } => {
                let nodes: Vec<String> = nodes.iter().map(|node| node.0.to_string()).collect();
                Some(format!("{path} {} {attempt}", nodes.join(",")))
            }
            _ => None,
        });
        started.collect()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// Waits until the events seen so far satisfy `what`.
    pub(crate) async fn until(&self, what: impl Fn(&[Event]) -> bool) {
        while !what(&self.events.lock().unwrap()) {
            self.changed.notified().await;
        }
    }
}

/// A run about to begin, with what watches it.
pub(crate) struct Trial {
    pub(crate) memory: Arc<Memory>,
    pub(crate) automaton: Arc<Automaton>,
    pub(crate) control: Control,
    manager: TaskManager,
}

impl Trial {
    pub(crate) fn new(plan: &Plan, nodes: NodeSet, keep: bool) -> Self {
        let memory = Arc::new(Memory::default());
        let automaton = plan.compile().unwrap();
        let options = Options {
            journal: memory.clone(),
            observer: memory.clone(),
            keep,
            ..Options::default()
        };
        let (manager, control) = TaskManager::new(automaton.clone(), nodes, options);
        Self { memory, automaton, control, manager }
    }

    /// The run that goes on after `records`, and what their replay told.
    pub(crate) fn resumed(plan: &Plan, nodes: NodeSet, records: &[Record]) -> (Self, Memory) {
        Self::resumed_at(plan, nodes, records, Duration::from_secs(1))
    }

    /// The same so long after the start; all records are of its first second.
    pub(crate) fn resumed_at(
        plan: &Plan,
        nodes: NodeSet,
        records: &[Record],
        at: Duration,
    ) -> (Self, Memory) {
        let memory = Arc::new(Memory::default());
        memory.records.lock().unwrap().extend_from_slice(records);
        let automaton = plan.compile().unwrap();
        let (told, mut replay) = (Memory::default(), Replay::new(automaton.clone()));
        for record in records {
            replay.take(record, Duration::from_secs(1), &told).unwrap();
        }
        let options =
            Options { journal: memory.clone(), observer: memory.clone(), ..Options::default() };
        let (manager, control) = TaskManager::resume(replay, nodes, options, at);
        (Self { memory, automaton, control, manager }, told)
    }

    pub(crate) async fn run(self) -> (Ended, Arc<Memory>) {
        let (result, memory) = self.result().await;
        (result.unwrap(), memory)
    }

    pub(crate) async fn result(self) -> (Result<Ended, RunError>, Arc<Memory>) {
        let ended = timeout(WAITS_FOR_EVER, self.manager.run()).await.expect("the run ends");
        (ended, self.memory)
    }
}

/// Runs a plan on nodes 0, 1, ... to its end.
pub(crate) async fn run(plan: Plan, nodes: u32) -> (Ended, Arc<Memory>) {
    Trial::new(&plan, set(0..nodes), false).run().await
}
