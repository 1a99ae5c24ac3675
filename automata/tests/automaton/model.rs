//! Random plans and outcomes against a reference that walks each node by itself.

use crate::support::{Memory, Trial, set, step};
use automata::{
    Context, Ended, Event, Failures, ManagerPath, NodeId, NodeSet, Outcome, Plan, Position, Status,
    Step, replay,
};
use proptest::{prelude::*, sample::Index};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const NODES: u32 = 6;

#[derive(Clone, Debug)]
struct Sketch {
    retries: u32,
    breakpoint: bool,
    raisable: bool,
    /// Number of the task, or what is inside.
    body: Result<u32, Vec<Vec<Sketch>>>,
}

/// Steps that a node was given: task, attempt of the macro-step, attempt.
type Trace = Vec<(u32, u32, u32)>;

// The reference.

fn expected(plan: &[Vec<Sketch>], node: u32, around: u32, seed: u64, trace: &mut Trace) -> Status {
    for position in plan {
        match position_of(position, node, around, seed, trace) {
            Status::Ok => {}
            end => return end,
        }
    }
    Status::Ok
}

fn position_of(ways: &[Sketch], node: u32, around: u32, seed: u64, trace: &mut Trace) -> Status {
    for way in ways {
        if way.breakpoint {
            return Status::Brk;
        }
        for attempt in 0..=way.retries {
            let end = match &way.body {
                Ok(task) => {
                    trace.push((*task, around, attempt));
                    let passed = !hangs(seed, *task, around, attempt)
                        && verdict(seed, node, *task, around, attempt).passes();
                    if passed { Status::Ok } else { Status::Ko }
                }
                Err(inner) => expected(inner, node, attempt, seed, trace),
            };
            if end != Status::Ko {
                return end;
            }
        }
    }
    Status::Ko
}

// What the tasks do.

#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Ok,
    RaiseOk,
    Ko,
    RaiseKo,
    Both,
    Neither,
}

impl Verdict {
    fn passes(self) -> bool {
        matches!(self, Self::Ok | Self::RaiseOk)
    }
}

fn chance(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

fn hangs(seed: u64, task: u32, around: u32, attempt: u32) -> bool {
    chance((seed, "hang", task, around, attempt)).is_multiple_of(12)
}

fn verdict(seed: u64, node: u32, task: u32, around: u32, attempt: u32) -> Verdict {
    match chance((seed, node, task, around, attempt)) % 16 {
        0 => Verdict::Ko,
        1 => Verdict::RaiseKo,
        2 => Verdict::Both,
        3 => Verdict::Neither,
        4..8 => Verdict::RaiseOk,
        _ => Verdict::Ok,
    }
}

#[derive(Default)]
struct Seen {
    traces: Mutex<BTreeMap<NodeId, Trace>>,
    running: AtomicUsize,
}

struct Running(Arc<Seen>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn work(seed: u64, task: u32, nodes: NodeSet, cx: Context, log: Arc<Seen>) -> Outcome {
    log.running.fetch_add(1, Ordering::SeqCst);
    let (around, attempt) = (cx.macro_attempt(), cx.attempt());
    for node in &nodes {
        log.traces.lock().unwrap().entry(node).or_default().push((task, around, attempt));
    }
    let _running = Running(log);
    if hangs(seed, task, around, attempt) {
        return std::future::pending().await;
    }
    let mut outcome = Outcome::default();
    let mut ok = Vec::new();
    for node in &nodes {
        let pause = chance((seed, node, task, "pause")) % 3;
        if pause > 0 {
            tokio::time::sleep(Duration::from_millis(pause * 100)).await;
        }
        let verdict = verdict(seed, node.0, task, around, attempt);
        match verdict {
            Verdict::RaiseOk => cx.raise_ok(node.into()),
            Verdict::RaiseKo => cx.raise_ko(Failures::from([(node, "raised".into())])),
            Verdict::Neither => {}
            Verdict::Ok | Verdict::Ko | Verdict::Both => {
                if verdict != Verdict::Ko {
                    ok.push(node);
                }
                if verdict != Verdict::Ok {
                    outcome.ko.insert(node, "failed".into());
                }
            }
        }
    }
    outcome.ok = ok.into_iter().collect();
    outcome
}

fn plan_of(sketch: &[Vec<Sketch>], seed: u64, log: &Arc<Seen>) -> Plan {
    Plan::new(
        sketch
            .iter()
            .map(|ways| Position::new("position", ways.iter().map(|way| step_of(way, seed, log)))),
    )
}

fn step_of(sketch: &Sketch, seed: u64, log: &Arc<Seen>) -> Step {
    let own = match &sketch.body {
        Ok(task) => {
            let (task, log) = (*task, log.clone());
            step(&format!("task {task}"), move |nodes, cx| work(seed, task, nodes, cx, log.clone()))
                .timeout(Duration::from_secs(60))
        }
        Err(inner) => Step::plan("macro", plan_of(inner, seed, log)),
    };
    own.retries(sketch.retries).raisable(sketch.raisable).breakpoint(sketch.breakpoint)
}

fn sketch<B: std::fmt::Debug + Clone>(
    body: impl Strategy<Value = B>,
    wrap: impl Fn(B) -> Result<u32, Vec<Vec<Sketch>>>,
) -> impl Strategy<Value = Vec<Vec<Sketch>>> {
    let flags = (0_u32..3, prop::bool::weighted(0.04), any::<bool>());
    let way = (flags, body).prop_map(move |((retries, breakpoint, raisable), body)| Sketch {
        retries,
        breakpoint,
        raisable,
        body: wrap(body),
    });
    prop::collection::vec(prop::collection::vec(way, 1..3), 1..4)
}

fn sketches() -> impl Strategy<Value = Vec<Vec<Sketch>>> {
    sketch(sketch(0_u32..50, Ok), Err)
}

fn simulated<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(work)
}

fn settled(memory: &Memory) -> Vec<NodeId> {
    let mut settled: Vec<NodeId> = memory
        .events()
        .iter()
        .filter_map(|event| match event {
            Event::Settled { nodes, .. } => Some(nodes.clone()),
            _ => None,
        })
        .flat_map(|nodes| nodes.iter().collect::<Vec<_>>())
        .collect();
    settled.sort_unstable();
    settled
}

fn trial(sketch: &[Vec<Sketch>], seed: u64, log: &Arc<Seen>) -> Trial {
    Trial::new(&plan_of(sketch, seed, log), set(0..NODES), false)
}

/// The micro-steps that each node was told to begin: task and attempt.
fn begun(told: &Memory) -> BTreeMap<NodeId, Vec<(u32, u32)>> {
    let mut begun = BTreeMap::<_, Vec<_>>::new();
    for event in told.events() {
        let Event::StepStarted { path, nodes, attempt, .. } = event else { continue };
        let name = path.last().and_then(|step| step.name.strip_prefix("task ")?.parse().ok());
        let Some(task) = name else { continue };
        for node in &nodes {
            begun.entry(node).or_default().push((task, attempt));
        }
    }
    begun
}

/// Events without their times.
fn timeless(events: Vec<Event>) -> Vec<String> {
    let mut events = events;
    for event in &mut events {
        if let Event::Raised { elapsed, .. }
        | Event::StepFinished { elapsed, .. }
        | Event::Left { elapsed, .. }
        | Event::Settled { elapsed, .. } = event
        {
            *elapsed = Duration::ZERO;
        }
    }
    events.iter().map(|event| format!("{event:?}")).collect()
}

fn status(ended: &Ended, node: NodeId) -> Option<Status> {
    let is = [
        (ended.ok.contains(node), Status::Ok),
        (ended.ko.contains_key(&node), Status::Ko),
        (ended.brk.contains(node), Status::Brk),
    ];
    let mut found = is.iter().filter(|(is, _)| *is).map(|(_, status)| *status);
    found.next().filter(|_| found.next().is_none())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_node_takes_the_way_of_the_reference(sketch in sketches(), seed in any::<u64>()) {
        let log = Arc::new(Seen::default());
        let trial = Trial::new(&plan_of(&sketch, seed, &log), set(0..NODES), false);
        let automaton = trial.automaton.clone();
        let (ended, memory) = simulated(trial.run());
        let mut traces = log.traces.lock().unwrap().clone();
        for node in 0..NODES {
            let mut trace = Trace::new();
            let end = expected(&sketch, node, 0, seed, &mut trace);
            prop_assert_eq!(status(&ended, NodeId(node)), Some(end), "node {}", node);
            prop_assert_eq!(traces.remove(&NodeId(node)).unwrap_or_default(), trace, "node {}", node);
        }
        prop_assert_eq!(settled(&memory), (0..NODES).map(NodeId).collect::<Vec<_>>());

        let records = memory.records.lock().unwrap().clone();
        for cut in 0..records.len() {
            prop_assert!(replay(&automaton, &records[..cut]).is_ok());
        }
        let replayed = replay(&automaton, &records).unwrap();
        let state = replayed.walk(&ManagerPath::default()).unwrap().state();
        prop_assert_eq!((state.ok(), state.ko(), state.brk()), (ended.ok, &ended.ko, ended.brk));
    }

    #[test]
    fn a_run_that_was_cut_after_any_record_goes_on_to_the_same_end(
        sketch in sketches(), seed in any::<u64>(), cuts in prop::collection::vec(any::<Index>(), 6),
    ) {
        let (_, memory) = simulated(trial(&sketch, seed, &Arc::default()).run());
        let mut records = memory.records.lock().unwrap().clone();
        // Each cut is made in the journal that the one before it left behind.
        for cut in cuts {
            records.truncate(cut.index(records.len() + 1));
            let log = Arc::new(Seen::default());
            let plan = plan_of(&sketch, seed, &log);
            let (ended, memory, told) = simulated(async {
                let (trial, told) = Trial::resumed(&plan, set(0..NODES), &records);
                let (ended, memory) = trial.run().await;
                (ended, memory, told)
            });
            let mut all = settled(&told);
            all.extend(settled(&memory));
            all.sort_unstable();
            prop_assert_eq!(all, (0..NODES).map(NodeId).collect::<Vec<_>>());
            let (before, mut after) = (begun(&told), log.traces.lock().unwrap().clone());
            for node in (0..NODES).map(NodeId) {
                let mut trace = Trace::new();
                let end = expected(&sketch, node.0, 0, seed, &mut trace);
                prop_assert_eq!(status(&ended, node), Some(end), "{:?}", node);
                let after = after.remove(&node).unwrap_or_default();
                let before = before.get(&node).map_or(&[][..], Vec::as_slice);
                prop_assert!(trace.ends_with(&after), "{:?}: {:?} in {:?}", node, after, trace);
                let first: Vec<_> = trace.iter().map(|(task, _, attempt)| (*task, *attempt)).collect();
                prop_assert!(first.starts_with(before), "{:?}: {:?} in {:?}", node, before, first);
                // What was in flight, and nothing else, is run twice.
                let twice = (before.len() + after.len()).checked_sub(trace.len());
                prop_assert!(twice.is_some_and(|twice| twice <= 1), "{:?}: {:?}", node, twice);
            }
            records.clone_from(&memory.records.lock().unwrap());
            let replayed = replay(&plan.compile().unwrap(), &records).unwrap();
            let state = replayed.walk(&ManagerPath::default()).unwrap().state();
            prop_assert_eq!((state.ok(), state.ko(), state.brk()), (ended.ok, &ended.ko, ended.brk));
        }
    }

    #[test]
    fn a_replay_tells_what_the_run_told(sketch in sketches(), seed in any::<u64>()) {
        let log = Arc::default();
        let (_, memory) = simulated(trial(&sketch, seed, &log).run());
        let records = memory.records.lock().unwrap().clone();
        let (_, told) =
            simulated(async { Trial::resumed(&plan_of(&sketch, seed, &log), set([]), &records) });
        let mut live = timeless(memory.events());
        live.retain(|event| !event.starts_with("RunStarted"));
        live.sort_unstable();
        let mut told = timeless(told.events());
        told.sort_unstable();
        prop_assert_eq!(told, live);
    }

    #[test]
    fn nothing_runs_after_a_kill(sketch in sketches(), seed in any::<u64>(), at in 0_u64..90_000) {
        let log = Arc::new(Seen::default());
        let trial = Trial::new(&plan_of(&sketch, seed, &log), set(0..NODES), false);
        let (automaton, control) = (trial.automaton.clone(), trial.control.clone());
        let starts = || log.traces.lock().unwrap().values().map(Vec::len).sum::<usize>();
        let (ended, memory, before) = simulated(async {
            let kill = async {
                tokio::time::sleep(Duration::from_millis(at)).await;
                control.kill("killed");
            };
            let ((ended, memory), ()) = tokio::join!(trial.run(), kill);
            let before = starts();
            tokio::time::sleep(Duration::from_secs(3600)).await;
            (ended, memory, before)
        });
        prop_assert_eq!(starts(), before);
        prop_assert_eq!(log.running.load(Ordering::SeqCst), 0);
        prop_assert_eq!(settled(&memory), (0..NODES).map(NodeId).collect::<Vec<_>>());
        if ended.killed.is_some() {
            prop_assert_eq!((ended.ok.len(), ended.ko.len()), (0, NODES as usize));
        }
        let records = memory.records.lock().unwrap().clone();
        let replayed = replay(&automaton, &records).unwrap();
        let state = replayed.walk(&ManagerPath::default()).unwrap().state();
        prop_assert_eq!((state.ok(), state.ko(), state.brk()), (ended.ok, &ended.ko, ended.brk));
        prop_assert_eq!(replayed.in_flight(), vec![]);
    }
}
