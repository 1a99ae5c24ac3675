//! Cluster file: the ways of each macro-step, in the order of fallback.

use super::operation::Operation;
use crate::check::Check;
use crate::key::{Shape, default, mandatory, optional};
use crate::macros::{choice, section};
use crate::read::{Reader, Value};
use crate::tree::{Data, Located};
use std::time::Duration;

/// Ways to the deployment system.
const SET_DEPLOYMENT_ENV: &[&str] =
    &["Untrusted", "Kexec", "UntrustedCustomPreInstall", "Prod", "Nfsroot", "Trusted", "Dummy"];
/// Ways to bring the image to the nodes.
const BROADCAST_ENV: &[&str] =
    &["Chain", "Kascade", "Kastafior", "Tree", "Bittorrent", "Custom", "Dummy"];
/// Ways to the new system.
const BOOT_NEW_ENV: &[&str] = &["Kexec", "PivotRoot", "Classical", "HardReboot", "Dummy"];
/// Why there is no `PivotRoot`, and what there is.
pub const PIVOT_ROOT: &str = "another way, such as `Kexec`: a new root under the kernel of the deployment system would run without its own kernel and its modules, and with the old processes, so it would not be what was deployed";
/// The micro-steps.
pub const MICROSTEPS: &[&str] = &[
    "dummy",
    "send_key_in_deploy_env",
    "switch_pxe",
    "reboot",
    "kexec",
    "check_kernel_files",
    "send_deployment_kernel",
    "reboot_from_deploy_env",
    "power",
    "check_nodes",
    "load_drivers",
    "create_partition_table",
    "format_deploy_part",
    "format_tmp_part",
    "format_swap_part",
    "mount_deploy_part",
    "mount_tmp_part",
    "send_key",
    "wait_reboot",
    "install_bootloader",
    "sync",
    "produce_bad_nodes",
    "umount_deploy_part",
    "send_environment",
    "decompress_environment",
    "manage_admin_pre_install",
    "manage_admin_post_install",
    "manage_user_post_install",
    "set_vlan",
];

choice! {
    /// A way to do a macro-step. Which of them a macro-step has, its key says.
    pub enum InstanceKind {
        /// Reboot into the deployment system.
        Untrusted = "Untrusted",
        /// Start a kernel from the running one.
        Kexec = "Kexec",
        /// Reboot, with the pre-installation in place of the partitioning.
        UntrustedCustomPreInstall = "UntrustedCustomPreInstall",
        /// Use the running system.
        Prod = "Prod",
        /// Reboot into a system whose root is on a file server.
        Nfsroot = "Nfsroot",
        /// Start a kernel from the running one, for trusted nodes only.
        Trusted = "Trusted",
        /// A chain of nodes.
        Chain = "Chain",
        /// The relay.
        Kascade = "Kascade",
        /// The old name of the relay.
        Kastafior = "Kastafior",
        /// A tree of nodes.
        Tree = "Tree",
        /// Torrents.
        Bittorrent = "Bittorrent",
        /// The site's own command.
        Custom = "Custom",
        /// Change the root of the running system. Refused: it would not run what was deployed.
        PivotRoot = "PivotRoot",
        /// Reboot.
        Classical = "Classical",
        /// Reboot by the BMC.
        HardReboot = "HardReboot",
        /// Nothing.
        Dummy = "Dummy",
    }
}

section! {
    /// A way to do a macro-step.
    pub struct Instance {
        /// Which way.
        kind ("type"): InstanceKind => mandatory(),
        /// Further attempts before the next way is taken.
        retries: u32 => default("0").check(Check::Range(0, 1000)),
        /// Time limit of an attempt; 0 = that of all its micro-steps together.
        timeout: Duration => default("0"),
        /// Nodes may leave the step before the others.
        raisable: bool => default("true"),
        /// Stop before the step.
        breakpoint: bool => default("false"),
        /// What is different about its micro-steps.
        microsteps: Vec<Microstep> => optional(),
    }
}

section! {
    /// What is different about a micro-step.
    pub struct Microstep {
        /// Which one.
        name: String => mandatory().check(Check::OneOf(MICROSTEPS)),
        /// Time limit; 0 = an hour, or that of the boot for `wait_reboot`.
        timeout: Duration => default("0"),
        /// Further attempts.
        retries: u32 => default("0").check(Check::Range(0, 1000)),
        /// Nodes may leave the step before the others.
        raisable: bool => default("true"),
        /// Stop before the step.
        breakpoint: bool => default("false"),
        /// Operations in place of it.
        substitute: Vec<Operation> => optional(),
        /// Operations before it.
        pre_ops ("pre-ops"): Vec<Operation> => optional(),
        /// Operations after it.
        post_ops ("post-ops"): Vec<Operation> => optional(),
    }
}

/// The ways of each macro-step.
#[derive(Clone, Debug, PartialEq)]
pub struct Automata {
    /// To the deployment system.
    pub set_deployment_env: Vec<Instance>,
    /// The image to the nodes.
    pub broadcast_env: Vec<Instance>,
    /// To the new system.
    pub boot_new_env: Vec<Instance>,
}

impl Automata {
    /// The macro-steps with their ways, by the names of the files.
    pub fn macrosteps(&self) -> [(&'static str, &[Instance]); 3] {
        [
            ("SetDeploymentEnv", &self.set_deployment_env),
            ("BroadcastEnv", &self.broadcast_env),
            ("BootNewEnv", &self.boot_new_env),
        ]
    }
}

section! {
    /// The ways of each macro-step.
    pub(crate) struct AutomataKeys {
        /// The macro-steps.
        macrosteps: MacrostepKeys => default(
            "{SetDeploymentEnv: [{type: Untrusted, timeout: 200, retries: 2}],
              BroadcastEnv: [{type: Kascade, timeout: 300, retries: 2}],
              BootNewEnv: [{type: Classical, timeout: 150}, {type: HardReboot, timeout: 120, retries: 1}]}"
        ),
    }
}

section! {
    /// The macro-steps. Each is a list of ways; the next one is taken for nodes that failed.
    pub(crate) struct MacrostepKeys (check = ways_exist) {
        /// To the deployment system. Mandatory, under this name or the next.
        set_deployment_env ("SetDeploymentEnv"): Vec<Instance>
            => optional().check(Check::Types(SET_DEPLOYMENT_ENV)),
        /// Another name of `SetDeploymentEnv`.
        set_deployment_mini_os ("SetDeploymentMiniOS"): Vec<Instance>
            => optional().check(Check::Types(SET_DEPLOYMENT_ENV)),
        /// The image to the nodes.
        broadcast_env ("BroadcastEnv"): Vec<Instance>
            => mandatory().check(Check::Types(BROADCAST_ENV)),
        /// To the new system.
        boot_new_env ("BootNewEnv"): Vec<Instance>
            => mandatory().check(Check::Types(BOOT_NEW_ENV)),
    }
}

fn ways_exist(keys: &MacrostepKeys, at: &Located, cx: &mut Reader<'_>) {
    match (at.get("SetDeploymentEnv"), at.get("SetDeploymentMiniOS")) {
        (None, None) => cx.needed(at, "SetDeploymentEnv", "the list of its ways"),
        (Some(_), Some(second)) => {
            cx.mistake(second, "`SetDeploymentEnv` a second time", "one of the two names");
        }
        _ => (),
    }
    let set = [&keys.set_deployment_env[..], &keys.set_deployment_mini_os].concat();
    let lists = [("SetDeployment", &set), ("BroadcastEnv", &keys.broadcast_env)];
    let pivot = at.get("BootNewEnv").map_or(&[][..], Located::items);
    for way in pivot.iter().filter_map(|way| way.get("type")) {
        if matches!(&way.data, Data::Text(kind) if kind == "PivotRoot") {
            cx.mistake(way, "`PivotRoot`", PIVOT_ROOT);
        }
    }
    for (name, list) in lists.into_iter().chain([("BootNewEnv", &keys.boot_new_env)]) {
        let at = match &at.data {
            Data::Map(entries) => entries.iter().find(|entry| entry.key.starts_with(name)),
            _ => None,
        };
        if let Some(at) = at.map(|entry| &entry.value).filter(|_| list.is_empty()) {
            cx.wrong(at, "at least one way");
        }
    }
}

impl Value for Automata {
    fn shape() -> Shape {
        AutomataKeys::shape()
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        let keys = AutomataKeys::read(at, cx)?.macrosteps;
        let mut set_deployment_env = keys.set_deployment_env;
        set_deployment_env.extend(keys.set_deployment_mini_os);
        Some(Self {
            set_deployment_env,
            broadcast_env: keys.broadcast_env,
            boot_new_env: keys.boot_new_env,
        })
    }
}
