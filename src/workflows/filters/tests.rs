//! Every condition by itself, then all combinations of them.

use super::*;
use crate::{
    steps::Boots,
    workflows::{MACRO_STEPS, catalogue},
};
use proptest::prelude::*;
use std::{collections::BTreeSet, time::Duration};

/// A deployment in which no condition takes anything away, but for those of the image itself.
fn usual() -> Facts {
    Facts {
        image: Some(ImageKind::Tar),
        mountable: true,
        keys: true,
        tmp: true,
        swap: true,
        vlan: true,
        drivers: true,
        pre_install: true,
        store_first: true,
        admin_post_install: true,
        user_post_install: true,
        ..Facts::default()
    }
}

fn times() -> catalogue::Times {
    let limit = Duration::from_secs(1);
    catalogue::Times { reboot: limit, kexec: limit, level: crate::platform::Level::Soft }
}

/// All instances of a deployment with the names of their micro-steps.
fn instances() -> Vec<(String, Vec<Micro>)> {
    let ways = [
        "Untrusted",
        "Kexec",
        "Trusted",
        "UntrustedCustomPreInstall",
        "Prod",
        "Nfsroot",
        "Chain",
        "Tree",
        "Kascade",
        "Kastafior",
        "Classical",
        "HardReboot",
        "Dummy",
    ];
    let names = MACRO_STEPS.iter().flat_map(|step| ways.map(|way| format!("{step}{way}")));
    names.filter_map(|name| Some((name.clone(), catalogue::micro_steps(&name, times())?))).collect()
}

/// `macro-step/micro-step` of everything that `facts` take away.
fn removed(facts: Facts) -> BTreeSet<String> {
    let mut removed = BTreeSet::new();
    for (instance, micro) in instances() {
        let step = MACRO_STEPS.iter().find(|step| instance.starts_with(**step)).unwrap();
        let gone = micro.iter().filter(|micro| !facts.keep(&instance, micro));
        removed.extend(gone.map(|micro| format!("{step}/{}", micro.name())));
    }
    removed
}

const SET: &str = "SetDeploymentEnv";
const CAST: &str = "BroadcastEnv";
const BOOT: &str = "BootNewEnv";

/// What each condition takes away beyond what a tar image does.
#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn every_condition_takes_away_what_it_makes_pointless() {
    let usual = usual();
    let tar = format!("{CAST}/mount_deploy_part");
    assert_eq!(removed(usual), BTreeSet::from([tar.clone()]), "a tar is mounted before it comes");
    let dd = Facts { image: Some(ImageKind::Dd), ..usual };
    let set = |names: &[&str]| names.iter().map(|name| format!("{SET}/{name}")).collect::<Vec<_>>();
    let cast =
        |names: &[&str]| names.iter().map(|name| format!("{CAST}/{name}")).collect::<Vec<_>>();
    let boot =
        |names: &[&str]| names.iter().map(|name| format!("{BOOT}/{name}")).collect::<Vec<_>>();
    let mounts = [
        cast(&[
            "manage_admin_post_install",
            "manage_user_post_install",
            "check_kernel_files",
            "send_key",
            "install_bootloader",
        ]),
        boot(&["mount_deploy_part", "umount_deploy_part"]),
    ]
    .concat();
    let cases: Vec<(&str, Facts, Facts, Vec<String>)> = vec![
        (
            "a whole disk: the image makes its partitions",
            dd,
            Facts { whole_disk: true, ..dd },
            [
                set(&["create_partition_table", "format_tmp_part", "format_swap_part"]),
                cast(&[
                    "mount_deploy_part",
                    "check_kernel_files",
                    "send_key",
                    "install_bootloader",
                ]),
                boot(&["mount_deploy_part", "umount_deploy_part"]),
            ]
            .concat(),
        ),
        (
            "nothing is stored first",
            usual,
            Facts { store_first: false, ..usual },
            cast(&["decompress_environment"]),
        ),
        ("a raw image", usual, dd, set(&["format_deploy_part", "mount_deploy_part"])),
        (
            "an fsarchiver image",
            usual,
            Facts { image: Some(ImageKind::Fsa), ..usual },
            set(&["format_deploy_part", "mount_deploy_part"]),
        ),
        (
            "a filesystem that is not known",
            usual,
            Facts { mountable: false, ..usual },
            [mounts, set(&["mount_deploy_part"])].concat(),
        ),
        (
            "several partitions",
            usual,
            Facts { multipart: true, ..usual },
            set(&["format_tmp_part", "format_swap_part"]),
        ),
        (
            "no keys",
            usual,
            Facts { keys: false, ..usual },
            [set(&["send_key_in_deploy_env"]), cast(&["send_key"])].concat(),
        ),
        (
            "no partitioning",
            usual,
            Facts { no_partitioning: true, ..usual },
            set(&["create_partition_table"]),
        ),
        ("no tmp", usual, Facts { tmp: false, ..usual }, set(&["format_tmp_part"])),
        ("no swap", usual, Facts { swap: false, ..usual }, set(&["format_swap_part"])),
        (
            "no boot loader",
            usual,
            Facts { no_bootloader: true, ..usual },
            cast(&["install_bootloader"]),
        ),
        (
            "no pre-install",
            usual,
            Facts { pre_install: false, ..usual },
            set(&["manage_admin_pre_install"]),
        ),
        (
            "no post-install of the administrator",
            usual,
            Facts { admin_post_install: false, ..usual },
            cast(&["manage_admin_post_install"]),
        ),
        (
            "no list of post-installs",
            usual,
            Facts { user_post_install: false, ..usual },
            cast(&["manage_user_post_install"]),
        ),
        (
            "no network to move to",
            usual,
            Facts { vlan: false, ..usual },
            [set(&["set_vlan"]), boot(&["set_vlan"])].concat(),
        ),
        ("no modules", usual, Facts { drivers: false, ..usual }, set(&["load_drivers"])),
    ];
    for (why, before, after, expected) in cases {
        let (before, after) = (removed(before), removed(after));
        let more: BTreeSet<String> = after.difference(&before).cloned().collect();
        assert_eq!(more, expected.into_iter().collect::<BTreeSet<_>>(), "{why}");
    }
    // What is not a tar is mounted where it has come.
    assert!(!removed(dd).contains(&tar));
    let fsa = Facts { image: Some(ImageKind::Fsa), store_first: false, ..usual };
    assert!(
        !removed(fsa).contains(&format!("{CAST}/decompress_environment")),
        "it cannot be streamed"
    );
}

#[test]
fn reboots_lose_what_was_not_asked_for() {
    let none = Facts::default();
    for name in ["Simple", "SetPXE", "DeployEnv", "RecordedEnv"] {
        let micro = catalogue::micro_steps(name, times()).unwrap();
        let gone = micro.iter().filter(|one| !none.keep(name, one)).map(Micro::name);
        let gone: Vec<_> = gone.collect();
        let all = ["set_vlan", "load_drivers", "send_key_in_deploy_env"];
        assert_eq!(gone, if name == "DeployEnv" { &all[..] } else { &all[..1] }, "{name}");
    }
    assert!(none.keep("SetPXE", &Micro::SwitchPxe(Boots::Custom)));
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let image = prop_oneof![Just(ImageKind::Tar), Just(ImageKind::Dd), Just(ImageKind::Fsa)];
    (image, prop::array::uniform14(any::<bool>())).prop_map(|(image, set)| Facts {
        image: Some(image),
        whole_disk: set[0],
        mountable: set[1],
        keys: set[2],
        no_partitioning: set[3],
        tmp: set[4],
        swap: set[5],
        no_bootloader: set[6],
        multipart: set[7],
        store_first: set[8],
        vlan: set[9],
        drivers: set[10],
        pre_install: set[11],
        admin_post_install: set[12],
        user_post_install: set[13],
    })
}

proptest! {
    /// Whatever comes together, the steps without which nothing is deployed stay, nothing is done
    /// inside an image that is not mounted, and nothing is formatted that an image brings.
    #[test]
    fn what_remains_is_a_deployment(facts in any_facts()) {
        for (instance, micro) in instances() {
            let kept: Vec<_> = micro.iter().filter(|one| facts.keep(&instance, one)).collect();
            let has = |name: &str| kept.iter().any(|one| one.name() == name);
            let had = |name: &str| micro.iter().any(|one| one.name() == name);
            for name in ["switch_pxe", "reboot", "wait_reboot", "send_environment", "sync", "kexec", "check_nodes"] {
                prop_assert_eq!(has(name), had(name), "{} {}", instance, name);
            }
            if !facts.mountable {
                for name in ["mount_deploy_part", "check_kernel_files", "send_key", "install_bootloader"] {
                    prop_assert!(!has(name), "{} {}", instance, name);
                }
            }
            if facts.image != Some(ImageKind::Tar) {
                prop_assert!(!has("format_deploy_part"));
            }
            if facts.whole_disk {
                prop_assert!(!has("create_partition_table") && !has("format_swap_part"));
            }
        }
    }
}
