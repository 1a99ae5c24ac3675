//! Runs that keep the nodes at a breakpoint.

use crate::support::{Trial, good, set};
use automata::{Ended, Entry, Event, NodeId, Plan, Record, Report, Step};
use std::time::Duration;

fn plan() -> Plan {
    let inner = Plan::sequence([good("before"), good("stop").breakpoint(true)]);
    let limit = Duration::from_secs(60);
    Plan::sequence([Step::plan("macro", inner).timeout(limit), good("last")])
}

fn paused(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::Paused { .. }))
}

async fn order(after: Duration, abort: bool) -> (Ended, Vec<Event>) {
    let trial = Trial::new(&plan(), set(0..2), true);
    let (control, memory) = (trial.control.clone(), trial.memory.clone());
    // An order given before anything is paused concerns nobody.
    control.abort_paused("too early");
    let order = async {
        memory.until(paused).await;
        tokio::time::sleep(after).await;
        if abort { control.abort_paused("aborted") } else { control.continue_paused() }
    };
    let ((ended, memory), ()) = tokio::join!(trial.run(), order);
    (ended, memory.events())
}

#[tokio::test(start_paused = true)]
async fn paused_nodes_go_on_with_the_step_and_their_pause_costs_no_deadline() {
    let (ended, events) = order(Duration::from_secs(3600), false).await;
    assert_eq!((ended.ok, ended.brk), (set(0..2), set([])));
    assert!(events.iter().any(
        |event| matches!(event, Event::Continued { path, .. } if path.to_string() == "macro-stop")
    ));
}

#[tokio::test(start_paused = true)]
async fn paused_nodes_that_are_aborted_fail() {
    let (ended, _) = order(Duration::ZERO, true).await;
    assert_eq!((ended.ok.len(), &*ended.ko[&NodeId(1)]), (0, "aborted"));
}

#[tokio::test(start_paused = true)]
async fn paused_nodes_do_not_wait_for_ever() {
    let trial = Trial::new(&plan(), set(0..2), true);
    let began = tokio::time::Instant::now();
    let (ended, _) = trial.run().await;
    let why = "given up at the breakpoint: nobody continued it within 604800s";
    assert_eq!((ended.ok.len(), &*ended.ko[&NodeId(1)]), (0, why));
    assert_eq!(began.elapsed().as_secs(), 604_800);
}

#[tokio::test(start_paused = true)]
async fn a_restart_does_not_begin_the_pause_anew() {
    let trial = Trial::new(&plan(), set(0..2), true);
    let memory = trial.memory.clone();
    tokio::select! {
        _ = trial.run() => panic!("it cannot end"),
        () = memory.until(paused) => {}
    }
    let records = memory.records.lock().unwrap().clone();
    // It was paused a second after the start; six days have gone by since.
    let since = Duration::from_secs(6 * 24 * 3600);
    let (trial, _) = Trial::resumed_at(&plan(), set(0..2), &records, since);
    let began = tokio::time::Instant::now();
    let (ended, _) = trial.run().await;
    assert_eq!(ended.ko.len(), 2);
    assert_eq!(began.elapsed().as_secs(), 24 * 3600 + 1);
    // The clock has been put back: the pause is longer by that, and no more.
    let (trial, _) = Trial::resumed_at(&plan(), set(0..2), &records, Duration::ZERO);
    let began = tokio::time::Instant::now();
    assert_eq!(trial.run().await.0.ko.len(), 2);
    assert_eq!(began.elapsed().as_secs(), 604_801);
}

#[tokio::test(start_paused = true)]
async fn every_run_says_in_the_journal_until_when_it_may_last() {
    let trial = Trial::new(&plan(), set(0..2), false);
    let (_, memory) = trial.run().await;
    let until = |record: &Record| match &record.entry {
        Entry::Reported { report: Report::Started { until, .. }, .. } => Some(*until),
        _ => None,
    };
    let until: Vec<_> = memory.records.lock().unwrap().iter().filter_map(until).collect();
    // The macro-step and, around the step without a limit, its limit.
    assert_eq!(until, [Some(60_000), Some(60_000)]);
}

#[tokio::test(start_paused = true)]
async fn paused_nodes_can_be_killed() {
    let trial = Trial::new(&plan(), set(0..2), true);
    let (control, memory) = (trial.control.clone(), trial.memory.clone());
    let kill = async {
        memory.until(paused).await;
        control.kill("over");
    };
    let ((ended, _), ()) = tokio::join!(trial.run(), kill);
    assert_eq!((ended.killed.as_deref(), ended.ko.len()), (Some("over"), 2));
}

#[tokio::test(start_paused = true)]
async fn a_breakpoint_before_a_macro_step_ends_a_run_that_does_not_keep() {
    let inner = Step::plan("macro", Plan::sequence([good("never")])).breakpoint(true);
    let trial = Trial::new(&Plan::sequence([good("first"), inner]), set(0..2), false);
    let (ended, memory) = trial.run().await;
    assert_eq!(ended.brk, set(0..2));
    assert_eq!(memory.started(), ["first 0,1 0"]);
}
