//! Which micro-steps an image, a cluster or a request makes pointless.

use crate::{environments::ImageKind, steps::Micro};
use serde::{Deserialize, Serialize};

/// What the filters look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one operation")]
pub struct Facts {
    /// What the image is; none for reboots and power.
    pub image: Option<ImageKind>,
    /// A whole disk is written.
    pub whole_disk: bool,
    /// The deployment system can mount the image's filesystem.
    pub mountable: bool,
    /// The user gave keys.
    pub keys: bool,
    /// The partition table is to be left alone.
    pub no_partitioning: bool,
    /// The tmp partition gets a filesystem.
    pub tmp: bool,
    /// There is a swap partition, the system uses it, and it is not what is deployed.
    pub swap: bool,
    /// The boot loader on the disk is not used, or is to be left alone.
    pub no_bootloader: bool,
    /// Each of several partitions comes with the image.
    pub multipart: bool,
    /// The image is stored on the nodes before it is unpacked.
    pub store_first: bool,
    /// The nodes are moved to another network.
    pub vlan: bool,
    /// The deployment system is to load modules.
    pub drivers: bool,
    /// The environment or the administrator has pre-install archives.
    pub pre_install: bool,
    /// The administrator has post-install archives.
    pub admin_post_install: bool,
    /// The environment has a list of post-install archives.
    pub user_post_install: bool,
}

impl Facts {
    /// Whether `micro`, inside `macro_step`, has something to do.
    pub(super) fn keep(&self, macro_step: &str, micro: &Micro) -> bool {
        let in_first = macro_step.starts_with("SetDeploymentEnv");
        let in_broadcast = macro_step.starts_with("BroadcastEnv");
        let tar = self.image == Some(ImageKind::Tar);
        match micro {
            Micro::CreatePartitionTable => !self.whole_disk && !self.no_partitioning,
            Micro::FormatDeployPart => !self.whole_disk && tar,
            // A tar needs its partition before it comes; other images bring what is mounted.
            Micro::MountDeployPart if in_first => self.mountable && tar,
            Micro::MountDeployPart if in_broadcast => self.mountable && !tar && !self.whole_disk,
            Micro::MountDeployPart | Micro::UmountDeployPart | Micro::CheckKernelFiles => {
                self.mountable && !self.whole_disk
            }
            Micro::FormatTmpPart | Micro::MountTmpPart => {
                !self.whole_disk && self.tmp && !self.multipart
            }
            Micro::FormatSwapPart => !self.whole_disk && self.swap && !self.multipart,
            Micro::DecompressEnvironment => self.store_first || self.image == Some(ImageKind::Fsa),
            Micro::SetVlan { .. } => self.vlan,
            Micro::LoadDrivers => self.drivers,
            Micro::ManageAdminPreInstall => self.pre_install,
            Micro::SendKeyInDeployEnv => self.keys,
            Micro::SendKey => self.keys && self.mountable && !self.whole_disk,
            Micro::ManageAdminPostInstall => self.mountable && self.admin_post_install,
            Micro::ManageUserPostInstall => self.mountable && self.user_post_install,
            Micro::InstallBootloader => self.mountable && !self.whole_disk && !self.no_bootloader,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests;
