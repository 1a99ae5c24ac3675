//! The ways through the macro-steps that the usual deployment does not take.

use super::{
    Tried,
    case::{Case, Setting, deployment_by},
    stride,
};
use config::{
    Config,
    model::{
        cluster::{ArchiveFormat, Install, Trusted, TrustedEnv},
        external::Bittorrent,
    },
};
use serde_json::{Value, json};
use std::time::Duration;

/// Every so many points of each way: a story takes a tenth of a second and more.
const STRIDE: usize = 41;

/// Machines that run something that the service knows.
fn open() -> Setting {
    Setting { open: true, ..Setting::default() }
}

fn by(name: &'static str, ways: [&str; 3]) -> Case {
    Case::new(name, deployment_by(ways, json!({}), json!({})))
}

fn of(name: &'static str, environment: Value, more: Value) -> Case {
    let ways = ["Untrusted", "Chain", "Classical"];
    Case::new(name, deployment_by(ways, environment, more))
}

fn through(cases: impl IntoIterator<Item = Case>) {
    for case in cases {
        Tried::new(case).through(stride(STRIDE));
    }
}

#[test]
fn each_way_into_the_deployment_system_comes_to_its_end_wherever_the_service_is_stopped() {
    let trusted = |config: &mut Config| {
        let envs = vec![TrustedEnv { name: "simulated".into(), user: "anna".into() }];
        let list = Trusted { partition: Some("3".into()), user: None, envs };
        config.clusters[0].file.trusted_deployment = Some(list);
    };
    let prod = |config: &mut Config| {
        let partitions = config.clusters[0].file.partitioning.partitions.as_mut().unwrap();
        (partitions.prod, partitions.deploy) = (3.into(), Some(5.into()));
    };
    let prepared = |config: &mut Config| {
        config.clusters[0].file.preinstall.files = vec![Install {
            file: "/simulated/site.tgz".into(),
            format: ArchiveFormat::Tgz,
            script: "site.sh".into(),
        }];
    };
    through([
        Case {
            setting: Setting { prepares: true, ..open() },
            ..by("by kexec", ["Kexec", "Chain", "Kexec"])
        },
        Case {
            setting: Setting { change: trusted, ..open() },
            ..by("trusted", ["Trusted", "Chain", "Classical"])
        },
        Case {
            setting: Setting { change: prod, ..open() },
            ..by("production system", ["Prod", "Tree", "Classical"])
        },
        by("root on a file server", ["Nfsroot", "Kascade", "HardReboot"]),
        Case {
            setting: Setting { change: prepared, ..Setting::default() },
            ..by("pre-install", ["UntrustedCustomPreInstall", "Kastafior", "Classical"])
        },
        Case {
            setting: Setting { runs: "an older image", ..open() },
            ..by("nothing", ["Dummy", "Dummy", "Dummy"])
        },
    ]);
}

#[test]
fn each_way_to_boot_what_is_new_comes_to_its_end_wherever_the_service_is_stopped() {
    through([
        by("classical", ["Untrusted", "Chain", "Classical"]),
        by("hard reboot", ["Untrusted", "Chain", "HardReboot"]),
    ]);
}

#[test]
fn each_way_to_spread_an_image_comes_to_its_end_wherever_the_service_is_stopped() {
    let spread = |config: &mut Config| {
        config.clusters[0].file.localops.broadcastenv.cmd = Some("spread ENVFILE NODEFILE".into());
        config.server.external.bittorrent = Some(Bittorrent {
            tracker_ip: [10, 0, 0, 1].into(),
            download_timeout: Duration::from_secs(600),
        });
    };
    let setting = Setting { change: spread, ..Setting::default() };
    let torrent = ["Untrusted", "Bittorrent", "Kexec"];
    let on_disk = json!({"reformat_tmp_partition": "ext4"});
    through([
        Case { setting, ..by("site's own command", ["Untrusted", "Custom", "Kexec"]) },
        Case { setting, ..by("torrent", torrent) },
        Case {
            setting,
            ..Case::new("torrent on disk", deployment_by(torrent, json!({}), on_disk))
        },
    ]);
}

#[test]
fn each_kind_of_image_comes_to_its_end_wherever_the_service_is_stopped() {
    let file = format!("server://{}", crate::simulation::stage::IMAGE);
    let partition = json!({"file": file, "kind": "dd", "compression": "gzip"});
    let fsarchiver = json!({"file": file, "kind": "fsa", "compression": 3});
    through([
        of("image of a partition", json!({"image": partition}), json!({})),
        of("fsarchiver", json!({"image": fsarchiver}), json!({})),
    ]);
}
