//! Which micro-steps an image, a cluster or a request makes pointless.

use crate::{environments::ImageKind, steps::Micro};
use serde::{Deserialize, Serialize};

/// What the filters look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
            Micro::FormatTmpPart => !self.whole_disk && self.tmp,
            Micro::FormatSwapPart => !self.whole_disk && self.swap,
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
mod tests {
    use super::*;

    fn kept(facts: Facts, macro_step: &str, micro: &[Micro]) -> Vec<bool> {
        micro.iter().map(|micro| facts.keep(macro_step, micro)).collect()
    }

    #[test]
    fn a_tar_is_formatted_and_mounted_before_it_comes() {
        let tar = Facts { image: Some(ImageKind::Tar), mountable: true, ..Facts::default() };
        let micro = [Micro::FormatDeployPart, Micro::MountDeployPart];
        assert_eq!(kept(tar, "SetDeploymentEnvUntrusted", &micro), [true, true]);
        assert_eq!(kept(tar, "BroadcastEnvChain", &micro[1..]), [false]);
    }

    #[test]
    fn a_raw_image_brings_its_filesystem_and_is_mounted_for_what_follows() {
        let dd = Facts { image: Some(ImageKind::Dd), mountable: true, ..Facts::default() };
        let micro = [Micro::FormatDeployPart, Micro::MountDeployPart];
        assert_eq!(kept(dd, "SetDeploymentEnvUntrusted", &micro), [false, false]);
        assert_eq!(kept(dd, "BroadcastEnvTree", &micro[1..]), [true]);
    }

    #[test]
    fn nothing_inside_an_image_is_touched_that_cannot_be_mounted() {
        let raw = Facts {
            image: Some(ImageKind::Dd),
            keys: true,
            admin_post_install: true,
            user_post_install: true,
            ..Facts::default()
        };
        let micro = [
            Micro::MountDeployPart,
            Micro::ManageAdminPostInstall,
            Micro::ManageUserPostInstall,
            Micro::CheckKernelFiles,
            Micro::SendKey,
            Micro::InstallBootloader,
        ];
        assert_eq!(kept(raw, "BroadcastEnvChain", &micro), [false; 6]);
        assert!(raw.keep("SetDeploymentEnvUntrusted", &Micro::SendKeyInDeployEnv));
    }

    #[test]
    fn a_whole_disk_is_left_as_the_image_makes_it() {
        let disk = Facts {
            image: Some(ImageKind::Dd),
            whole_disk: true,
            mountable: true,
            swap: true,
            tmp: true,
            ..Facts::default()
        };
        let micro = [
            Micro::CreatePartitionTable,
            Micro::FormatSwapPart,
            Micro::FormatTmpPart,
            Micro::MountDeployPart,
            Micro::InstallBootloader,
        ];
        assert_eq!(kept(disk, "BroadcastEnvChain", &micro), [false; 5]);
    }
}
