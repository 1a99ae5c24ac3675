//! `switch_pxe`: what the nodes boot next.

use super::{Note, Run, Target, variables};
use crate::platform::{BootChoice, LocalBoot, ProfileError};
use automata::{NodeSet, Outcome};
use serde::{Deserialize, Serialize};

/// What they boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boots {
    /// The deployment system.
    Deploy,
    /// The system whose root is on a file server.
    Nfsroot,
    /// What the user's own profile says.
    Custom,
    /// What was installed; what the user's own profile says, where there is one.
    Installed,
}

/// What messages call a profile.
fn kind(boots: Boots, choice: &BootChoice) -> &'static str {
    match (choice, boots) {
        (BootChoice::Custom { .. }, _) => "custom",
        (BootChoice::Local(_), _) => "local",
        (BootChoice::Network { .. }, Boots::Nfsroot) => "nfsroot",
        (BootChoice::Network { .. }, _) => "deploy",
    }
}

/// Writes the profiles of the nodes again that `run` remembers, but for those that have
/// `failed`: our own servers keep them in memory only.
///
/// # Errors
/// A profile cannot be made or stored.
pub async fn restore(run: &Run, failed: &NodeSet) -> Result<(), ProfileError> {
    let mut known = run.memory().profiles.clone();
    known.retain(|id, _| !failed.contains(*id));
    for boots in [Boots::Deploy, Boots::Nfsroot, Boots::Custom, Boots::Installed] {
        let nodes: NodeSet =
            known.iter().filter(|(_, known)| **known == boots).map(|(id, _)| *id).collect();
        if let (false, Some(choice)) = (nodes.is_empty(), choice(run, boots)) {
            put(run, &nodes, boots, &choice).await?;
        }
    }
    Ok(())
}

/// Says what nodes boot next.
pub(super) async fn write(run: &Run, nodes: &NodeSet, boots: Boots) -> Outcome {
    let Some(choice) = choice(run, boots) else {
        return Outcome::ko(nodes, "nothing was installed in this operation");
    };
    let (deploy, what) = (boots == Boots::Deploy, Some(boots));
    let note = Note::Profile { nodes: nodes.clone(), deploy, boots: what };
    if let Err(reason) = run.note(note).await {
        return Outcome::ko(nodes, reason);
    }
    match put(run, nodes, boots, &choice).await {
        Ok(()) => Outcome::ok(nodes.clone()),
        Err(error) => {
            let kind = kind(boots, &choice);
            Outcome::ko(nodes, format!("Cannot perform the set_pxe_for_{kind} operation: {error}"))
        }
    }
}

/// What a node boots that comes back in the user's network is written for its address there too,
/// first.
async fn put(
    run: &Run,
    nodes: &NodeSet,
    boots: Boots,
    choice: &BootChoice,
) -> Result<(), ProfileError> {
    let variables = variables::variables(run);
    if matches!(boots, Boots::Custom | Boots::Installed) {
        let moved = run.moved(nodes);
        if !moved.is_empty() {
            run.ports.profiles.write(&moved, choice, &variables).await?;
        }
    }
    run.ports.profiles.write(&run.members(nodes), choice, &variables).await
}

fn choice(run: &Run, boots: Boots) -> Option<BootChoice> {
    let settings = &run.settings;
    let custom = settings.profile.as_ref().map(|profile| BootChoice::Custom {
        text: profile.text.clone(),
        user: profile.user.clone(),
        singularities: profile.singularities.clone(),
    });
    match boots {
        Boots::Deploy => Some(BootChoice::Network {
            kernel: settings.deploy_kernel.clone(),
            initrd: Some(settings.deploy_initrd.clone()),
            params: settings.deploy_params.clone(),
        }),
        Boots::Nfsroot => Some(BootChoice::Network {
            kernel: settings.nfsroot_kernel.clone(),
            initrd: None,
            params: settings.nfsroot_params.clone(),
        }),
        Boots::Custom => custom,
        Boots::Installed => custom.or_else(|| run.target.as_ref().map(|target| disk(run, target))),
    }
}

fn disk(run: &Run, target: &Target) -> BootChoice {
    let boot = &target.environment.boot;
    // Of a partition that is found by its label only the node knows the number: its own loader
    // is started, from the boot sector of the disk.
    let labelled = target.partition_number == 0;
    BootChoice::Local(LocalBoot {
        os: if labelled { "other" } else { target.environment.os.word() },
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
