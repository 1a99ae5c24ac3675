//! Boot profiles: the texts that boot loaders read.
//!
//! [`Factory`] holds what a site says about a boot method: which loader
//! ([`Method`]), where its files are exported ([`Export`]), whether the node is
//! BIOS or UEFI. [`Factory::render`] turns one [`Boot`] into text. All of it is
//! pure: the texts for BIOS nodes are the ones that existing sites have, byte for
//! byte, and golden tests hold them in place. What is put into a text is checked
//! first ([`ProfileError`]), so that no value can add a line, and none of a user's a command.

mod check;
mod export;
mod grub;
mod ipxe;
mod naming;
mod syslinux;
#[cfg(test)]
mod tests;

pub use export::{Export, Transport};
pub use naming::Naming;

use crate::Firmware;
use std::{fmt, str::FromStr};

/// A boot loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// PXELINUX.
    PxeLinux,
    /// gPXELINUX: PXELINUX that also reads from HTTP and FTP.
    GPxeLinux,
    /// iPXE.
    Ipxe,
    /// GRUB, started over the network.
    GrubPxe,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 4] = [Self::PxeLinux, Self::GPxeLinux, Self::Ipxe, Self::GrubPxe];
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PxeLinux => "PXElinux",
            Self::GPxeLinux => "GPXElinux",
            Self::Ipxe => "IPXE",
            Self::GrubPxe => "GrubPXE",
        })
    }
}

impl FromStr for Method {
    type Err = ProfileError;

    /// The names used in configuration files.
    fn from_str(name: &str) -> Result<Self, ProfileError> {
        let found = Self::ALL.into_iter().find(|method| method.to_string() == name);
        found.ok_or_else(|| ProfileError::Method(name.to_owned()))
    }
}

/// What a node shall boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// A kernel from the network.
    Network {
        /// Path of the kernel in the exported repository.
        kernel: String,
        /// Path of the initial ramdisk, if there is one.
        initrd: Option<String>,
        /// Kernel parameters.
        params: String,
    },
    /// The system on a disk.
    Local(Local),
    /// Another boot loader: its path in the exported repository.
    Chain(String),
    /// Text of a user, used as it is (see [`substitute`]).
    Custom(String),
}

/// The system on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Number of the disk, from 0.
    pub disk: u32,
    /// Number of the partition that boots.
    pub partition: u32,
    /// Device of the system's root, `/dev/sda3`; a boot sector needs none.
    pub root: String,
    /// What GRUB loads; the other methods leave it to the loader on the partition.
    pub os: OsKind,
    /// Path of `chain.c32` in the exported repository; GRUB needs none.
    pub chain: String,
}

/// What GRUB loads from a partition. Paths are those of the installed system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OsKind {
    /// A Linux kernel.
    Linux {
        /// The kernel.
        kernel: String,
        /// The initial ramdisk, if there is one.
        initrd: Option<String>,
        /// Kernel parameters.
        params: String,
    },
    /// A Xen hypervisor and its first domain.
    Xen {
        /// The hypervisor.
        hypervisor: String,
        /// Its parameters.
        hypervisor_params: String,
        /// The kernel of the first domain.
        kernel: String,
        /// The initial ramdisk of the first domain, if there is one.
        initrd: Option<String>,
        /// Parameters of that kernel.
        params: String,
    },
    /// Whatever the boot sector of the partition holds.
    Other,
}

/// Why there is no profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No such method.
    #[error("no boot method is called `{0}`: use PXElinux, GPXElinux, IPXE or GrubPXE")]
    Method(String),
    /// No such export.
    #[error("no export is called `{0}`: use tftp, http or ftp")]
    Transport(String),
    /// No such naming.
    #[error("no profile naming is called `{0}`: use ip, ip_hex, hostname or hostname_short")]
    Naming(String),
    /// The loader cannot read from there.
    #[error("{method} cannot read by {transport}: use {supported}")]
    Unsupported {
        /// The loader.
        method: Method,
        /// What was asked.
        transport: Transport,
        /// What it can read by.
        supported: &'static str,
    },
    /// The loader does not run on the node's firmware.
    #[error("{0} is a BIOS program and cannot boot a UEFI node: use IPXE or GrubPXE for it")]
    Uefi(Method),
    /// A value would break the profile or do more than it should.
    #[error("{what} {value:?} cannot be put in a {method} profile: {reason}")]
    Value {
        /// Which value.
        what: &'static str,
        /// What it is.
        value: String,
        /// For which loader.
        method: Method,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A node's name cannot be the name of a file.
    #[error("{0:?} cannot be the name of a profile: it is no host name")]
    Name(String),
}

/// A boot method as a site has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factory {
    /// The loader.
    pub method: Method,
    /// Where its files are.
    pub export: Export,
    /// Firmware of the nodes.
    pub firmware: Firmware,
}

impl Factory {
    /// The text of the profile that boots `boot`, under the site's `header` for
    /// that kind (may be empty; not used with [`Boot::Custom`]).
    ///
    /// # Errors
    /// The method and the export or firmware do not go together, or a value is refused.
    pub fn render(&self, boot: &Boot, header: &str) -> Result<String, ProfileError> {
        if let Boot::Custom(text) = boot {
            return Ok(text.clone());
        }
        let syslinux = matches!(self.method, Method::PxeLinux | Method::GPxeLinux);
        if syslinux && self.firmware == Firmware::Uefi {
            return Err(ProfileError::Uefi(self.method));
        }
        self.export.supported_by(self.method)?;
        check::boot(self.method, boot)?;
        check::header(self.method, header)?;
        let header = match header {
            "" => String::new(),
            text if text.ends_with('\n') => text.to_owned(),
            text => format!("{text}\n"),
        };
        Ok(match self.method {
            Method::PxeLinux | Method::GPxeLinux => syslinux::render(self, boot, &header),
            Method::Ipxe => ipxe::render(self, boot, &header),
            Method::GrubPxe => grub::render(self, boot, &header),
        })
    }

    /// The path of `file` of the exported repository, as this loader must write it.
    pub fn exported(&self, file: &str) -> String {
        self.export.path(self.method, file)
    }
}

/// A loader that is started by DHCP, or by another loader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loader {
    /// Which.
    pub method: Method,
    /// Path of its program in the exported repository.
    pub binary: String,
}

impl Loader {
    /// Whether `first`, the loader that DHCP starts, must chain to this one: they
    /// differ in method or in program. If so, a node needs two profiles: one of
    /// `first` with [`Boot::Chain`] of this program, then one of this loader.
    pub fn needs_chain_from(&self, first: &Self) -> bool {
        self != first
    }
}

/// The text of a user's profile for one node: `NODE_SINGULARITY` becomes the
/// node's singularity (if there are any: empty for a node that has none) and
/// `FILES_PREFIX` the exported path of the user's files.
pub fn substitute(text: &str, singularity: Option<&str>, files_prefix: &str) -> String {
    let text = match singularity {
        Some(value) => text.replace("NODE_SINGULARITY", value),
        None => text.to_owned(),
    };
    text.replace("FILES_PREFIX", files_prefix)
}

/// Words with a blank between them; empty ones are left out.
fn words(words: &[&str]) -> String {
    let words: Vec<&str> = words.iter().copied().filter(|word| !word.is_empty()).collect();
    words.join(" ")
}
