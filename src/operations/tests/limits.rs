//! Limits of micro-steps, macro-steps and programs, as the cluster's file or the request has them.

use super::{ways::steps, *};
use crate::{
    platform::sim::{Hardware, Span},
    store::StatFilter,
};
use config::model::{
    InstanceKind, Microstep,
    cluster::{Trusted, TrustedEnv},
    external::Mkfs,
};

/// A micro-step with the limits that it has without any.
fn plain(name: &str) -> Microstep {
    Microstep {
        name: name.into(),
        timeout: Duration::ZERO,
        retries: 0,
        raisable: true,
        breakpoint: false,
        substitute: Vec::new(),
        pre_ops: Vec::new(),
        post_ops: Vec::new(),
    }
}

/// A service in whose cluster `micro` is said of the way to the deployment system, of that kind.
/// Nothing that is installed is trusted.
async fn with(scenario: &Scenario, kind: InstanceKind, micro: Microstep) -> Bed<'_> {
    Bed::with(scenario, |config| {
        let file = &mut config.clusters[0].file;
        let envs = vec![TrustedEnv { name: "other".into(), user: "root".into() }];
        file.trusted_deployment = Some(Trusted { partition: None, user: None, envs });
        let way = &mut file.automata.set_deployment_env[0];
        (way.kind, way.retries, way.microsteps) = (kind, 0, vec![micro]);
    })
    .await
}

/// How often a step began.
fn begun(log: &str, step: &str) -> usize {
    log.lines().filter(|line| line.ends_with(&format!("  {step}"))).count()
}

#[tokio::test(start_paused = true)]
async fn a_micro_step_is_tried_as_often_as_the_cluster_says() {
    let scenario = Scenario::new(61, 3);
    let micro = Microstep { retries: 2, ..plain("check_nodes") };
    let bed = with(&scenario, InstanceKind::Trusted, micro).await;
    let wid = bed.deploy(json!({"verbose_level": 5})).await;
    assert_eq!(bed.ended(&wid).await.1, NODES);
    assert_eq!(begun(&bed.log(&wid), "check_nodes"), 3, "{}", bed.log(&wid));
}

#[tokio::test(start_paused = true)]
async fn a_micro_step_has_the_time_that_the_cluster_gives_it() {
    let scenario = Scenario::new(62, 3);
    let limit = Duration::from_secs(10);
    let micro = Microstep { timeout: limit, ..plain("wait_reboot") };
    let bed = with(&scenario, InstanceKind::Untrusted, micro).await;
    let wid = bed.deploy(json!({"verbose_level": 5})).await;
    assert_eq!(bed.ended(&wid).await.1, NODES);
    let log = bed.log(&wid);
    assert!(log.contains("Timeout in the wait_reboot step, let's kill the instance"), "{log}");
    for status in bed.state(&wid).into_values() {
        let why = "SetDeploymentEnvUntrusted-wait_reboot: Timeout in the wait_reboot step";
        assert_eq!(status.error.as_deref(), Some(why));
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_stop_at_the_breakpoint_of_the_cluster() {
    let scenario = Scenario::new(63, 3);
    let micro = Microstep { breakpoint: true, ..plain("create_partition_table") };
    let bed = with(&scenario, InstanceKind::Untrusted, micro).await;
    let wid = bed.deploy(json!({"verbose_level": 5})).await;
    assert_eq!(bed.ended(&wid).await.0, NODES);
    for (node, status) in bed.state(&wid) {
        assert_eq!(status.state, "brk", "{node}");
    }
    let log = bed.log(&wid);
    assert!(log.contains("*** Breakpoint on create_partition_table reached for "), "{log}");
    assert!(!log.contains("Deploy[BroadcastEnv"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn nodes_wait_for_one_another_where_the_cluster_says_so() {
    let hardware = Hardware { firmware: Span::new(30.0, 400.0), ..Hardware::default() };
    let scenario = Scenario { hardware, ..Scenario::new(64, 12) };
    for raisable in [true, false] {
        // The last one that has something to do.
        let micro = Microstep { raisable, ..plain("format_swap_part") };
        let bed = with(&scenario, InstanceKind::Untrusted, micro).await;
        let wid = bed.deploy(json!({"nodes": ["node-[1-12].sim"], "verbose_level": 5})).await;
        assert_eq!(bed.ended(&wid).await.0.len(), 12, "{}", bed.log(&wid));
        let log = bed.log(&wid);
        let begun = log.matches("Performing a Deploy[BroadcastEnvChain] step").count();
        assert_eq!(begun == 1, !raisable, "{begun}: {log}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_forced_has_the_limits_that_are_forced() {
    let scenario = Scenario::new(65, 3);
    let bed = with(&scenario, InstanceKind::Untrusted, plain("sync")).await;
    let mut wanted = steps("Untrusted", "Chain", "Classical");
    let first = json!([{"name": "Trusted", "timeout": 1234, "retries": 2}]);
    wanted["automata"]["SetDeploymentMiniOS"] = first;
    let wid = bed.deploy(wanted).await;
    assert_eq!(bed.ended(&wid).await.1, NODES);
    assert_eq!(begun(&bed.log(&wid), "check_nodes"), 3, "{}", bed.log(&wid));
    let rows = bed.operations.means().store.statistics(&StatFilter::default()).await.unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        let [step] = &row.steps[..] else { panic!("{row:?}") };
        let told = (step.name.as_str(), step.timeout, step.retries);
        assert_eq!(told, ("SetDeploymentEnvTrusted", 1234, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn options_of_mkfs_are_those_of_their_filesystem() {
    let scenario = Scenario::new(66, 3);
    let bed = Bed::with(&scenario, |config| {
        let options = |fstype: &str, args: &str| Mkfs { fstype: fstype.into(), args: args.into() };
        config.server.external.mkfs =
            vec![options("ext4", "-O ^metadata_csum -q"), options("xfs", "-f -m crc=0")];
    })
    .await;
    let changes = json!({"reformat_tmp_partition": "xfs", "debug": true});
    let wid = bed.deploy(changes).await;
    assert_eq!(bed.ended(&wid).await.0, NODES, "{}", bed.log(&wid));
    let commands = bed.commands(&wid);
    let made = |filesystem: &str, options: &str| {
        let text = format!("mkfs -t '{filesystem}' {options} ");
        commands.iter().filter(|command| command.contains(&text)).count()
    };
    assert_eq!((made("ext4", "-O ^metadata_csum -q"), made("xfs", "-f -m crc=0")), (3, 3));
    assert_eq!(commands.iter().filter(|command| command.contains("mkfs -t")).count(), 6);
}
