//! What a node is asked to do: every command that steps send, as a value.
//!
//! Steps say what they want; [`Errand::text`] is the one place that knows how a POSIX shell
//! is told. A real machine gets the text; a platform that has no shell takes the value, so
//! that it can neither misread a text nor understand more than steps say.

mod place;
mod simple;
mod text;
mod ticket;

pub(super) use text::quote;
pub use ticket::{DiskId, DiskTicket};
#[cfg(test)]
mod tests;

use crate::environments::Compression;
use std::sync::Arc;

/// Something for root's login shell on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Prints the id of the running boot.
    BootId,
    /// Prints which disk a device is: [`DiskId`].
    IdentifyDisk {
        /// `/dev/sda`.
        device: String,
    },
    /// Does an errand that destroys what a disk holds, if its ticket is good: refused on
    /// another disk, and where the ticket was used before.
    Ticketed {
        /// What it needs.
        ticket: DiskTicket,
        /// What is done.
        errand: Arc<Errand>,
    },
    /// Takes the administrator's partitioning script on standard input and runs it.
    Partition(Variables),
    /// Takes the administrator's program that makes the filesystem of the deploy partition.
    Format(Variables),
    /// Takes a script on standard input and runs it.
    RunScript {
        /// What it is told.
        variables: Variables,
        /// Its arguments.
        arguments: Vec<String>,
    },
    /// Runs a user's or an administrator's own shell text.
    Exec {
        /// What it is told: exported.
        variables: Variables,
        /// The text.
        command: String,
    },
    /// Writes standard input to a file, in a directory that is made if missing.
    Store {
        /// Absolute.
        path: String,
    },
    /// Does an errand with a file of the node in place of standard input.
    FromFile {
        /// Absolute.
        path: String,
        /// What is done.
        errand: Arc<Errand>,
    },
    /// Restores filesystems from an fsarchiver archive on the node.
    Restore {
        /// The archive.
        path: String,
        /// fsarchiver's level of compression.
        level: u8,
        /// Number of the filesystem in the archive, and the partition it goes to.
        parts: Vec<(i64, String)>,
    },
    /// Loads modules of the kernel.
    LoadDrivers(Vec<String>),
    /// Prints the device of the root filesystem, and on the next line that of a partition.
    RootDevice {
        /// `/dev/sda2`, or another of its names.
        beside: String,
    },
    /// Makes a filesystem, whatever is mounted there now.
    MakeFilesystem {
        /// For `mkfs -t`.
        filesystem: String,
        /// Further options, shell text of the administrator's.
        options: String,
        /// `/dev/sda3`.
        partition: String,
        /// Where it will be mounted: made if missing.
        directory: String,
    },
    /// Makes swap space.
    MakeSwap {
        /// `/dev/sda1`.
        partition: String,
    },
    /// Mounts, unless it is mounted already.
    Mount {
        /// `/dev/sda3`.
        partition: String,
        /// Where.
        directory: String,
    },
    /// Writes everything to the disk and unmounts, if it is mounted.
    Unmount {
        /// `/dev/sda3`.
        partition: String,
    },
    /// Writes everything to the disks.
    Sync,
    /// Appends the public keys on standard input to those that may log in.
    AddKeys {
        /// Directory of `authorized_keys`.
        directory: String,
    },
    /// Unpacks the compressed tar on standard input.
    Unpack(Unpacking),
    /// The same into a directory that is made if missing.
    UnpackArchive(Unpacking),
    /// Writes the compressed bytes on standard input to a device.
    WriteImage {
        /// How they are compressed.
        compression: Compression,
        /// `/dev/sda3`, or `/dev/sda` for a whole disk.
        device: String,
    },
    /// Runs what an archive brought.
    RunArchive {
        /// Where it was unpacked.
        directory: String,
        /// Path of the script there and its arguments: the user's own shell text.
        script: String,
        /// What it is told.
        variables: Variables,
    },
    /// Fails where a file is not in the image, links followed as in a chroot.
    CheckFiles {
        /// Where the image is.
        root: String,
        /// What each file is (`kernel`), and its path in the image.
        files: Vec<(&'static str, String)>,
    },
    /// Takes the administrator's boot loader script on standard input and runs it.
    InstallBootLoader(Variables),
    /// Loads a kernel of the image, unmounts the image, and jumps into the kernel.
    Kexec {
        /// Where the image is.
        root: String,
        /// Path of the kernel in the image.
        kernel: String,
        /// Path of the initial ramdisk in the image; may be empty.
        initrd: String,
        /// Kernel command line.
        params: String,
        /// A partition that is named as root before that.
        root_device: Option<String>,
        /// The image is mounted there.
        mounted: bool,
        /// A program on standard input does it, with kernel, initial ramdisk and command line as
        /// arguments; what it is told.
        script: Option<Variables>,
    },
    /// Ends what an attempt left at work in the deployment system at and below a directory:
    /// afterwards nobody writes to the disk.
    Tidy {
        /// Where the image is mounted.
        directory: String,
        /// What lies there is unmounted as well.
        unmount: bool,
    },
    /// Reboots at once, writing nothing more to the disks.
    Reboot,
    /// Shell text that is none of the above: what the real platform needs for itself.
    Text(String),
}

/// Variables of a script: names and values.
pub type Variables = Vec<(String, String)>;

/// Variables whose values are names of disks and partitions: the node puts their devices in.
pub(super) const DEVICES: [&str; 2] = ["KADEPLOY_DEPLOY_PART", "KADEPLOY_BLOCK_DEVICE"];

/// How an archive is unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacking {
    /// Into which directory.
    pub directory: String,
    /// How it is compressed.
    pub compression: Compression,
    /// Further options of `tar`, shell text of the administrator's.
    pub options: String,
}

impl Errand {
    /// Whether it changes disks or mounts: then it waits on the node for what an earlier one
    /// still does there. A service that ends leaves its commands running, and the next one
    /// must not mount what a `mkfs` of before is about to overwrite.
    pub fn takes_turn(&self) -> bool {
        match self.bare() {
            Self::FromFile { errand, .. } => errand.takes_turn(),
            Self::Partition(_)
            | Self::Format(_)
            | Self::Restore { .. }
            | Self::MakeFilesystem { .. }
            | Self::MakeSwap { .. }
            | Self::Mount { .. }
            | Self::Unmount { .. }
            | Self::Sync
            | Self::Unpack(_)
            | Self::WriteImage { .. }
            | Self::InstallBootLoader(_) => true,
            // A user's archive may be long on its way, and what it starts may stay; what tidies
            // ends what would be waited for.
            Self::UnpackArchive(_)
            | Self::RunScript { .. }
            | Self::Exec { .. }
            | Self::Store { .. }
            | Self::LoadDrivers(_)
            | Self::RootDevice { .. }
            | Self::Tidy { .. }
            | Self::RunArchive { .. }
            | Self::AddKeys { .. }
            | Self::BootId
            | Self::IdentifyDisk { .. }
            | Self::Ticketed { .. }
            | Self::CheckFiles { .. }
            | Self::Kexec { .. }
            | Self::Reboot
            | Self::Text(_) => false,
        }
    }
}

impl From<&str> for Errand {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Errand {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
