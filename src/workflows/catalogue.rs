//! The micro-steps of each macro-step instance, in order.

use crate::{
    platform::Level,
    steps::{Boots, By, Check, Micro, PowerStep},
};
use std::time::Duration;

/// The macro-steps of a deployment, in order.
pub const MACRO_STEPS: [&str; 3] = ["SetDeploymentEnv", "BroadcastEnv", "BootNewEnv"];

/// Another name of the first of them.
const SYNONYM: (&str, &str) = ("SetDeploymentMiniOS", "SetDeploymentEnv");

/// What a catalogue entry may depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Bound of a boot through the firmware.
    pub(super) reboot: Duration,
    /// Bound of a boot from kernel to kernel.
    pub(super) kexec: Duration,
    /// How hard a reboot or a power order begins.
    pub(super) level: Level,
}

/// Whether `name` is a macro-step instance that can be run.
pub fn known_instance(name: &str) -> bool {
    let times = Times { reboot: Duration::ZERO, kexec: Duration::ZERO, level: Level::Soft };
    micro_steps(name, times).is_some()
}

/// Whether `name` is a micro-step of any generation.
pub fn known_micro_step(name: &str) -> bool {
    config::model::automata::MICROSTEPS.contains(&name)
}

/// The name of a macro-step or of an instance as we call it.
pub fn canonical(name: &str) -> String {
    match name.strip_prefix(SYNONYM.0) {
        Some(rest) => format!("{}{rest}", SYNONYM.1),
        None => name.to_owned(),
    }
}

/// The micro-steps of the instance called `name`; none for one that does not exist (yet).
pub(super) fn micro_steps(name: &str, times: Times) -> Option<Vec<Micro>> {
    let (macro_step, way) = match MACRO_STEPS.iter().find(|known| name.starts_with(**known)) {
        Some(known) => (*known, &name[known.len()..]),
        None => ("", name),
    };
    match (macro_step, way) {
        (_, "Dummy") if !macro_step.is_empty() => Some(vec![Micro::Dummy, Micro::Dummy]),
        ("SetDeploymentEnv", way) => to_deployment_system(way, times),
        // Chain and tree name the same thing here: the order of the pipeline is the relay's, and
        // it is the relay as well that bears the names of the old programs.
        ("BroadcastEnv", "Chain" | "Tree" | "Kascade" | "Kastafior") => Some(broadcast(By::Relay)),
        ("BroadcastEnv", "Custom") => Some(broadcast(By::Site)),
        ("BroadcastEnv", "Bittorrent") => {
            Some([vec![Micro::MountTmpPart], broadcast(By::Torrent)].concat())
        }
        ("BootNewEnv", way) => to_new_system(way, times),
        ("", way) => alone(way, times),
        _ => None,
    }
}

fn to_deployment_system(way: &str, times: Times) -> Option<Vec<Micro>> {
    let steps = match way {
        "Untrusted" => [through_firmware(Boots::Deploy, times), partitioning()].concat(),
        "Nfsroot" => [through_firmware(Boots::Nfsroot, times), partitioning()].concat(),
        "Kexec" => [from_kernel_to_kernel(times), partitioning()].concat(),
        "Trusted" => {
            let check = vec![Micro::CheckNodes(Check::Trusted)];
            [check, from_kernel_to_kernel(times), partitioning()].concat()
        }
        "UntrustedCustomPreInstall" => {
            let mut steps = through_firmware(Boots::Deploy, times);
            steps.push(Micro::ManageAdminPreInstall);
            steps
        }
        "Prod" => vec![
            Micro::CheckNodes(Check::Production),
            Micro::FormatDeployPart,
            Micro::MountDeployPart,
            Micro::FormatTmpPart,
        ],
        _ => return None,
    };
    Some(steps)
}

fn through_firmware(boots: Boots, times: Times) -> Vec<Micro> {
    vec![
        Micro::SwitchPxe(boots),
        Micro::SetVlan { home: true },
        Micro::Reboot(Level::Soft),
        times.wait(true, false),
        Micro::LoadDrivers,
        Micro::SendKeyInDeployEnv,
    ]
}

fn from_kernel_to_kernel(times: Times) -> Vec<Micro> {
    vec![
        Micro::SetVlan { home: true },
        Micro::SendDeploymentKernel,
        Micro::Sync,
        Micro::Kexec { deploy: true },
        // No firmware is asked for: where it is needed, the next instance does so.
        Micro::WaitReboot { deploy: true, press: false, moved: false, timeout: times.kexec },
        Micro::LoadDrivers,
        Micro::SendKeyInDeployEnv,
    ]
}

fn partitioning() -> Vec<Micro> {
    vec![
        Micro::CreatePartitionTable,
        Micro::FormatDeployPart,
        Micro::MountDeployPart,
        Micro::FormatTmpPart,
        Micro::FormatSwapPart,
    ]
}

fn broadcast(by: By) -> Vec<Micro> {
    vec![
        Micro::SendEnvironment(by),
        Micro::DecompressEnvironment,
        Micro::MountDeployPart,
        Micro::ManageAdminPostInstall,
        Micro::ManageUserPostInstall,
        Micro::CheckKernelFiles,
        Micro::SendKey,
        Micro::InstallBootloader,
        Micro::Sync,
    ]
}

fn to_new_system(way: &str, times: Times) -> Option<Vec<Micro>> {
    let installed = Micro::SwitchPxe(Boots::Installed);
    let away = Micro::SetVlan { home: false };
    let steps = match way {
        "Classical" => vec![
            installed,
            Micro::UmountDeployPart,
            Micro::RebootFromDeployEnv,
            away,
            times.wait(false, true),
        ],
        "Kexec" => vec![
            installed,
            Micro::UmountDeployPart,
            Micro::MountDeployPart,
            Micro::Kexec { deploy: false },
            away,
            Micro::WaitReboot { deploy: false, press: false, moved: true, timeout: times.kexec },
        ],
        "HardReboot" => {
            vec![installed, Micro::Reboot(Level::Hard), away, times.wait(false, true)]
        }
        _ => return None,
    };
    Some(steps)
}

/// Reboots and power operations.
fn alone(way: &str, times: Times) -> Option<Vec<Micro>> {
    let reboot = Micro::Reboot(times.level);
    let away = Micro::SetVlan { home: false };
    let back = times.wait(false, true);
    let steps = match way {
        "Simple" => vec![reboot, away, back],
        "SetPXE" => vec![Micro::SwitchPxe(Boots::Custom), reboot, away, back],
        "RecordedEnv" => vec![Micro::SwitchPxe(Boots::Installed), reboot, away, back],
        "DeployEnv" => vec![
            Micro::SwitchPxe(Boots::Deploy),
            reboot,
            away,
            times.wait(true, true),
            Micro::LoadDrivers,
            Micro::SendKeyInDeployEnv,
        ],
        "On" => vec![Micro::Power(PowerStep::On(times.level))],
        "Off" => vec![Micro::Power(PowerStep::Off(times.level))],
        "Status" => vec![Micro::Power(PowerStep::Status)],
        _ => return None,
    };
    Some(steps)
}

impl Times {
    /// Until the nodes are back from a boot through the firmware.
    fn wait(self, deploy: bool, moved: bool) -> Micro {
        Micro::WaitReboot { deploy, press: true, moved, timeout: self.reboot }
    }
}
