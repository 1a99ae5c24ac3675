//! Every way through a macro-step, on machines that boot what they are told.

use super::*;
use crate::{
    nodes::Firmware,
    platform::sim::{Hardware, Image, Layout, Slice},
};
use config::model::Method;

/// Machines whose own systems let the service in.
pub(super) fn open_machines(seed: u64) -> Scenario {
    let hardware = Hardware { open: true, ..Hardware::default() };
    Scenario { hardware, ..Scenario::new(seed, 3) }
}

/// The request's steps.
pub(super) fn steps(first: &str, second: &str, third: &str) -> Value {
    let one = |name: &str| json!([{"name": name, "timeout": 3000}]);
    json!({"automata": {"SetDeploymentMiniOS": one(first), "BroadcastEnv": one(second), "BootNewEnv": one(third)},
        "verbose_level": 5})
}

/// All machines on and running a system of their own.
pub(super) async fn switched_on(bed: &Bed<'_>) {
    for node in bed.stage.site.inventory.all() {
        let order = bed.ports.power.act(
            node,
            crate::platform::PowerAction::On,
            crate::platform::Level::Hard,
            Duration::from_secs(60),
        );
        order.await.unwrap();
    }
    sleep(Duration::from_secs(600)).await;
}

pub(super) async fn deployed(bed: &Bed<'_>, changes: Value, done: &[&str]) {
    let wid = bed.deploy(changes).await;
    let (ok, ko) = bed.ended(&wid).await;
    let log = bed.log(&wid);
    assert_eq!((ok.len(), ko.len()), (3, 0), "{log}\n{:?}", bed.state(&wid));
    for step in done {
        assert!(log.contains(&format!("  {step}\n")), "{step}: {log}");
    }
}

#[tokio::test(start_paused = true)]
async fn from_the_production_system_straight_into_the_deployment_system() {
    let scenario = open_machines(3);
    let bed = Bed::new(&scenario).await;
    switched_on(&bed).await;
    let orders = bed.orders();
    let wanted = steps("Kexec", "Tree", "Kexec");
    deployed(&bed, wanted, &["send_deployment_kernel", "kexec", "create_partition_table"]).await;
    assert_eq!(bed.orders(), orders, "no firmware was needed");
    assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
    // Nobody wants it: both boots go through the firmware.
    let mut wanted = steps("Kexec", "Kastafior", "Kexec");
    wanted["disable_kexec"] = true.into();
    let wid = bed.deploy(wanted).await;
    assert_eq!(bed.ended(&wid).await.0, NODES, "{}", bed.log(&wid));
    assert!(!bed.log(&wid).contains("  kexec\n"), "{}", bed.log(&wid));
    assert!(bed.orders() != orders);
}

#[tokio::test(start_paused = true)]
async fn the_system_of_a_file_server_and_steps_that_do_nothing() {
    let scenario = Scenario::new(4, 3);
    let bed = Bed::new(&scenario).await;
    deployed(&bed, steps("Nfsroot", "Kascade", "HardReboot"), &["switch_pxe", "mount_deploy_part"])
        .await;
    assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
    deployed(&bed, steps("Dummy", "Dummy", "Dummy"), &["dummy"]).await;
}

#[tokio::test(start_paused = true)]
async fn the_running_production_system_is_the_deployment_system() {
    let scenario = open_machines(5);
    let bed = Bed::with(&scenario, |config| {
        let partitions = config.clusters[0].file.partitioning.partitions.as_mut().unwrap();
        (partitions.prod, partitions.deploy) = (3.into(), Some(5.into()));
    })
    .await;
    switched_on(&bed).await;
    let wanted = steps("Prod", "Chain", "Classical");
    deployed(&bed, wanted, &["check_nodes", "format_deploy_part"]).await;
    assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
    // Now they run something else.
    let wid = bed.deploy(steps("Prod", "Chain", "Classical")).await;
    assert_eq!(bed.ended(&wid).await.1, NODES);
    let why = bed.state(&wid)[NODES[0]].error.clone().unwrap();
    assert!(
        why.contains("check_nodes: Bad root partition: node-1.sim runs from \"/dev/sda5\""),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_production_system_is_known_by_its_place_whatever_the_disk_is_called() {
    let place = "pci-0000:18:00.0-scsi-0:0:0:0";
    for (path, wanted) in [("", "disk0#3"), (place, "-scsi-0:0:0:0-part3")] {
        let scenario = open_machines(5);
        let bed = Bed::with(&scenario, |config| {
            let partitioning = &mut config.clusters[0].file.partitioning;
            partitioning.block_device = "disk0".into();
            partitioning.disk_path = [("disk0".to_owned(), path.to_owned())].into();
            let partitions = partitioning.partitions.as_mut().unwrap();
            (partitions.prod, partitions.deploy) = (3.into(), Some(5.into()));
        })
        .await;
        switched_on(&bed).await;
        let wanted_steps = || steps("Prod", "Chain", "Classical");
        deployed(&bed, wanted_steps(), &["check_nodes", "format_deploy_part"]).await;
        let wid = bed.deploy(wanted_steps()).await;
        assert_eq!(bed.ended(&wid).await.1, NODES);
        let why = bed.state(&wid)[NODES[0]].error.clone().unwrap();
        let found = "node-1.sim runs from \"/dev/sda5\", not from ";
        assert!(why.contains(found) && why.contains(wanted), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_are_trusted_jump_and_the_others_boot() {
    let scenario = open_machines(6);
    let list = config::model::cluster::Trusted {
        partition: Some("3".into()),
        user: None,
        envs: vec![config::model::cluster::TrustedEnv {
            name: "debian".into(),
            user: "anna".into(),
        }],
    };
    let bed = Bed::with(&scenario, |config| {
        config.clusters[0].file.trusted_deployment = Some(list);
    })
    .await;
    let ways = |bed: &Bed<'_>| {
        let mut wanted = steps("Trusted", "Chain", "Classical");
        let second = json!({"name": "Untrusted", "timeout": 3000});
        wanted["automata"]["SetDeploymentMiniOS"].as_array_mut().unwrap().push(second);
        let _ = bed;
        wanted
    };
    let first = bed.deploy(ways(&bed)).await;
    assert_eq!(bed.ended(&first).await.0, NODES, "{}", bed.log(&first));
    let log = bed.log(&first);
    assert!(!log.contains("  send_deployment_kernel\n") && log.contains("  reboot\n"), "{log}");
    let orders = bed.orders();
    let second = bed.deploy(ways(&bed)).await;
    assert_eq!(bed.ended(&second).await.0, NODES, "{}", bed.log(&second));
    assert!(bed.log(&second).contains("  send_deployment_kernel\n"), "{}", bed.log(&second));
    assert_eq!(bed.orders(), orders, "no firmware was needed");
}

#[tokio::test(start_paused = true)]
async fn an_environment_that_prepares_the_disk_itself() {
    let scenario = Scenario::new(7, 3);
    let bed = Bed::new(&scenario).await;
    fs::write(bed.dir.path().join("pre.tgz"), "an archive").unwrap();
    let archive = json!({"archive": format!("server://{}/pre.tgz", bed.dir.path().display()),
        "compression": "gzip", "script": "prepare.sh /rambin"});
    let environment = bed.environment(json!({"preinstall": archive}));
    let wanted = json!({"environment": environment, "verbose_level": 5});
    deployed(&bed, wanted, &["manage_admin_pre_install"]).await;
    assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
    // The administrator's, where the environment has none.
    let bed = Bed::with(&scenario, |config| {
        let install = config::model::cluster::Install {
            file: "/simulated/site.tgz".into(),
            format: config::model::cluster::ArchiveFormat::Tgz,
            script: "site.sh".into(),
        };
        config.clusters[0].file.preinstall.files = vec![install.clone(), install];
    })
    .await;
    let wanted = steps("UntrustedCustomPreInstall", "Chain", "Classical");
    deployed(&bed, wanted, &["manage_admin_pre_install"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_script_that_writes_to_the_disk_has_its_ticket_wherever_it_stands() {
    let scenario = Scenario::new(7, 3);
    let bed = Bed::with(&scenario, |config| {
        let install = |script: &str| config::model::cluster::Install {
            file: "/simulated/site.tgz".into(),
            format: config::model::cluster::ArchiveFormat::Tgz,
            script: script.into(),
        };
        config.clusters[0].file.preinstall.files = vec![install("none"), install("part.sh")];
    })
    .await;
    let mut wanted = steps("UntrustedCustomPreInstall", "Chain", "Classical");
    wanted["debug"] = true.into();
    let wid = bed.deploy(wanted).await;
    assert_eq!(bed.ended(&wid).await.0, NODES, "{}", bed.log(&wid));
    assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
    let ticket = format!("mkdir '/run/kadence-tickets/{wid}.");
    let commands = bed.commands(&wid);
    let script = commands.iter().find(|text| text.contains("/part.sh")).unwrap();
    assert!(script.contains(&ticket), "{script}");
    assert!(!commands.iter().any(|text| text.contains("site.sh")), "{commands:#?}");
}

#[tokio::test(start_paused = true)]
async fn images_that_are_stored_before_they_are_unpacked() {
    let scenario = Scenario::new(8, 3);
    let bed = Bed::with(&scenario, |config| {
        config.clusters[0].file.localops.broadcastenv.decompress = false;
    })
    .await;
    for kind in ["tar", "dd"] {
        let image = json!({"file": bed.image(), "kind": kind, "compression": "gzip"});
        let environment = bed.environment(json!({"image": image}));
        let wanted = json!({"environment": environment, "verbose_level": 5});
        deployed(&bed, wanted, &["send_environment", "decompress_environment"]).await;
        assert!(NODES.iter().all(|node| bed.runs_the_image(node)), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn fsarchiver_images_of_one_partition_and_of_several() {
    let scenario = Scenario::new(9, 3);
    let bed = Bed::new(&scenario).await;
    let image = json!({"file": bed.image(), "kind": "fsa", "compression": 3});
    let environment = bed.environment(json!({"image": image}));
    let wanted = json!({"environment": environment, "verbose_level": 5});
    deployed(&bed, wanted, &["decompress_environment", "mount_deploy_part"]).await;
    assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
    let parts = json!([{"id": 0, "device": "/dev/sda3"}, {"id": 1, "device": "/dev/sda4"}]);
    let environment = bed.environment(json!({
        "image": image, "multipart": true, "options": {"partitions": parts},
        "boot": {"kernel": "/vmlinuz", "initrd": "/initrd.img", "block_device": "/dev/sda", "partition": 3},
    }));
    let wanted =
        json!({"environment": environment, "reformat_tmp_partition": "ext4", "verbose_level": 5});
    let wid = bed.deploy(wanted).await;
    assert_eq!(bed.ended(&wid).await.0, NODES, "{}", bed.log(&wid));
    let log = bed.log(&wid);
    for step in ["format_tmp_part", "format_swap_part", "format_deploy_part"] {
        assert!(
            log.contains(&format!("Bypassing the step SetDeploymentEnvUntrusted-{step}")),
            "{log}"
        );
    }
    let layout = bed.stage.world.layout(NODES[0]);
    let images = layout.iter().filter(|line| line.ends_with(" image")).count();
    assert_eq!(images, 2, "{layout:?}");
}

/// A small partition that is booted, and the system beside it, as Windows has it.
fn whole_disk(digest: &str) -> Image {
    let slice = |mib, boots| Slice { mib, efi: boots, loader: boots };
    let disk = Layout {
        partitions: [(1, slice(500, true)), (2, slice(4000, false))].into_iter().collect(),
        boot_sector: false,
        system: 2,
        starts: "/Windows/System32/winload.exe".into(),
    };
    let (digest, files) = (digest.to_owned(), Some([disk.starts.clone()].into_iter().collect()));
    Image { digest, mib: 1, unpacked_mib: 5000, files, disk: Some(disk) }
}

#[tokio::test(start_paused = true)]
async fn an_image_of_a_whole_disk_boots_from_the_partition_that_is_named_and_from_no_other() {
    for method in [Method::PxeLinux, Method::Ipxe] {
        let scenario = Scenario { method: Some(method), ..Scenario::new(12, 3) };
        let bed = Bed::new(&scenario).await;
        let image = json!({"file": bed.image(), "kind": "dd", "compression": "gzip"});
        let changes = json!({"image": image, "os": "other", "filesystem": "ntfs", "boot": {}});
        let wanted = |partition: u32| {
            json!({"environment": bed.environment(changes.clone()), "block_device": "/dev/sda",
                "boot_partition": partition, "ssh_authorized_keys": bed.image(), "verbose_level": 5})
        };
        // One of which nothing is known has a loader everywhere.
        deployed(&bed, wanted(1), &["send_environment", "sync", "reboot_from_deploy_env"]).await;
        let cache = bed.dir.path().join("cache");
        bed.stage.world.describe(&cache, whole_disk(&cache.to_string_lossy()));
        let wid = bed.deploy(wanted(1)).await;
        assert_eq!(bed.ended(&wid).await.0, NODES, "{}", bed.log(&wid));
        let log = bed.log(&wid);
        for step in
            ["create_partition_table", "format_deploy_part", "install_bootloader", "send_key"]
        {
            assert!(
                log.contains(&format!("-{step}\n")) && log.contains("Bypassing"),
                "{step}: {log}"
            );
        }
        for node in NODES {
            assert!(bed.runs_the_image(node));
            let layout = bed.stage.world.layout(node);
            assert_eq!(layout, ["1 efi 500 blank", "2 data 4000 image"]);
        }
        // The partition with the system has no loader. A UEFI node has its own mind.
        let uefi =
            bed.stage.site.inventory.all().iter().filter(|node| node.firmware == Firmware::Uefi);
        let uefi: Vec<_> = uefi.map(|node| node.name.clone()).collect();
        let wid = bed.deploy(wanted(2)).await;
        let (ok, ko) = bed.ended(&wid).await;
        assert_eq!((&ok, ok.len() + ko.len()), (&uefi, 3), "{method:?}: {}", bed.log(&wid));
        let why = bed.state(&wid)[NODES[0]].error.clone().unwrap();
        assert!(why.contains("Unreachable after the reboot"), "{why}");
        let said = bed.stage.world.console(NODES[0]).join("\n");
        assert!(said.contains("Boot sector signature not found"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_disk_has_nothing_to_jump_into() {
    let scenario = Scenario::new(13, 3);
    let bed = Bed::new(&scenario).await;
    let image = json!({"file": bed.image(), "kind": "dd", "compression": "gzip"});
    let mut wanted = steps("Untrusted", "Chain", "Kexec");
    wanted["environment"] = bed.environment(json!({"image": image}));
    (wanted["block_device"], wanted["boot_partition"]) = ("/dev/sda".into(), 1.into());
    deployed(&bed, wanted, &["reboot_from_deploy_env"]).await;
    assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
}

#[tokio::test(start_paused = true)]
async fn by_the_sites_own_command_and_by_torrents() {
    let scenario = Scenario::new(10, 3);
    let bed = Bed::with(&scenario, |config| {
        config.clusters[0].file.localops.broadcastenv.cmd = Some("spread ENVFILE NODEFILE".into());
        config.server.external.bittorrent = Some(config::model::external::Bittorrent {
            tracker_ip: [10, 0, 0, 1].into(),
            download_timeout: Duration::from_secs(600),
        });
    })
    .await;
    deployed(&bed, steps("Untrusted", "Custom", "Classical"), &["send_environment"]).await;
    assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
    deployed(&bed, steps("Untrusted", "Bittorrent", "Classical"), &["send_environment"]).await;
    // The tmp partition that was made holds the image meanwhile.
    let mut wanted = steps("Untrusted", "Bittorrent", "Classical");
    wanted["reformat_tmp_partition"] = "ext4".into();
    deployed(&bed, wanted, &["mount_tmp_part", "send_environment"]).await;
    assert!(NODES.iter().all(|node| bed.runs_the_image(node)));
}

#[tokio::test(start_paused = true)]
async fn ways_that_are_not_configured_are_named_with_the_key() {
    let scenario = Scenario::new(11, 3);
    let bed = Bed::new(&scenario).await;
    for (way, key) in
        [("Custom", "localops/broadcastenv/cmd"), ("Bittorrent", "external/bittorrent")]
    {
        let wid = bed.deploy(steps("Untrusted", way, "Classical")).await;
        assert_eq!(bed.ended(&wid).await.1, NODES, "{}", bed.log(&wid));
        let why = bed.state(&wid)[NODES[0]].error.clone().unwrap();
        assert!(why.contains(key) && why.contains("another instance of BroadcastEnv"), "{why}");
    }
}
