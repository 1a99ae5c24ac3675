//! What a request or an environment makes pointless is left out, and nothing else.

use super::{ways::steps, *};
use std::collections::BTreeSet;

/// The steps that a deployment with `changes` leaves out, and itself.
async fn left_out(bed: &Bed<'_>, changes: Value) -> (BTreeSet<String>, String) {
    let mut wanted = steps("Untrusted", "Chain", "Classical");
    wanted.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let wid = bed.deploy(wanted).await;
    // Its messages are there for readers when they are written down.
    sleep(Duration::from_secs(1)).await;
    let log = bed.log(&wid);
    let steps = log.lines().filter_map(|line| line.split_once("Bypassing the step "));
    (steps.map(|(_, step)| step.to_owned()).collect(), wid)
}

/// What is left out of a deployment with `changes` that is not of one without: it is not done.
async fn more(bed: &Bed<'_>, changes: Value) -> Vec<String> {
    let mut all = Vec::new();
    for mut changes in [json!({}), changes] {
        changes["force"] = true.into();
        let (steps, wid) = left_out(bed, changes).await;
        bed.operations.delete(Kind::Deploy, &wid, &anna()).await.unwrap();
        all.push(steps);
    }
    all[1].difference(&all[0]).cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_want_a_step_does_without_it() {
    let scenario = Scenario::new(41, 3);
    let bed = Bed::new(&scenario).await;
    let image = json!({"file": bed.image(), "kind": "tar", "compression": "gzip"});
    let other = bed.environment(json!({"os": "other", "image": image}));
    let named = |name: &str| name.to_owned();
    let swap = [named("SetDeploymentEnvUntrusted-format_swap_part")];
    for (changes, steps) in [
        (
            json!({"disable_disk_partitioning": true}),
            &[named("SetDeploymentEnvUntrusted-create_partition_table")],
        ),
        (
            json!({"disable_bootloader_install": true}),
            &[named("BroadcastEnvChain-install_bootloader")],
        ),
        (json!({"deploy_partition": "2"}), &swap),
        (json!({"environment": other}), &swap),
    ] {
        assert_eq!(more(&bed, changes.clone()).await, steps, "{changes}");
    }
    sleep(Duration::from_secs(3000)).await;
    // The tmp partition is made where that is wanted, unless it is the one that is deployed.
    let tmp = "SetDeploymentEnvUntrusted-format_tmp_part";
    for (changes, out) in [
        (json!({}), true),
        (json!({"reformat_tmp_partition": "ext4"}), false),
        (json!({"reformat_tmp_partition": "ext4", "deploy_partition": "4"}), true),
    ] {
        let (steps, wid) = left_out(&bed, changes.clone()).await;
        assert_eq!(steps.contains(tmp), out, "{changes}: {steps:?}");
        bed.operations.delete(Kind::Deploy, &wid, &anna()).await.unwrap();
        sleep(Duration::from_secs(3000)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn partitions_that_are_there_are_kept_where_they_are_to_be() {
    let scenario = Scenario::new(42, 3);
    let bed = Bed::new(&scenario).await;
    let first = bed.deploy(json!({"reformat_tmp_partition": "xfs"})).await;
    assert_eq!(bed.ended(&first).await.0, NODES, "{}", bed.log(&first));
    let layout = || bed.stage.world.layout(NODES[0]);
    let before = layout();
    assert!(before.iter().any(|line| line.ends_with(" xfs")), "{before:?}");
    let kept = json!({"disable_disk_partitioning": true, "disable_bootloader_install": true});
    let second = bed.deploy(kept).await;
    assert_eq!(bed.ended(&second).await.0, NODES, "{}", bed.log(&second));
    assert_eq!(layout(), before, "the tmp partition is as it was");
    let third = bed.deploy(json!({})).await;
    assert_eq!(bed.ended(&third).await.0, NODES, "{}", bed.log(&third));
    assert!(!layout().iter().any(|line| line.ends_with(" xfs")), "{:?}", layout());
}

#[tokio::test(start_paused = true)]
async fn a_filesystem_that_is_not_known_is_somebody_elses_to_make() {
    let scenario = Scenario::new(43, 3);
    let bed = Bed::new(&scenario).await;
    let tried = async |changes: Value| {
        let mut body = bed.body(json!({"dry_run": true}));
        body["environment"] = bed.environment(json!({"filesystem": "btrfs"}));
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let request: DeployRequest = serde_json::from_value(body).unwrap();
        let asked = Asked { request: Request::Deploy(Box::new(request)), user: "anna".into() };
        bed.operations.create(asked).await.map(drop).map_err(|why| why.to_string())
    };
    let beside = |micro: &str, place: &str| {
        let make = json!([{"name": "make", "action": "exec", "command": "mkfs.btrfs /dev/sda3"}]);
        json!({"custom_operations": {"SetDeploymentEnv": {micro: {place: make}}}})
    };
    for changes in [
        json!({}),
        beside("format_deploy_part", "pre-ops"),
        beside("create_partition_table", "substitute"),
    ] {
        let why = tried(changes).await.unwrap_err();
        let text = "The filesystem 'btrfs' is not supported by the deployment system of the cluster \
                    sim (supported: ext4, xfs)";
        assert!(why.contains(text), "{why}");
    }
    assert_eq!(tried(beside("format_deploy_part", "substitute")).await, Ok(()));
    // So does an archive that prepares the disk.
    let archive = json!({"archive": bed.image(), "compression": "gzip", "script": "prepare.sh"});
    let own = bed.environment(json!({"filesystem": "btrfs", "preinstall": archive}));
    assert_eq!(tried(json!({"environment": own})).await, Ok(()));
}
