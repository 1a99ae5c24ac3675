//! `switch_pxe`: what the nodes boot next.

use super::{Note, Run, Target, variables};
use crate::platform::{BootChoice, LocalBoot, ProfileError};
use automata::{NodeSet, Outcome};

/// The deployment system.
pub(super) async fn deployment(run: &Run, nodes: &NodeSet) -> Outcome {
    write(run, nodes, true).await
}

/// What was installed.
pub(super) async fn installed(run: &Run, nodes: &NodeSet) -> Outcome {
    write(run, nodes, false).await
}

/// Writes the profiles of the nodes again that `run` remembers, but for those that have
/// `failed`: our own servers keep them in memory only.
///
/// # Errors
/// A profile cannot be made or stored.
pub async fn restore(run: &Run, failed: &NodeSet) -> Result<(), ProfileError> {
    let mut known = run.memory().profiles.clone();
    known.retain(|id, _| !failed.contains(*id));
    for deploy in [true, false] {
        let nodes: NodeSet =
            known.iter().filter(|(_, known)| **known == deploy).map(|(id, _)| *id).collect();
        if let (false, Some(choice)) = (nodes.is_empty(), choice(run, deploy)) {
            run.ports.profiles.write(&run.members(&nodes), &choice).await?;
        }
    }
    Ok(())
}

async fn write(run: &Run, nodes: &NodeSet, deploy: bool) -> Outcome {
    let Some(choice) = choice(run, deploy) else {
        return Outcome::ko(nodes, "nothing was installed in this operation");
    };
    if let Err(reason) = run.note(Note::Profile { nodes: nodes.clone(), deploy }).await {
        return Outcome::ko(nodes, reason);
    }
    let kind = if deploy { "deploy" } else { "local" };
    match run.ports.profiles.write(&run.members(nodes), &choice).await {
        Ok(()) => Outcome::ok(nodes.clone()),
        Err(error) => {
            Outcome::ko(nodes, format!("Cannot perform the set_pxe_for_{kind} operation: {error}"))
        }
    }
}

/// What is written for the deployment system or, if there is any, for what was installed.
fn choice(run: &Run, deploy: bool) -> Option<BootChoice> {
    if deploy {
        Some(deployment_system(run))
    } else {
        run.target.as_ref().map(|target| disk(run, target))
    }
}

fn deployment_system(run: &Run) -> BootChoice {
    let settings = &run.settings;
    BootChoice::Network {
        kernel: settings.deploy_kernel.clone(),
        initrd: Some(settings.deploy_initrd.clone()),
        params: settings.deploy_params.clone(),
    }
}

fn disk(run: &Run, target: &Target) -> BootChoice {
    let boot = &target.environment.boot;
    BootChoice::Local(LocalBoot {
        os: target.environment.os.word(),
        device: target.device.clone(),
        partition: target.boot_partition,
        root: target.partition_number,
        kernel: boot.kernel.clone(),
        initrd: boot.initrd.clone(),
        params: variables::kernel_params(run),
        hypervisor: boot.hypervisor.clone(),
        hypervisor_params: boot.hypervisor_params.clone(),
    })
}
