//! The micro-steps of each macro-step instance, in order.

use crate::{
    platform::Level,
    steps::{Micro, PowerStep},
};
use std::time::Duration;

/// The macro-steps of a deployment, in order.
pub const MACRO_STEPS: [&str; 3] = ["SetDeploymentEnv", "BroadcastEnv", "BootNewEnv"];

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

/// The micro-steps of the instance called `name`; none for one that does not exist (yet).
pub(super) fn micro_steps(name: &str, times: Times) -> Option<Vec<Micro>> {
    let steps = match name {
        "SetDeploymentEnvUntrusted" => untrusted(times),
        // Chain and tree name the same thing here: the order of the pipeline is the relay's.
        "BroadcastEnvChain"
        | "BroadcastEnvTree"
        | "BroadcastEnvKascade"
        | "BroadcastEnvKastafior" => broadcast(),
        "BootNewEnvClassical" => vec![
            Micro::SwitchPxeLocal,
            Micro::UmountDeployPart,
            Micro::RebootFromDeployEnv,
            times.wait(false),
        ],
        "BootNewEnvKexec" => vec![
            Micro::SwitchPxeLocal,
            Micro::UmountDeployPart,
            Micro::MountDeployPart,
            Micro::Kexec,
            // No firmware is asked for: where it is needed, the next instance does so.
            Micro::WaitReboot { deploy: false, press: false, timeout: times.kexec },
        ],
        "BootNewEnvHardReboot" => {
            vec![Micro::SwitchPxeLocal, Micro::Reboot(Level::Hard), times.wait(false)]
        }
        "SetDeploymentEnvDummy" | "BroadcastEnvDummy" | "BootNewEnvDummy" => {
            vec![Micro::Dummy, Micro::Dummy]
        }
        "Simple" => vec![Micro::Reboot(times.level), times.wait(false)],
        "DeployEnv" => vec![
            Micro::SwitchPxeDeploy,
            Micro::Reboot(times.level),
            times.wait(true),
            Micro::SendKeyInDeployEnv,
        ],
        "On" => vec![Micro::Power(PowerStep::On(times.level))],
        "Off" => vec![Micro::Power(PowerStep::Off(times.level))],
        "Status" => vec![Micro::Power(PowerStep::Status)],
        _ => return None,
    };
    Some(steps)
}

fn untrusted(times: Times) -> Vec<Micro> {
    vec![
        Micro::SwitchPxeDeploy,
        Micro::Reboot(Level::Soft),
        times.wait(true),
        Micro::SendKeyInDeployEnv,
        Micro::CreatePartitionTable,
        Micro::FormatDeployPart,
        Micro::MountDeployPart,
        Micro::FormatTmpPart,
        Micro::FormatSwapPart,
    ]
}

fn broadcast() -> Vec<Micro> {
    vec![
        Micro::SendEnvironment,
        Micro::MountDeployPart,
        Micro::ManageAdminPostInstall,
        Micro::ManageUserPostInstall,
        Micro::CheckKernelFiles,
        Micro::SendKey,
        Micro::InstallBootloader,
        Micro::Sync,
    ]
}

impl Times {
    /// Until the nodes are back from a boot through the firmware.
    fn wait(self, deploy: bool) -> Micro {
        Micro::WaitReboot { deploy, press: true, timeout: self.reboot }
    }
}
