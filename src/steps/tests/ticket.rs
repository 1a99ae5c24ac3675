//! Nothing is written to a disk without a ticket.

use super::*;
use crate::platform::{Command, DiskTicket, Errand, Input};

const PARTITION: Micro = Micro::CreatePartitionTable;
const FORMAT: Micro = Micro::FormatDeployPart;
const TOLD: &str = "SIM";

fn first() -> NodeId {
    NodeId(0)
}

/// The nodes on which a step failed, and what the first of them said.
fn refused(outcome: &Outcome) -> (NodeSet, String) {
    let reason = outcome.ko.values().next().map_or("", |reason| reason);
    (outcome.ko.keys().copied().collect(), reason.to_owned())
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_a_ticket_for_the_disk_of_its_node_before_it_writes() {
    let bed = Bed::deployed(3).await;
    for (micro, name) in [
        (PARTITION, "partition"),
        (FORMAT, "format"),
        (Micro::FormatSwapPart, "swap"),
        (Micro::MountDeployPart, "mount"),
        (Micro::SendEnvironment(crate::steps::By::Relay), "send"),
    ] {
        let before = bed.notes().len();
        let ended = bed.step(micro, &Context::detached(name)).await;
        assert!(ended.ko.is_empty(), "{name}: {ended:?}");
        let notes = bed.notes().split_off(before);
        let tickets = notes.iter().filter(|note| match note {
            Note::Ticket { by, disk, .. } => {
                by.starts_with(name) && disk.to_string().contains(TOLD)
            }
            _ => false,
        });
        assert_eq!(tickets.count(), if name == "mount" { 0 } else { 3 }, "{notes:?}");
    }
    let serials =
        |note: &Note| if let Note::Ticket { serial, .. } = note { Some(*serial) } else { None };
    let mut serials: Vec<u32> = bed.notes().iter().filter_map(serials).collect();
    serials.sort_unstable();
    assert_eq!(serials, (1..=12).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn another_disk_is_refused_on_its_node_alone() {
    let mut bed = Bed::deployed(3).await;
    assert!(bed.step(PARTITION, &Context::detached("partition")).await.ko.is_empty());
    bed.world.swap_disk("node-1.sim", "OTHER");
    let (nodes, why) = refused(&bed.step(FORMAT, &Context::detached("format")).await);
    assert_eq!(nodes, [first()].into_iter().collect());
    assert!(why.contains("refused") && why.contains("OTHER") && why.contains(TOLD), "{why}");
    // The service finds it out itself where it begins again.
    bed.restart();
    let (nodes, why) = refused(&bed.step(FORMAT, &Context::detached_recovery("format")).await);
    assert_eq!(nodes, [first()].into_iter().collect());
    assert!(why.contains("another disk") && why.contains("OTHER"), "{why}");
    assert!(why.contains("Put that one back"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_writes_once() {
    let bed = Bed::deployed(3).await;
    let cx = Context::detached("partition");
    assert!(bed.step(PARTITION, &cx).await.ko.is_empty());
    let (nodes, why) = refused(&bed.step(PARTITION, &cx).await);
    assert_eq!(nodes, bed.nodes);
    assert!(why.contains("has had its ticket"), "{why}");
    assert!(bed.step(PARTITION, &Context::detached("another attempt")).await.ko.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_in_flight_at_a_restart_begins_again_with_another_ticket() {
    let mut bed = Bed::deployed(2).await;
    let (cx, again) = (Context::detached("format"), Context::detached_recovery("format"));
    assert!(bed.step(PARTITION, &Context::detached("partition")).await.ko.is_empty());
    assert!(bed.step(FORMAT, &cx).await.ko.is_empty());
    for _ in 0..2 {
        bed.restart();
        let before = bed.notes().len();
        // One that was not in flight has no right to it.
        assert_eq!(refused(&bed.step(FORMAT, &cx).await).0, bed.nodes);
        assert!(bed.step(FORMAT, &again).await.ko.is_empty());
        assert_eq!(bed.notes().len(), before + 2);
        assert_eq!(refused(&bed.step(FORMAT, &again).await).0, bed.nodes, "once per restart");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_where_the_ticket_is_not() {
    let bed = Bed::deployed(2).await;
    bed.notes.fails.store(usize::MAX, Relaxed);
    let (nodes, why) = refused(&bed.step(PARTITION, &Context::detached("partition")).await);
    assert_eq!(nodes, bed.nodes);
    assert!(why.contains("full"), "{why}");
    bed.notes.fails.store(0, Relaxed);
    // The disks are as they were: there is no swap partition.
    let (nodes, why) = refused(&bed.step(Micro::FormatSwapPart, &Context::detached("swap")).await);
    assert_eq!(nodes, bed.nodes);
    assert!(why.contains("No such file"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_node_refuses_a_ticket_that_it_has_seen() {
    let bed = Bed::deployed(1).await;
    assert!(bed.step(PARTITION, &Context::detached("partition")).await.ko.is_empty());
    let notes = bed.notes();
    let Some(Note::Ticket { serial, disk, .. }) = notes.last() else { panic!("{notes:?}") };
    let write = |id: String| {
        let ticket = DiskTicket { id, device: "/dev/sda".into(), disk: disk.clone() };
        let errand = Arc::new(Errand::MakeSwap { partition: "/dev/sda2".into() });
        let deadline = Duration::from_secs(60);
        let errand = Errand::Ticketed { ticket, errand };
        let command =
            Command { errand: errand.into(), input: Input::Empty, deadline, output_limit: 1000 };
        let run = Arc::clone(&bed.run);
        async move { run.ports.shell.run(run.node(first()), &command).await.unwrap() }
    };
    let replayed = write(format!("D-1.{serial}")).await;
    let said = String::from_utf8_lossy(&replayed.stderr);
    assert!(replayed.status != 0 && said.contains("has been used"), "{said}");
    assert_eq!(write("D-1.99".to_owned()).await.status, 0);
}
