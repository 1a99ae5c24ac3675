//! `switch_pxe`: what the nodes boot next.

use super::{Note, Run, Settings, Target, variables};
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
        Boots::Installed => {
            custom.or_else(|| run.target.as_ref().map(|target| disk(settings, target)))
        }
    }
}

fn disk(settings: &Settings, target: &Target) -> BootChoice {
    let boot = &target.environment.boot;
    let root = target.root();
    let own = Some(&boot.kernel_params).filter(|own| !own.is_empty());
    BootChoice::Local(LocalBoot {
        // What a loader cannot tell the kernel, that on the disk does: from the boot sector of the
        // partition or, where that is not known by a number, of the disk.
        os: if root.is_some() { target.environment.os.word() } else { "other" },
        disk: disk_number(settings, &target.device),
        partition: target.boot_partition,
        root: root.unwrap_or_default(),
        kernel: boot.kernel.clone(),
        initrd: boot.initrd.clone(),
        params: own.unwrap_or(&settings.user_params).clone(),
        hypervisor: boot.hypervisor.clone(),
        hypervisor_params: boot.hypervisor_params.clone(),
    })
}

/// A loader's number of a disk: `/dev/sdb`, `/dev/nvme1n1` and `disk1` are 1, and a place on a bus
/// is what the id is that the site gave it.
fn disk_number(settings: &Settings, device: &str) -> u32 {
    if let Some(number) = settings.disk_numbers.get(device) {
        return *number;
    }
    let name = device.rsplit('/').next().unwrap_or_default();
    for counted in ["nvme", "disk"] {
        if let Some(rest) = name.strip_prefix(counted) {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            return rest[..end].parse().unwrap_or_default();
        }
    }
    match name.chars().next_back() {
        Some(letter @ 'a'..='z') => u32::from(letter) - u32::from('a'),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_counted_as_the_firmware_does() {
        let place = "/dev/disk/by-path/pci-0000:18:00.0-scsi-0:0:0:1";
        let disk_numbers = [(place.to_owned(), 1)].into();
        let settings = Settings { disk_numbers, ..Settings::default() };
        for (device, number) in [
            ("/dev/sda", 0),
            ("/dev/vdc", 2),
            ("/dev/nvme0n1", 0),
            ("/dev/nvme2n1", 2),
            ("/dev/mmcblk0", 0),
            ("disk0", 0),
            ("disk12", 12),
            (place, 1),
        ] {
            assert_eq!(disk_number(&settings, device), number, "{device}");
        }
    }
}
