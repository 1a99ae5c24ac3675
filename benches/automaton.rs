//! The cost of the automaton, as ratios to that of bare tokio tasks and channels, which are
//! measured in the same run.
//!
//! Prints a table; nothing is asserted: `scripts/bench automaton`.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

mod goals;

use automata::{
    Context, Journal, JournalError, NodeId, NodeSet, Options, Outcome, Plan, Record, Recovery,
    Step, Task, TaskManager,
};
use goals::{Aim, Goals};
use kadence::store::{Change, EmbeddedStore, Store};
use peak::PEAK;
use serde_json::value::to_raw_value;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, task::JoinSet};

/// Peak of the heap, counted by the allocator.
mod peak {
    use peak_alloc::PeakAlloc;

    #[global_allocator]
    pub(crate) static PEAK: PeakAlloc = PeakAlloc;
}

const MACRO_STEPS: u32 = 3;
const MICRO_STEPS: u32 = 8;
const LIMIT: Duration = Duration::from_secs(600);

/// Succeeds, and does nothing else.
struct Nothing;

#[async_trait::async_trait]
impl Task for Nothing {
    fn recovery(&self) -> Recovery {
        Recovery::Rerun
    }

    async fn run(&self, nodes: NodeSet, _: Context) -> Outcome {
        Outcome::ok(nodes)
    }
}

/// Hands its nodes over one by one.
struct Scatter;

#[async_trait::async_trait]
impl Task for Scatter {
    fn recovery(&self) -> Recovery {
        Recovery::Rerun
    }

    async fn run(&self, nodes: NodeSet, cx: Context) -> Outcome {
        for node in &nodes {
            cx.raise_ok(node.into());
        }
        Outcome::default()
    }
}

/// Waits for the others, so that all runs are alive at once.
struct Pause;

#[async_trait::async_trait]
impl Task for Pause {
    fn recovery(&self) -> Recovery {
        Recovery::Rerun
    }

    async fn run(&self, nodes: NodeSet, _: Context) -> Outcome {
        tokio::time::sleep(Duration::from_millis(500)).await;
        Outcome::ok(nodes)
    }
}

/// Keeps every record on the disk before anything follows from it, as the service does.
struct Durable(EmbeddedStore);

#[async_trait::async_trait]
impl Journal for Durable {
    async fn append(&self, records: &[Record]) -> Result<(), JournalError> {
        let mut change = Change::new();
        for record in records {
            let body = to_raw_value(record)
                .map_err(|error| JournalError::caused("it is no record", error))?;
            change = change.append("D-bench", 0, body);
        }
        self.0.commit(change).await.map_err(|error| JournalError::new(error.to_string()))
    }
}

fn plan(first: impl Task, last: impl Task) -> Plan {
    let (mut first, mut last) = (Some(first), Some(last));
    Plan::sequence((0..MACRO_STEPS).map(|outer| {
        let micro = (0..MICRO_STEPS).map(|inner| {
            let name = format!("micro-{inner}");
            let step = match (outer, inner) {
                (0, 0) => first.take().map(|task| Step::task(name.as_str(), task)),
                (2, 0) => last.take().map(|task| Step::task(name.as_str(), task)),
                _ => None,
            };
            step.unwrap_or_else(|| Step::task(name, Nothing)).timeout(LIMIT).retries(1)
        });
        Step::plan(format!("macro-{outer}"), Plan::sequence(micro)).timeout(LIMIT).retries(1)
    }))
}

/// Wall time and peak of the heap, in MB, of a run.
async fn measure(plan: Plan, nodes: u32) -> Result<(Duration, f32), Box<dyn std::error::Error>> {
    written(plan, nodes, Options::default()).await
}

/// The same, told to a journal.
async fn written(
    plan: Plan,
    nodes: u32,
    options: Options,
) -> Result<(Duration, f32), Box<dyn std::error::Error>> {
    let automaton = plan.compile()?;
    PEAK.reset_peak_usage();
    let before = PEAK.current_usage_as_mb();
    let begun = Instant::now();
    let nodes: NodeSet = (0..nodes).map(NodeId).collect();
    let (manager, _control) = TaskManager::new(automaton, nodes.clone(), options);
    let ended = manager.run().await?;
    let elapsed = begun.elapsed();
    if ended.ok != nodes {
        return Err(format!("{} nodes failed", ended.ko.len()).into());
    }
    Ok((elapsed, PEAK.peak_usage_as_mb() - before))
}

/// The floor: as many tasks as node-steps, one after the other per node, each with a message.
async fn floor(nodes: u32) -> Duration {
    let begun = Instant::now();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for node in 0..nodes {
        let sender = sender.clone();
        tasks.spawn(async move { sender.send((node, 1)).ok() });
    }
    let mut left = nodes;
    while left > 0 {
        let Some((node, step)) = receiver.recv().await else { break };
        while tasks.try_join_next().is_some() {}
        if step == MACRO_STEPS * MICRO_STEPS {
            left -= 1;
            continue;
        }
        let sender = sender.clone();
        tasks.spawn(async move { sender.send((node, step + 1)).ok() });
    }
    while tasks.join_next().await.is_some() {}
    begun.elapsed()
}

/// One line of the table; `floor` is what bare tasks need for as many node-steps.
fn row(what: &str, time: Duration, heap: f32, floor: Duration, note: &str) {
    let (ms, ratio) = (time.as_secs_f64() * 1e3, time.div_duration_f64(floor));
    println!("{what:<46} {ms:>10.2} ms {heap:>8.1} MB {ratio:>8.3} x the floor  {note}");
}

/// The same number of nodes, each a set of its own, at sizes a decade apart: the time of one
/// node must not grow.
async fn linear() -> Result<(), Box<dyn std::error::Error>> {
    let mut first = None;
    for nodes in [1_000, 10_000, 100_000] {
        let bare = floor(nodes).await;
        let (time, heap) = measure(plan(Scatter, Nothing), nodes).await?;
        let each = time.as_secs_f64() * 1e3 / f64::from(nodes);
        let ratio = each / *first.get_or_insert(each);
        let note = format!("{each:.4} ms per node, {ratio:.2} x that of 1 000");
        row(&format!("(c) {nodes} single nodes"), time, heap, bare, &note);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{MACRO_STEPS} macro-steps x {MICRO_STEPS} micro-steps that do nothing");
    // What is measured first would pay for the first pages of the heap.
    measure(plan(Scatter, Nothing), 1_000).await?;
    let bare = floor(10_000).await;
    row("bare tasks and channel, 10 000 nodes", bare, 0.0, bare, "the floor");
    let mut goals = Goals::default();
    let milliseconds = |time: Duration| (time.as_secs_f64() * 1e3, "ms");
    let (time, heap) = measure(plan(Scatter, Nothing), 10_000).await?;
    row("(a) 10 000 single nodes", time, heap, bare, "");
    let name = "10 000 single nodes, 24 micro-steps";
    goals.note(name, milliseconds(time), None, Aim::AtMost(1000.0));
    let (time, heap) = measure(plan(Scatter, Pause), 10_000).await?;
    row("    the same, all asleep at once for 500 ms", time, heap, bare, "");
    let folder = tempfile::tempdir()?;
    let journal = Arc::new(Durable(EmbeddedStore::open(folder.path())?));
    let options = Options { journal, ..Options::default() };
    let (time, heap) = written(plan(Scatter, Nothing), 10_000, options).await?;
    row("    the same, every transition on the disk", time, heap, bare, "");
    let name = "10 000 nodes one by one, every transition durable";
    goals.note(name, (time.as_secs_f64(), "s"), None, Aim::AtMost(10.0));
    let (time, heap) = measure(plan(Nothing, Nothing), 10_000).await?;
    row("(b) 10 000 nodes as one set", time, heap, bare, "");
    goals.note("10 000 nodes as one set", milliseconds(time), None, Aim::AtMost(10.0));
    linear().await?;
    let bare = floor(100).await;
    let (time, heap) = measure(plan(Nothing, Nothing), 100).await?;
    row("(d) a workflow on 100 nodes", time, heap, bare, "");
    goals.note("a workflow on 100 nodes", milliseconds(time), None, Aim::AtMost(50.0));
    goals.write()?;
    Ok(())
}
