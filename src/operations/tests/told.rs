//! What is said of nodes that fail or stop, word for word, and what their state tells.

use super::{
    ways::{open_machines, steps, switched_on},
    *,
};
use crate::store::StatFilter;
use config::model::{
    cluster::{Trusted, TrustedEnv},
    partitioning::Part,
};

/// Nothing that is installed is trusted.
fn nothing_trusted(config: &mut config::Config) {
    let envs = vec![TrustedEnv { name: "other".into(), user: "root".into() }];
    let trusted = Trusted { partition: None, user: None, envs };
    config.clusters[0].file.trusted_deployment = Some(trusted);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_fail_in_a_step_are_split_from_the_others() {
    let scenario = open_machines(5);
    let bed = Bed::with(&scenario, |config| {
        let partitions = config.clusters[0].file.partitioning.partitions.as_mut().unwrap();
        partitions.prod = Part::Number(3);
        partitions.deploy = Some(Part::Number(5));
    })
    .await;
    switched_on(&bed).await;
    // From then on it runs something else.
    let mut first = steps("Prod", "Chain", "Classical");
    first["nodes"] = json!([NODES[0]]);
    let wid = bed.deploy(first).await;
    assert_eq!(bed.ended(&wid).await.0, [NODES[0]], "{}", bed.log(&wid));
    let wid = bed.deploy(steps("Prod", "Chain", "Classical")).await;
    let (ok, ko) = bed.ended(&wid).await;
    let log = bed.log(&wid);
    assert_eq!((&ok[..], &ko[..]), (&NODES.map(str::to_owned)[1..], &[NODES[0].to_owned()][..]));
    for text in [
        "\n---\nNodeset [0] split into :\n  [1] node-[2-3].sim\n  [2] node-1.sim\n---\n",
        "\nThe node node-1.sim has been discarded of the current instance\n",
        "\n!!! The nodes node-1.sim failed on step check_nodes\n",
        "\n[2] Step Deploy[SetDeploymentEnvProd] failed for node-1.sim after ",
        "\n[1] End of step Deploy[SetDeploymentEnvProd] after ",
    ] {
        assert!(log.contains(text), "{text}: {log}");
    }
    assert!(!log.contains("Error["), "not all failed: {log}");
}

#[tokio::test(start_paused = true)]
async fn what_a_step_fails_of_on_all_its_nodes_is_said_to_everybody() {
    let scenario = Scenario::new(11, 3);
    let bed = Bed::new(&scenario).await;
    let mut wanted = steps("Untrusted", "Custom", "Classical");
    wanted["verbose_level"] = 1.into();
    let wid = bed.deploy(wanted).await;
    assert_eq!(bed.ended(&wid).await.1, NODES);
    let log = bed.log(&wid);
    let why = bed.state(&wid)[NODES[0]].error.clone().unwrap();
    let why = why.strip_prefix("BroadcastEnvCustom-send_environment: ").unwrap();
    assert!(log.contains(&format!("Error[send_environment] {why}\n")), "{why}: {log}");
    assert!(!log.contains("!!! The nodes"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn why_a_node_fails_is_why_it_failed_last() {
    let scenario = Scenario::new(4, 3);
    let bed = Bed::with(&scenario, nothing_trusted).await;
    let mut wanted = steps("Trusted", "Chain", "Classical");
    let ways = json!([{"name": "Trusted", "timeout": 3000}, {"name": "Untrusted", "timeout": 20}]);
    wanted["automata"]["SetDeploymentMiniOS"] = ways;
    let wid = bed.deploy(wanted).await;
    // The first way is closed to all of them at once, the second one takes longer than it may.
    sleep(Duration::from_secs(10)).await;
    for (node, status) in bed.state(&wid) {
        let now = (status.macro_step.as_deref(), status.error);
        assert_eq!(now, (Some("SetDeploymentEnvUntrusted"), None), "{node}");
    }
    assert_eq!(bed.ended(&wid).await.1, NODES);
    for (node, status) in bed.state(&wid) {
        let why = "Timeout in the SetDeploymentEnvUntrusted step";
        let now = (status.macro_step.as_deref(), status.error.as_deref());
        assert_eq!(now, (Some("SetDeploymentEnvUntrusted"), Some(why)), "{node}");
    }
    let log = bed.log(&wid);
    let text = "\nTimeout in the SetDeploymentEnvUntrusted step, let's kill the instance\n";
    assert!(log.contains(text), "{log}");
    let all = StatFilter::default();
    let rows = bed.operations.means().store.statistics(&all).await.unwrap();
    assert!(rows.iter().all(|row| row.error == "Timeout in the SetDeploymentEnvUntrusted step"));
}

#[tokio::test(start_paused = true)]
async fn a_breakpoint_inside_a_macro_step_ends_that() {
    let scenario = Scenario::new(2, 3);
    let bed = Bed::new(&scenario).await;
    let mut wanted = steps("Untrusted", "Chain", "Classical");
    wanted["breakpoint"] = "BootNewEnv:umount_deploy_part".into();
    let wid = bed.deploy(wanted).await;
    assert_eq!(bed.ended(&wid).await.0, NODES);
    let log = bed.log(&wid);
    for text in [
        "*** Breakpoint on umount_deploy_part reached for node-",
        "Step Deploy[BootNewEnvClassical] breakpointed\n",
        "Breakpoint reached for node-",
    ] {
        assert!(log.contains(text), "{text}: {log}");
    }
}
