//! A node goes on where it failed if it is still there, and begins at the start otherwise.

use super::*;
use crate::platform::{Level, PowerAction, sim::Faults};

/// The image does not reach the nodes, however often the first operation tries.
pub(super) fn broken_relay() -> Scenario {
    let faults = Faults::parse("relay: {dies: {count: 6}}").unwrap();
    Scenario { faults, ..Scenario::new(1, 3) }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_are_still_there_go_on_with_the_image_and_are_not_booted_again() {
    let scenario = broken_relay();
    let bed = Bed::new(&scenario).await;
    let first = bed.deploy(json!({})).await;
    assert_eq!(bed.ended(&first).await, (vec![], NODES.map(str::to_owned).to_vec()));
    let before = bed.orders();
    let Created { wid, notes, .. } = bed.retry(&first).await;
    let words = format!(
        "node-[1-3].sim go on with BroadcastEnv, on a new filesystem: still in the deployment system of {first}"
    );
    assert!(notes.contains(&words), "{notes:#?}");
    assert_eq!(bed.ended(&wid).await.0, NODES, "{}", bed.log(&wid));
    assert_eq!(bed.orders(), before, "a node was rebooted");
    assert!(bed.log(&wid).contains(&words), "{}", bed.log(&wid));
    assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_booted_since_or_has_another_disk_begins_at_the_start() {
    let scenario = broken_relay();
    let bed = Bed::new(&scenario).await;
    let first = bed.deploy(json!({})).await;
    bed.ended(&first).await;
    let inventory = &bed.stage.site.inventory;
    let node = inventory.get(NODES[0]).unwrap();
    let reset = bed.ports.power.act(node, PowerAction::Reboot, Level::Hard, Duration::MAX);
    reset.await.unwrap();
    sleep(Duration::from_secs(600)).await;
    bed.stage.world.swap_disk(NODES[1], "OTHER");
    let before = bed.orders();
    let Created { wid, notes, .. } = bed.retry(&first).await;
    let told = |node: &str| notes.iter().find(|note| note.starts_with(node)).unwrap();
    let gone = told(NODES[0]);
    assert!(gone.contains("begin with SetDeploymentEnv: it is not in the deployment"), "{gone}");
    let other = told(NODES[1]);
    assert!(other.contains("begin with SetDeploymentEnv: /dev/sda was: "), "{other}");
    assert!(other.contains("OTHER"), "{other}");
    assert!(told(NODES[2]).contains("go on with BroadcastEnv"), "{notes:#?}");
    assert_eq!(bed.ended(&wid).await.0, NODES, "{}", bed.log(&wid));
    let after = bed.orders();
    let booted: Vec<_> = NODES.into_iter().filter(|node| after[*node] > before[*node]).collect();
    assert_eq!(booted, NODES[..2]);
    assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_again_and_a_restart_lose_nothing_of_it() {
    let faults = Faults::parse("relay: {dies: {count: 12}}").unwrap();
    let scenario = Scenario { faults, ..Scenario::new(2, 3) };
    let mut bed = Bed::new(&scenario).await;
    let first = bed.deploy(json!({})).await;
    bed.ended(&first).await;
    let before = bed.orders();
    let second = bed.retry(&first).await.wid;
    assert_eq!(bed.ended(&second).await.1, NODES);
    let third = bed.retry(&second).await.wid;
    sleep(Duration::from_secs(5)).await;
    bed = bed.restart().await;
    assert_eq!(bed.ended(&third).await.0, NODES, "{}", bed.log(&third));
    assert_eq!(bed.orders(), before, "a node was rebooted");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_failed_before_its_boot_goes_on_with_that() {
    let scenario = Scenario::new(3, 3);
    let bed = Bed::new(&scenario).await;
    // One way to boot: a node that is given up there does not try another.
    let way = |name: &str| json!([{"name": name, "retries": 0, "timeout": 0}]);
    let changes = json!({
        "breakpoint": "BootNewEnv:kexec", "keep": true, "automata": {
            "SetDeploymentEnv": way("Untrusted"), "BroadcastEnv": way("Chain"), "BootNewEnv": way("Kexec"),
        },
    });
    let first = bed.deploy(changes).await;
    let give = async |wid: &str, go_on| {
        // Until all of them wait.
        sleep(Duration::from_secs(1000)).await;
        bed.operations.resume(Kind::Deploy, wid, &anna(), go_on).unwrap();
        bed.ended(wid).await
    };
    assert_eq!(give(&first, false).await.1, NODES, "{}", bed.log(&first));
    let transfers = || {
        let all = |audit: &mut crate::platform::sim::Audit| {
            audit.deeds().values().map(|deeds| deeds.transfers).sum::<u64>()
        };
        bed.stage.world.audit(all)
    };
    let before = transfers();
    let Created { wid, notes, .. } = bed.retry(&first).await;
    assert!(notes[1].contains("node-[1-3].sim go on with BootNewEnv"), "{notes:#?}");
    assert_eq!(give(&wid, true).await.0, NODES, "{}", bed.log(&wid));
    assert_eq!(transfers(), before, "the image was sent again");
    assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
}
