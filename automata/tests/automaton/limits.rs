//! Deadlines, panics, retries of macro-steps and numbers of node sets.

use crate::support::{Trial, fails_once, good, hang, run, set, step};
use automata::{Event, NodeId, Outcome, Plan, SetId, Status, Step};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_retried_macro_step_runs_again_for_the_failed_nodes_and_says_so_inside() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let reboot = step("reboot", move |nodes, cx| {
        log.lock().unwrap().push((cx.path().to_string(), cx.macro_attempt(), cx.attempt()));
        async move {
            let soft = cx.macro_attempt() == 0;
            let ko = nodes.iter().filter(|node| soft && node.0 == 1);
            let ko = ko.map(|node| (node, "needs more".into())).collect();
            Outcome::all_but(&nodes, ko)
        }
    });
    let boot = Step::plan("Boot", Plan::sequence([reboot])).retries(1);
    let (ended, memory) = run(Plan::sequence([boot]), 2).await;
    assert_eq!(ended.ok, set(0..2));
    assert_eq!(*seen.lock().unwrap(), [("Boot-reboot".into(), 0, 0), ("Boot-reboot".into(), 1, 0)]);
    assert_eq!(
        memory.started(),
        ["Boot 0,1 0", "Boot-reboot 0,1 0", "Boot 1 1", "Boot-reboot 1 0"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_macro_step_over_its_limit_is_stopped_with_all_inside() {
    let begun = Instant::now();
    let inner = Plan::sequence([good("quick"), hang("hang")]);
    let limit = Duration::from_secs(30);
    let (ended, memory) = run(Plan::sequence([Step::plan("macro", inner).timeout(limit)]), 2).await;
    assert_eq!(&*ended.ko[&NodeId(0)], "Timeout in the macro step");
    assert_eq!(memory.started(), ["macro 0,1 0", "macro-quick 0,1 0", "macro-hang 0,1 0"]);
    let took = begun.elapsed();
    assert!(took >= limit && took < limit + Duration::from_secs(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_the_nodes_and_not_the_service() {
    let bug = step("bug", |_, _| async { panic!("out of ideas") });
    let (ended, _) = run(Plan::sequence([Step::plan("m", Plan::sequence([bug]))]), 2).await;
    assert_eq!(&*ended.ko[&NodeId(1)], "the bug step panicked: out of ideas");
}

#[tokio::test(start_paused = true)]
async fn what_a_task_tells_after_its_deadline_does_not_count() {
    let late = step("late", |nodes, cx| async move {
        cx.cancelled().await;
        cx.raise_ok(set([0]));
        Outcome::ok(nodes)
    });
    let limit = Duration::from_secs(1);
    let (ended, _) = run(Plan::sequence([late.timeout(limit)]), 2).await;
    assert_eq!((ended.ok.len(), ended.ko.len()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_in_the_context_is_the_nearest() {
    let seen = Arc::new(Mutex::new(None));
    let log = seen.clone();
    let look = step("look", move |nodes, cx| {
        *log.lock().unwrap() = cx.deadline();
        async { Outcome::ok(nodes) }
    });
    let inner = Plan::sequence([look.timeout(Duration::from_secs(100))]);
    let begun = Instant::now();
    run(Plan::sequence([Step::plan("m", inner).timeout(Duration::from_secs(7))]), 1).await;
    assert_eq!(*seen.lock().unwrap(), Some(begun + Duration::from_secs(7)));
}

#[tokio::test(start_paused = true)]
async fn a_split_gives_two_numbers_and_sets_that_leave_keep_theirs() {
    let inner = Plan::sequence([fails_once("half", &[1]), good("then")]);
    let (_, memory) = run(Plan::sequence([Step::plan("m", inner), good("last")]), 3).await;
    let events = memory.events();
    let split = events.iter().find_map(|event| match event {
        Event::Split { from, ok, ko, path } => {
            Some((path.to_string(), *from, ok.clone(), ko.clone()))
        }
        _ => None,
    });
    let (ok, ko) = ((SetId(1), set([0, 2])), (SetId(2), set([1])));
    assert_eq!(split, Some(("m-half".to_owned(), SetId(0), ok, ko)));
    let settled: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Settled { set, status, .. } => Some((*set, *status)),
            _ => None,
        })
        .collect();
    assert_eq!(settled, [(SetId(2), Status::Ko), (SetId(1), Status::Ok)]);
}

#[tokio::test(start_paused = true)]
async fn a_run_over_no_nodes_ends() {
    let trial = Trial::new(&Plan::sequence([good("x")]), set([]), false);
    let (ended, memory) = trial.run().await;
    assert_eq!((ended.ok.len(), ended.ko.len(), memory.started().len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_goes_on_after_its_last_node_left_is_stopped() {
    let lingering = step("lingering", |nodes, cx| async move {
        cx.raise_ok(nodes);
        std::future::pending().await
    });
    let (ended, _) = run(Plan::sequence([lingering, good("next")]), 2).await;
    assert_eq!(ended.ok, set(0..2));
}

#[test]
fn the_table_says_what_bounds_each_step_and_what_nothing_bounds() {
    let inner = Plan::sequence([good("first").timeout(Duration::from_secs(1)), good("endless")]);
    let macro_step = Step::plan("m", inner).timeout(Duration::from_secs(9)).retries(3);
    let automaton = Plan::sequence([macro_step]).compile().unwrap();
    let mut limits: Vec<_> = automaton
        .limits()
        .into_iter()
        .map(|one| (one.path.to_string(), one.timeout.map(|limit| limit.as_secs()), one.retries))
        .collect();
    limits.sort();
    let expected = [("m", Some(9), 3), ("m-endless", None, 0), ("m-first", Some(1), 0)];
    assert_eq!(limits, expected.map(|(path, limit, retries)| (path.to_owned(), limit, retries)));
    let endless: Vec<_> = automaton.unbounded().iter().map(ToString::to_string).collect();
    assert_eq!(endless, ["m-endless"]);
}
