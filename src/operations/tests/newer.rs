//! Keys of files of today, and operations beside micro-steps.

use super::*;
use crate::workflows::Beside;
use config::model::partitioning::{Part, Partitions};

async fn well(bed: &Bed<'_>, changes: Value) -> String {
    let wid = bed.deploy(changes).await;
    let (ok, ko) = bed.ended(&wid).await;
    assert_eq!((ok.len(), ko.len()), (3, 0), "{}\n{:?}", bed.log(&wid), bed.state(&wid));
    wid
}

#[tokio::test(start_paused = true)]
async fn partitions_are_found_by_their_labels_on_disks_by_their_ids() {
    let scenario = Scenario::new(11, 3);
    let bed = Bed::with(&scenario, |config| {
        let partitioning = &mut config.clusters[0].file.partitioning;
        partitioning.block_device = "disk0".into();
        partitioning.deploy_label = Some("PROD".into());
        partitioning.partitions = None;
        partitioning.disable_swap = true;
        partitioning.formating_script = Some("/simulated/format".into());
    })
    .await;
    well(&bed, json!({"verbose_level": 5})).await;
    assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
    assert_eq!(bed.record(NODES[0]).await.partition.as_deref(), Some("PROD@disk0"));
    // A request may name another one.
    well(&bed, json!({"deploy_partition": "disk0/TMP"})).await;
    assert_eq!(bed.record(NODES[0]).await.partition.as_deref(), Some("TMP@disk0"));
    let other = bed.ask(bed.body(json!({"block_device": "system", "deploy_partition": "1"}))).await;
    assert!(other.unwrap_err().to_string().contains("'system' is not the path of a disk"));
}

#[tokio::test(start_paused = true)]
async fn every_partition_may_have_a_label_in_place_of_a_number() {
    let scenario = Scenario::new(16, 3);
    let bed = Bed::with(&scenario, |config| {
        let label = |text: &str| Part::Label(text.into());
        config.clusters[0].file.partitioning.partitions = Some(Partitions {
            swap: Some(label("SWAP")),
            prod: label("PROD"),
            deploy: Some(label("DEPLOY")),
            tmp: label("/dev/sda/TMP"),
        });
    })
    .await;
    let wid =
        well(&bed, json!({"verbose_level": 5, "debug": true, "reformat_tmp_partition": "ext4"}))
            .await;
    assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
    assert_eq!(bed.record(NODES[0]).await.partition.as_deref(), Some("DEPLOY@/dev/sda"));
    let debug = bed.operations.debugs(Kind::Deploy, &wid, &anna(), None).unwrap();
    let debug: String = debug.into_iter().map(|line| line.text + "\n").collect();
    for text in [
        "KADEPLOY_SWAP_PART_NUM='SWAP' KADEPLOY_PROD_PART_NUM='PROD' KADEPLOY_TMP_PART_NUM='TMP'",
        "mkswap \"$(place 'SWAP@/dev/sda')\"",
        "mkfs -t 'ext4'  \"$(place 'TMP@/dev/sda')\"",
    ] {
        assert!(debug.contains(text), "{text}: {debug}");
    }
}

/// As files and requests name it, and as the service does.
#[tokio::test(start_paused = true)]
async fn a_right_may_call_a_partition_whatever_files_and_requests_call_it() {
    let scenario = Scenario::new(17, 3);
    for (label, asked, rights) in [
        (Some("PROD"), json!({}), &["PROD", "disk1/PROD", "PROD@/dev/disk/by-path/pci-1"][..]),
        (Some("PROD"), json!({"block_device": "/dev/sdb"}), &["/dev/sdb/PROD"]),
        (None, json!({}), &["disk13", "/dev/disk/by-path/pci-1-part3"]),
        (None, json!({"block_device": "/dev/sda"}), &["/dev/sda3"]),
        (None, json!({"block_device": "/dev/nvme0n1"}), &["/dev/nvme0n13", "/dev/nvme0n1p3"]),
    ] {
        let bed = Bed::with(&scenario, |config| {
            config.server.rights.kind = config::model::server::RightsKind::Db;
            let partitioning = &mut config.clusters[0].file.partitioning;
            partitioning.block_device = "disk1".into();
            partitioning.disk_path = BTreeMap::from([("disk1".into(), "pci-1".into())]);
            partitioning.deploy_label = label.map(str::to_owned);
        })
        .await;
        let mut body = bed.body(json!({"dry_run": true, "deploy_partition": label.unwrap_or("3")}));
        body.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
        let ask = async || {
            let request: DeployRequest = serde_json::from_value(body.clone()).unwrap();
            let asked = Asked { request: Request::Deploy(Box::new(request)), user: "anna".into() };
            bed.operations.create(asked).await
        };
        let wanted = |part: &str| crate::operations::rights::Wanted {
            user: "anna".into(),
            nodes: Vec::new(),
            partitions: vec![part.to_owned()],
        };
        let table = bed.operations.0.rights();
        // Another disk of that label is another partition.
        for other in ["/dev/sdz3", "disk0/PROD", if asked == json!({}) { "TMP" } else { "PROD" }] {
            table.add(&wanted(other), false, false).await.unwrap();
            assert!(ask().await.is_err(), "{other}: {asked}");
            table.take(&wanted(other), false).await.unwrap();
        }
        for part in rights {
            table.add(&wanted(part), false, false).await.unwrap();
            assert!(ask().await.unwrap().is_none(), "{part}: {asked}");
            table.take(&wanted(part), false).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_on_a_bus_is_known_by_its_place() {
    let scenario = Scenario::new(12, 3);
    let bed = Bed::with(&scenario, |config| {
        let partitioning = &mut config.clusters[0].file.partitioning;
        partitioning.block_device = "disk1".into();
        partitioning.disk_path =
            BTreeMap::from([("disk1".into(), "pci-0000:18:00.0-nvme-1".into())]);
        partitioning.partitions = Some(Partitions {
            swap: Some(2.into()),
            prod: (-1).into(),
            deploy: Some(3.into()),
            tmp: 4.into(),
        });
        let boot = &mut config.clusters[0].file.boot;
        boot.startup_script = Some("/simulated/startup".into());
        boot.kernels.deploy.drivers.0 = vec!["nvme".into()];
    })
    .await;
    let wid = well(&bed, json!({"verbose_level": 5, "debug": true})).await;
    let viewer = anna();
    let debug = bed.operations.debugs(Kind::Deploy, &wid, &viewer, None).unwrap();
    let debug: String = debug.into_iter().map(|line| line.text + "\n").collect();
    for text in [
        "modprobe 'nvme'",
        "KADEPLOY_DEPLOY_PART=\"$(place '/dev/disk/by-path/pci-0000:18:00.0-nvme-1-part3')\"",
        "mkswap \"$(place '/dev/disk/by-path/pci-0000:18:00.0-nvme-1-part2')\"",
    ] {
        assert!(debug.contains(text), "{text}: {debug}");
    }
}

#[tokio::test(start_paused = true)]
async fn operations_beside_micro_steps_of_site_and_user_with_their_names() {
    let scenario = Scenario::new(13, 3);
    let bed = Bed::with(&scenario, |config| {
        let file = &mut config.clusters[0].file;
        file.custom_variables = BTreeMap::from([("SITE_PROXY".into(), "http://it's".into())]);
        let exec = config::model::Operation {
            name: "site".into(),
            action: config::model::Action::Exec { command: "date".into() },
            timeout: Duration::from_secs(30),
            retries: 1,
        };
        let micro = config::model::Microstep {
            name: "sync".into(),
            timeout: Duration::ZERO,
            retries: 0,
            raisable: true,
            breakpoint: false,
            substitute: Vec::new(),
            pre_ops: vec![exec],
            post_ops: Vec::new(),
        };
        file.automata.broadcast_env[0].microsteps = vec![micro];
    })
    .await;
    fs::write(bed.dir.path().join("tool"), "#!/bin/sh\n").unwrap();
    let file = format!("server://{}/tool", bed.dir.path().display());
    let custom = json!({
        "BroadcastEnv": {"sync": {
            "pre-ops": [{"name": "mine", "action": "run", "file": file, "params": "a 'b"}],
            "post-ops": [{"name": "keep", "action": "send", "file": file, "destination": "$KADEPLOY_TMP_DIR/x"}],
        }},
        "BootNewEnv": {"switch_pxe": {"override": true, "substitute": [{"name": "other", "action": "exec", "command": "true"}]}},
    });
    let wid =
        well(&bed, json!({"custom_operations": custom, "verbose_level": 5, "debug": true})).await;
    let log = bed.log(&wid);
    let at =
        |line: &str| log.find(&format!("  {line}\n")).unwrap_or_else(|| panic!("{line}: {log}"));
    let order =
        [at("sync-site"), at("sync-mine"), at("sync"), at("sync-keep"), at("switch_pxe-other")];
    assert!(order.is_sorted(), "{log}");
    let viewer = anna();
    let debug = bed.operations.debugs(Kind::Deploy, &wid, &viewer, None).unwrap();
    let debug: String = debug.into_iter().map(|line| line.text + "\n").collect();
    for text in ["SITE_PROXY='http://it'\\''s'", "\"$t\" 'a' ''\\''b'", "cat > '/tmp/x/tool'"] {
        assert!(debug.contains(text), "{text}: {debug}");
    }
    assert!(Beside::default().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_the_middle_changes_nothing_of_it() {
    let scenario = Scenario::new(14, 3);
    let change = |config: &mut config::Config| {
        config.clusters[0].file.localops.broadcastenv.decompress = false;
        config.clusters[0].file.boot.startup_script = Some("/simulated/startup".into());
    };
    let custom = json!({"SetDeploymentEnv": {"wait_reboot": {"post-ops": [{"name": "x", "action": "exec", "command": "date"}]}}});
    for seconds in [5, 60, 120, 180, 240] {
        let bed = Bed::with(&scenario, change).await;
        let wid = bed.deploy(json!({"custom_operations": custom, "verbose_level": 5})).await;
        sleep(Duration::from_secs(seconds)).await;
        let bed = bed.restart().await;
        assert_eq!(bed.ended(&wid).await.0, NODES, "after {seconds} s: {}", bed.log(&wid));
        assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_may_depend_on_the_number_of_nodes() {
    let scenario = Scenario::new(15, 3);
    let bed = Bed::with(&scenario, |config| {
        config.clusters[0].file.timeouts.reboot = config::Timeout::parse("500 + 10 * n").unwrap();
    })
    .await;
    let wid = well(&bed, json!({"timeout_reboot_kexec": "60 + 100*Math.log(n)"})).await;
    let plans = bed.operations.means().store.operation(&wid).await.unwrap().unwrap().request;
    let limits = ["reboot", "kexec"].map(|name| plans["orders"][0]["wish"][name]["secs"].as_u64());
    assert_eq!(limits, [Some(530), Some(169)], "{plans}");
}
