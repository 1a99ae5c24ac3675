//! The texts that loaders read, from the configuration to the file.

use super::*;
use crate::{
    environments::Environment,
    platform::rendered::{Profiles, Shelf},
};
use automata::Outcome;
use config::{
    Config,
    model::{ExportKind, Method},
};

/// A configuration and what is installed.
struct Change<'a> {
    method: Method,
    config: &'a dyn Fn(&mut Config),
    environment: &'a dyn Fn(&mut Environment),
}

/// What is written for a node by `switch_pxe`, and whether a boot loader is put on its disk.
async fn written(change: Change<'_>, boots: Boots) -> (String, bool) {
    let scenario = Scenario { method: Some(change.method), ..Scenario::new(1, 1) };
    let stage = Stage::new(&scenario, &Place::built_in().unwrap());
    let mut config = stage.site.config.clone();
    let dir = tempfile::tempdir().unwrap();
    let pxe = &mut config.server.pxe;
    for way in [&mut pxe.dhcp, &mut pxe.localboot, &mut pxe.networkboot] {
        way.export.kind = ExportKind::Tftp;
        (way.repository, way.profiles_dir) = (dir.path().to_owned(), dir.path().to_owned());
    }
    (change.config)(&mut config);
    let cluster = &config.clusters[0];
    let mut environment = typical(cluster);
    (environment.boot.kernel, environment.boot.initrd) = ("/vmlinuz".into(), "/initrd".into());
    (change.environment)(&mut environment);
    let nodes = stage.site.inventory.all().to_vec();
    let request = DeployRequest::default();
    let around = operations::Around::with_key("kadence.key=ssh-ed25519,AAAA");
    let order =
        operations::deployment(&config, cluster, nodes, &request, &environment, &around).unwrap();
    let loader = !order.wish.facts.no_bootloader;
    let profiles = Arc::new(Profiles::new(&config, Shelf::Files));
    let windows = Windows {
        reboot: Semaphore::new(1),
        check: Semaphore::new(1),
        turns: Turns::new(Duration::ZERO),
    };
    let run = Run::new(
        "D-1".to_owned(),
        order.nodes,
        crate::platform::Ports { profiles, ..stage.plug().unwrap() },
        order.settings,
        order.target,
        Arc::new(OnceLock::from(Files::default())),
        Arc::new(windows),
        (Arc::new(Mute), Arc::new(Notes::default())),
    );
    let node = NodeSet::from_iter([NodeId(0)]);
    let cx = Context::detached("switch_pxe");
    let ended: Outcome = Step::new(Micro::SwitchPxe(boots), Arc::new(run)).run(node, cx).await;
    assert!(ended.ko.is_empty(), "{ended:?}");
    (std::fs::read_to_string(dir.path().join("0A000002")).unwrap(), loader)
}

#[tokio::test(start_paused = true)]
async fn the_deployment_system_is_told_what_the_site_says_and_our_key_unless_it_knows_that() {
    for (key, ours) in [(true, " kadence.key=ssh-ed25519,AAAA"), (false, "")] {
        let config = |config: &mut Config| {
            let deploy = &mut config.clusters[0].file.boot.kernels.deploy;
            (deploy.vmlinuz, deploy.initrd) = ("kernels/vmlinuz".into(), "kernels/initrd".into());
            (deploy.params, deploy.key_parameter) = ("ro quiet".into(), key);
        };
        let change = Change { method: Method::PxeLinux, config: &config, environment: &|_| () };
        let text = "DEFAULT network\nLABEL network\n\tKERNEL /kernels/vmlinuz\n\tAPPEND initrd=/kernels/initrd ro quiet";
        assert_eq!(written(change, Boots::Deploy).await.0, format!("{text}{ours}"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_installed_kernel_has_its_own_parameters_or_else_those_of_the_cluster() {
    let config = |config: &mut Config| {
        config.clusters[0].file.boot.kernels.user.params = "console=tty0".into();
    };
    for (own, params) in [("quiet env=1", "quiet env=1"), ("", "console=tty0")] {
        let environment = |one: &mut Environment| one.boot.kernel_params = own.into();
        let change = Change { method: Method::GrubPxe, config: &config, environment: &environment };
        let text = "\ntimeout=0\ndefault=0\nmenuentry local {\n\tset root=(hd0,3)\n\tlinux /vmlinuz PARAMS root=/dev/sda3\n\tinitrd /initrd\n}";
        let (found, loader) = written(change, Boots::Installed).await;
        assert_eq!((found, loader), (text.replace("PARAMS", params), false));
    }
}

/// Disk, label, whether there is a ramdisk; what GRUB does, and what others do.
#[tokio::test(start_paused = true)]
async fn each_disk_has_its_number_and_what_a_loader_cannot_name_starts_itself() {
    let place = "pci-0000:18:00.0-scsi-0:0:0:1";
    let linux = |disk: &str, root: &str| {
        format!("set root=({disk})\n\tlinux /vmlinuz root={root}\n\tinitrd /initrd\n}}")
    };
    let sector = |disk: &str| format!("set root=({disk})\n\tchainloader +1\n}}");
    let by_path = format!("/dev/disk/by-path/{place}-part3");
    for (disk, path, label, ramdisk, grub, chain) in [
        ("/dev/sdb", "", None, true, linux("hd1,3", "/dev/sdb3"), "hd1 3"),
        ("/dev/nvme0n1", "", None, true, linux("hd0,3", "/dev/nvme0n1p3"), "hd0 3"),
        ("disk1", "", None, true, sector("hd1,3"), "hd1 3"),
        ("disk1", place, None, true, linux("hd1,3", &by_path), "hd1 3"),
        ("disk1", place, None, false, sector("hd1,3"), "hd1 3"),
        ("disk0", place, Some("PROD"), true, sector("hd0"), "hd0 0"),
    ] {
        let config = |config: &mut Config| {
            let disks = &mut config.clusters[0].file.partitioning;
            disks.block_device = disk.into();
            disks.deploy_label = label.map(str::to_owned);
            disks.disk_path = [(disk.to_owned(), path.to_owned())].into();
        };
        let environment = |one: &mut Environment| {
            if !ramdisk {
                one.boot.initrd.clear();
            }
        };
        let change = |method| Change { method, config: &config, environment: &environment };
        let (text, loader) = written(change(Method::GrubPxe), Boots::Installed).await;
        assert!(text.ends_with(&grub), "{disk} {path}: {text}");
        // Whoever starts itself needs a loader to be there.
        assert_eq!(loader, grub.contains("chainloader"), "{disk} {path}");
        let (text, _) = written(change(Method::PxeLinux), Boots::Installed).await;
        assert!(text.ends_with(&format!("\tAPPEND {chain}")), "{disk} {path}: {text}");
    }
}
