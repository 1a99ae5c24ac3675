//! The behaviours that every automaton of this kind must have, one test each.

use crate::support::{Trial, bad, fails_once, good, hang, run, set, step};
use automata::{Event, NodeId, Outcome, Plan, Position, Step};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn nodes_raised_early_go_on_while_the_rest_is_retried_or_timed_out() {
    let first = step("first", |nodes, cx| async move {
        if cx.attempt() == 0 {
            cx.raise_ok(set([0]));
            cx.raise_ko([(NodeId(1), "early".into())].into());
            cx.cancelled().await;
        }
        Outcome::ok(nodes)
    });
    let plan = Plan::sequence([first.timeout(LIMIT).retries(1), good("second")]);
    let (ended, memory) = run(plan, 3).await;
    assert_eq!(ended.ok, set(0..3));
    assert_eq!(
        memory.started(),
        ["first 0,1,2 0", "second 0 0", "first 1 1", "second 1 0", "first 2 1", "second 2 0"]
    );
    let timed_out = memory.events().into_iter().find_map(|event| match event {
        Event::TimedOut { nodes, limit, .. } => Some((nodes, limit)),
        _ => None,
    });
    assert_eq!(timed_out, Some((set([2]), LIMIT)));
}

#[tokio::test(start_paused = true)]
async fn a_step_with_one_retry_runs_twice_and_only_for_the_nodes_that_failed() {
    let (ended, memory) = run(Plan::sequence([hang("hang").timeout(LIMIT).retries(1)]), 2).await;
    assert_eq!(memory.started(), ["hang 0,1 0", "hang 0,1 1"]);
    assert_eq!(&*ended.ko[&NodeId(1)], "Timeout in the hang step");

    let (ended, memory) = run(Plan::sequence([bad("bad").retries(1)]), 2).await;
    assert_eq!(memory.started(), ["bad 0,1 0", "bad 0,1 1"]);
    assert_eq!((ended.ok.len(), &*ended.ko[&NodeId(0)]), (0, "bad"));

    let (ended, memory) = run(Plan::sequence([fails_once("half", &[1, 3]).retries(1)]), 4).await;
    assert_eq!(memory.started(), ["half 0,1,2,3 0", "half 1,3 1"]);
    assert_eq!(ended.ok, set(0..4));
}

#[tokio::test(start_paused = true)]
async fn fallbacks_are_tried_in_order_and_none_after_a_success() {
    let position = Position::new(
        "ways",
        [
            bad("fail"),
            hang("timeout").timeout(LIMIT),
            bad("retry").retries(2),
            good("success"),
            good("never"),
        ],
    );
    let (ended, memory) = run(Plan::new([position]), 1).await;
    assert_eq!(
        memory.started(),
        ["fail 0 0", "timeout 0 0", "retry 0 0", "retry 0 1", "retry 0 2", "success 0 0"]
    );
    assert_eq!(ended.ok, set([0]));
    let fallbacks = memory.events().iter().filter(|e| matches!(e, Event::Fallback { .. })).count();
    assert_eq!(fallbacks, 3);
}

#[tokio::test(start_paused = true)]
async fn nodes_in_neither_set_have_failed_and_so_have_nodes_in_both() {
    let odd = step("odd", |_, _| async {
        Outcome {
            ok: set([0, 1, 9]),
            ko: [(NodeId(1), "both".into()), (NodeId(8), "x".into())].into(),
        }
    });
    let (ended, _) = run(Plan::sequence([odd]), 3).await;
    assert_eq!(ended.ok, set([0]));
    assert_eq!(&*ended.ko[&NodeId(1)], "both");
    assert_eq!(&*ended.ko[&NodeId(2)], "the odd step gave no result for this node");
    assert_eq!(ended.ko.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_breakpoint_in_an_alternative_stops_exactly_the_nodes_that_reach_it() {
    let ways = [fails_once("way", &[1, 2]), good("stop").breakpoint(true), good("never")];
    let inner = Plan::new([Position::new("ways", ways), Position::from(good("after"))]);
    let (ended, memory) = run(Plan::sequence([Step::plan("macro", inner), good("last")]), 3).await;
    assert_eq!((ended.ok, ended.brk), (set([0]), set([1, 2])));
    assert_eq!(
        memory.started(),
        ["macro 0,1,2 0", "macro-way 0,1,2 0", "macro-after 0 0", "last 0 0"]
    );
    let stops: Vec<String> = memory
        .events()
        .iter()
        .filter_map(|event| match event {
            Event::Breakpoint { path, nodes, .. } => Some(format!("{path} {nodes:?}")),
            _ => None,
        })
        .collect();
    assert_eq!(stops, ["macro-stop [(1, 2)]"]);
}

/// Counts how many of its kind live.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_kill_all_nodes_have_failed_and_nothing_runs() {
    let alive = Arc::new(AtomicUsize::new(0));
    let count = alive.clone();
    let stuck = step("stuck", move |_, cx| {
        let alive = Alive::new(&count);
        async move {
            cx.raise_ok(set([0]));
            std::future::pending::<()>().await;
            drop(alive);
            Outcome::default()
        }
    });
    let split = fails_once("split", &[1]);
    let inner = Plan::new([Position::new("split", [split, good("other")]), stuck.into()]);
    let trial = Trial::new(&Plan::sequence([Step::plan("macro", inner)]), set(0..3), false);
    let (control, memory) = (trial.control.clone(), trial.memory.clone());
    let kill = async {
        memory.until(|e| e.iter().any(|e| matches!(e, Event::Settled { .. }))).await;
        assert_eq!(alive.load(Ordering::SeqCst), 2);
        control.kill("enough");
    };
    let ((ended, memory), ()) = tokio::join!(trial.run(), kill);
    assert_eq!(ended.ok, set([]));
    assert_eq!(ended.ko.values().map(|why| &**why).collect::<Vec<_>>(), ["enough"; 3]);
    assert_eq!(ended.killed.as_deref(), Some("enough"));
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    let last = memory.events().pop();
    assert_eq!(last, Some(Event::Killed { nodes: set(0..3), reason: "enough".into() }));
}

#[tokio::test(start_paused = true)]
async fn behind_a_last_step_that_is_not_raisable_the_next_macro_step_starts_once() {
    let plan = |raisable| {
        let ways = [fails_once("way", &[1]), good("other")];
        let last = step("last", |nodes, _| async {
            tokio::time::sleep(Duration::from_secs(u64::from(nodes.as_slice()[0].0))).await;
            Outcome::ok(nodes)
        });
        let inner = Plan::new([Position::new("ways", ways), last.raisable(raisable).into()]);
        Plan::sequence([Step::plan("one", inner), Step::plan("two", Plan::sequence([good("x")]))])
    };
    let (_, memory) = run(plan(false), 3).await;
    let twos = |starts: Vec<String>| -> Vec<String> {
        starts.into_iter().filter(|start| start.starts_with("two ")).collect()
    };
    assert_eq!(twos(memory.started()), ["two 0,1,2 0"]);
    let (_, memory) = run(plan(true), 3).await;
    assert_eq!(twos(memory.started()), ["two 0,2 0", "two 1 0"]);
}
