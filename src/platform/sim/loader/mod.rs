//! Boot loaders: they read the profiles that real ones would read, and do what these say.
//!
//! Pure functions from text to [`Decision`]. They know the parts of each language that our
//! profiles and headers use; anything else is a mistake in the profile, as it would be on
//! the machine.

mod grub;
mod ipxe;
mod syslinux;

use crate::nodes::Firmware;
use netboot::profile::Method;

/// What a loader is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Start a program of the repository: a kernel, another loader, `chain.c32`.
    Start {
        /// As the profile names it.
        program: String,
        /// Initial ramdisk, as the profile names it.
        ramdisk: Option<String>,
        /// What the program is told.
        arguments: String,
    },
    /// Start a kernel of a partition.
    Kernel {
        /// Number of the partition on the disk.
        partition: u32,
        /// Paths there: hypervisor (if any), kernel, initial ramdisk (if any).
        files: Vec<String>,
        /// Command line of the kernel.
        params: String,
    },
    /// Start a boot sector; 0: that of the disk.
    BootSector(u32),
    /// Start the loader on the EFI system partition.
    EfiLoader,
    /// Leave it to the next device of the firmware.
    NextDevice,
}

/// What became of a profile.
pub(super) type Verdict = Result<Decision, String>;

/// Reads `profile` as the loader of `method` does.
pub(super) fn read(method: Method, profile: &str, firmware: Firmware) -> Verdict {
    match method {
        Method::PxeLinux | Method::GPxeLinux => syslinux::read(profile),
        Method::Ipxe => ipxe::read(profile, firmware),
        Method::GrubPxe => grub::read(profile),
    }
}

/// What `chain.c32 hd0 3` starts.
pub(super) fn chain(arguments: &str) -> Verdict {
    let unclear = || format!("chain.c32: what is '{arguments}'?");
    let mut words = arguments.split_whitespace();
    let disk = words.next().and_then(|word| word.strip_prefix("hd")).ok_or_else(unclear)?;
    if disk != "0" {
        return Err(format!("chain.c32: there is no disk hd{disk}"));
    }
    words.next().unwrap_or("0").parse().map(Decision::BootSector).map_err(|_| unclear())
}

/// The first word and the rest.
fn split(line: &str) -> (&str, &str) {
    let line = line.trim();
    line.split_once(char::is_whitespace).map_or((line, ""), |(word, rest)| (word, rest.trim()))
}

#[cfg(test)]
mod tests;
