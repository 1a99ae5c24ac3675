//! `switch_pxe`: what the nodes boot next.

use super::{Run, variables};
use crate::platform::{BootChoice, LocalBoot};
use automata::{NodeSet, Outcome};

/// The deployment system.
pub(super) async fn deployment(run: &Run, nodes: &NodeSet) -> Outcome {
    let settings = &run.settings;
    let choice = BootChoice::Network {
        kernel: settings.deploy_kernel.clone(),
        initrd: Some(settings.deploy_initrd.clone()),
        params: settings.deploy_params.clone(),
    };
    write(run, nodes, &choice, "deploy").await
}

/// What was installed.
pub(super) async fn installed(run: &Run, nodes: &NodeSet) -> Outcome {
    let Some(target) = &run.target else {
        return Outcome::ko(nodes, "nothing was installed in this operation");
    };
    let boot = &target.environment.boot;
    let choice = BootChoice::Local(LocalBoot {
        os: target.environment.os.word(),
        device: target.device.clone(),
        partition: target.boot_partition,
        root: target.partition_number,
        kernel: boot.kernel.clone(),
        initrd: boot.initrd.clone(),
        params: variables::kernel_params(run),
        hypervisor: boot.hypervisor.clone(),
        hypervisor_params: boot.hypervisor_params.clone(),
    });
    write(run, nodes, &choice, "local").await
}

async fn write(run: &Run, nodes: &NodeSet, choice: &BootChoice, kind: &str) -> Outcome {
    match run.ports.profiles.write(&run.members(nodes), choice).await {
        Ok(()) => Outcome::ok(nodes.clone()),
        Err(error) => {
            Outcome::ko(nodes, format!("Cannot perform the set_pxe_for_{kind} operation: {error}"))
        }
    }
}
