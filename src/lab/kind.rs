//! What the machines of a lab, and what is around them, can be like.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Disk controller and network card of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hardware {
    /// virtio disk (`/dev/vda`) and virtio network card.
    #[default]
    Virtio,
    /// AHCI disk (`/dev/sda`) and e1000e network card.
    Ahci,
}

impl Hardware {
    /// The disk as Linux names it.
    pub fn disk(self) -> &'static str {
        match self {
            Self::Virtio => "/dev/vda",
            Self::Ahci => "/dev/sda",
        }
    }
}

/// What speaks at the node's BMC address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BmcKind {
    /// IPMI 2.0 over LAN, port 623.
    #[default]
    Ipmi,
    /// Redfish over HTTP, port [`REDFISH_PORT`](super::REDFISH_PORT).
    Redfish,
}

impl std::fmt::Display for BmcKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Ipmi => "ipmi",
            Self::Redfish => "redfish",
        })
    }
}

/// How a node gets from the deployment system to the installed one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootWay {
    /// Through its firmware.
    #[default]
    Classical,
    /// From kernel to kernel, through the firmware where that fails.
    Kexec,
}

/// How the disk of a node is partitioned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// GPT, which every firmware boots from.
    #[default]
    Gpt,
    /// The table of DOS, for BIOS alone.
    Msdos,
}

impl Label {
    /// The script of the examples that makes it.
    pub fn script(self) -> &'static str {
        match self {
            Self::Gpt => "partition-gpt",
            Self::Msdos => "partition-msdos",
        }
    }
}

/// What nodes load first from the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Loader {
    /// iPXE, kernels over HTTP.
    #[default]
    Ipxe,
    /// PXELINUX, kernels over TFTP.
    Pxelinux,
    /// The PXELINUX that knows HTTP (`lpxelinux.0`, which took the place of gPXELINUX).
    Gpxelinux,
    /// GRUB, kernels over TFTP.
    Grub,
}

/// Who tells nodes their addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Dhcp {
    /// The service, with the boot information.
    #[default]
    Full,
    /// Another server (dnsmasq); the service adds the boot information.
    Proxy,
}

/// How QEMU runs the processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accel {
    /// Hardware virtualisation.
    Kvm,
    /// Emulation.
    Tcg,
}
