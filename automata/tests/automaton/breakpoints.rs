//! Runs that keep the nodes at a breakpoint.

use crate::support::{Trial, good, set};
use automata::{Ended, Event, NodeId, Plan, Step};
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
