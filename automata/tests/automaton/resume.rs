//! Runs that go on where their journal ends.

use crate::support::{Memory, Trial, fails_once, good, hang, recovered, set, step};
use automata::{
    Context, Entry, Event, NodeId, NodeSet, Outcome, Plan, Record, Recovery, Report, RunError,
    SetId, Step,
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// What a task was given: nodes, attempt, whether it was in flight before.
type Given = Arc<Mutex<Vec<(NodeSet, u32, bool)>>>;

fn noting(given: &Given) -> impl Fn(NodeSet, &Context) + Send + Sync + 'static {
    let given = given.clone();
    move |nodes, cx| given.lock().unwrap().push((nodes, cx.attempt(), cx.recovering()))
}

/// Runs `plan` until `there`, then pulls the plug; what the journal has.
async fn cut(plan: &Plan, nodes: u32, there: impl Fn(&[Event]) -> bool) -> Vec<Record> {
    let trial = Trial::new(plan, set(0..nodes), false);
    let memory = trial.memory.clone();
    tokio::select! {
        _ = trial.run() => panic!("it ended"),
        () = memory.until(there) => {}
    }
    memory.records.lock().unwrap().clone()
}

fn began(name: &'static str) -> impl Fn(&[Event]) -> bool {
    move |events| {
        events.iter().any(
            |event| matches!(event, Event::StepStarted { path, .. } if path.to_string() == name),
        )
    }
}

/// Hands node 0 over, then hangs, unless it was in flight before.
fn clings(rule: Recovery, given: &Given) -> Plan {
    let note = noting(given);
    let clings = recovered("clings", rule, move |nodes, cx| {
        note(nodes.clone(), &cx);
        async move {
            if cx.recovering() {
                return Outcome::ok(nodes);
            }
            cx.raise_ok(set([0]));
            std::future::pending().await
        }
    });
    Plan::sequence([Step::plan("m", Plan::sequence([clings.retries(1), good("then")]))])
}

#[tokio::test(start_paused = true)]
async fn what_was_in_flight_is_run_again_for_the_nodes_it_still_held() {
    for rule in [Recovery::Rerun, Recovery::Observe] {
        let given = Given::default();
        let plan = clings(rule, &given);
        let records = cut(&plan, 3, began("m-then")).await;
        let (trial, told) = Trial::resumed(&plan, set(0..3), &records);
        assert_eq!(told.started(), ["m 0,1,2 0", "m-clings 0,1,2 0", "m-then 0 0"]);
        let (ended, memory) = trial.run().await;
        assert_eq!(ended.ok, set(0..3));
        assert_eq!(*given.lock().unwrap(), [(set(0..3), 0, false), (set([1, 2]), 0, true)]);
        let rules = memory.events().into_iter().filter_map(|event| match event {
            Event::Recovered { path, nodes, recovery, .. } => Some((path, nodes, recovery)),
            _ => None,
        });
        let mut clings = rules.filter(|(path, ..)| path.to_string() == "m-clings");
        assert_eq!(clings.next().map(|(_, nodes, rule)| (nodes, rule)), Some((set([1, 2]), rule)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_taken_up_again_fails_and_is_retried_as_any_failure() {
    let given = Given::default();
    let plan = clings(Recovery::Fail, &given);
    let records = cut(&plan, 3, began("m-then")).await;
    let (trial, _) = Trial::resumed(&plan, set(0..3), &records);
    let memory = trial.memory.clone();
    tokio::select! {
        _ = trial.run() => panic!("the second attempt hangs as the first did"),
        () = memory.until(began("m-clings")) => {}
    }
    let given = given.lock().unwrap();
    assert_eq!(*given, [(set(0..3), 0, false), (set([1, 2]), 1, false)]);
    let reason = memory.events().into_iter().find_map(|event| match event {
        Event::StepFinished { ko, .. } => ko.get(&NodeId(1)).cloned(),
        _ => None,
    });
    assert!(reason.unwrap().contains("during the clings step"));
}

#[tokio::test(start_paused = true)]
async fn what_was_commanded_and_had_not_begun_begins() {
    let given = Given::default();
    let note = noting(&given);
    let second = step("second", move |nodes, cx| {
        note(nodes.clone(), &cx);
        async { Outcome::ok(nodes) }
    });
    let plan = Plan::sequence([good("first"), second]);
    let mut records = cut(&plan, 2, began("second")).await;
    // It may even have ended by now: the journal is cut before it was said to begin.
    let starts = |record: &Record| {
        matches!(record.entry, Entry::Reported { report: Report::Started { .. }, .. })
    };
    records.truncate(records.iter().rposition(starts).unwrap());
    let (trial, _) = Trial::resumed(&plan, set(0..2), &records);
    given.lock().unwrap().clear();
    let (ended, memory) = trial.run().await;
    assert_eq!(ended.ok, set(0..2));
    assert_eq!(*given.lock().unwrap(), [(set(0..2), 0, false)]);
    assert_eq!(memory.started(), ["second 0,1 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_holds_nothing_begins_at_the_start() {
    let plan = Plan::sequence([good("only")]);
    let (ended, memory) = Trial::resumed(&plan, set(0..2), &[]).0.run().await;
    assert_eq!((ended.ok, memory.started()), (set(0..2), vec!["only 0,1 0".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn ids_of_sets_go_on_and_deadlines_start_anew() {
    let inner = Plan::sequence([fails_once("half", &[1]).retries(1), hang("hang")]);
    let limit = Duration::from_secs(60);
    let plan = Plan::sequence([Step::plan("m", inner).timeout(limit)]);
    let hangs = |events: &[Event]| {
        let started = events.iter().filter(
            |event| matches!(event, Event::StepStarted { path, .. } if path.to_string() == "m-hang"),
        );
        started.count() == 2
    };
    let records = cut(&plan, 3, hangs).await;
    let (trial, told) = Trial::resumed(&plan, set(0..3), &records);
    assert!(told.events().iter().any(|event| matches!(event, Event::Split { .. })));
    let begun = Instant::now();
    let (ended, memory) = trial.run().await;
    assert_eq!(&*ended.ko[&NodeId(0)], "Timeout in the m step");
    assert!(begun.elapsed() >= limit && begun.elapsed() < limit * 2);
    let records = memory.records.lock().unwrap().clone();
    let (trial, told) = Trial::resumed(&plan, set(0..3), &records);
    assert!(told.events().iter().all(|event| !matches!(event, Event::Recovered { .. })));
    assert_eq!(trial.run().await.0, ended);
    let ids = records.iter().filter_map(|record| match &record.entry {
        Entry::Reported { ids, .. } => Some(ids.clone()),
        Entry::Opened { .. } => None,
    });
    let mut ids: Vec<SetId> = ids.flatten().collect();
    let given = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), given);
}

#[tokio::test(start_paused = true)]
async fn paused_nodes_stay_paused_until_they_are_continued() {
    let inner = Plan::sequence([good("before"), good("stop").breakpoint(true)]);
    let limit = Duration::from_secs(60);
    let plan = Plan::sequence([Step::plan("macro", inner).timeout(limit), good("last")]);
    let trial = Trial::new(&plan, set(0..2), true);
    let (memory, control) = (trial.memory.clone(), trial.control.clone());
    let paused = |events: &[Event]| events.iter().any(|e| matches!(e, Event::Paused { .. }));
    tokio::select! {
        _ = trial.run() => panic!("it cannot end"),
        () = async { memory.until(paused).await; sleep(limit * 3).await } => {}
    }
    assert!(control.is_paused());
    let records = memory.records.lock().unwrap().clone();
    let (trial, told) = Trial::resumed(&plan, set(0..2), &records);
    assert!(paused(&told.events()));
    let control = trial.control.clone();
    let go_on = async {
        sleep(limit * 3).await;
        assert!(control.is_paused());
        control.continue_paused();
    };
    let ((ended, memory), ()) = tokio::join!(trial.run(), go_on);
    assert_eq!(ended.ok, set(0..2));
    assert_eq!(memory.started(), ["macro-stop 0,1 0", "last 0,1 0"]);
    assert!(!control.is_paused());
}

fn sleeps(name: &str, seconds: u64) -> Step {
    step(name, move |nodes, _| async move {
        sleep(Duration::from_secs(seconds)).await;
        Outcome::ok(nodes)
    })
}

/// Suspends a run after 100 s with a patience of 2 s, then lets it go on.
async fn suspended(first: u64) -> (Vec<String>, Vec<String>, Duration) {
    let inner = Plan::sequence([sleeps("first", first), sleeps("second", 500)]);
    let plan = Plan::sequence([Step::plan("m", inner)]);
    let trial = Trial::new(&plan, set(0..2), false);
    let control = trial.control.clone();
    let stop = async {
        sleep(Duration::from_secs(100)).await;
        let begun = Instant::now();
        control.suspend(Duration::from_secs(2)).await;
        begun
    };
    let ((result, memory), begun) = tokio::join!(trial.result(), stop);
    assert!(matches!(result, Err(RunError::Suspended)), "{result:?}");
    let took = begun.elapsed();
    let records = memory.records.lock().unwrap().clone();
    let (trial, told) = Trial::resumed(&plan, set(0..2), &records);
    let (ended, memory): (_, Arc<Memory>) = trial.run().await;
    assert_eq!(ended.ok, set(0..2));
    (told.started(), memory.started(), took)
}

#[tokio::test(start_paused = true)]
async fn a_suspended_run_writes_down_what_ends_in_time_and_begins_nothing() {
    let (before, after, took) = suspended(101).await;
    assert_eq!(before, ["m 0,1 0", "m-first 0,1 0"]);
    assert_eq!(after, ["m-second 0,1 0"]);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_suspended_run_cancels_what_does_not_end_in_time() {
    let (before, after, took) = suspended(300).await;
    assert_eq!(before, ["m 0,1 0", "m-first 0,1 0"]);
    assert_eq!(after, ["m-second 0,1 0"]);
    assert!(took < Duration::from_secs(10), "{took:?}");
}
