//! What a lab consists of: its nodes with their hardware and addresses.

use super::{Accel, BmcKind, BootWay, Dhcp, Hardware, LabError, Label, Loader, error::Context};
use crate::nodes::Firmware;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

/// Most nodes of a lab: node N has the last byte 10 + N, and 255 is the broadcast address.
pub const MAX_NODES: u8 = 200;
/// Name of the user of every BMC.
pub const BMC_USER: &str = "admin";
/// Port of the Redfish BMCs.
pub const REDFISH_PORT: u16 = 8000;

/// The two /24 of a lab: `A.B.0` for the nodes, `A.B.1` for the BMCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet(pub u8, pub u8);

impl Default for Subnet {
    fn default() -> Self {
        Self(10, 77)
    }
}

impl Subnet {
    /// Where the service listens: the bridge's own address.
    pub fn server(self) -> Ipv4Addr {
        Ipv4Addr::new(self.0, self.1, 0, 1)
    }

    /// Where another DHCP server is, if there is one.
    pub(super) fn beside(self) -> Ipv4Addr {
        Ipv4Addr::new(self.0, self.1, 0, 2)
    }

    fn node(self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.0, self.1, 0, 10 + number)
    }

    fn bmc(self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.0, self.1, 1, 10 + number)
    }
}

impl std::str::FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes =
            text.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        match bytes {
            Some((a @ 1..=223, b)) => Ok(Self(a, b)),
            _ => Err("two numbers are expected, as in 10.77".into()),
        }
    }
}

/// One machine of the lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// 1, 2, …
    pub number: u8,
    /// Where it answers once it runs.
    pub address: Ipv4Addr,
    /// Address of its BMC.
    pub bmc_address: Ipv4Addr,
    /// Its firmware.
    pub firmware: Firmware,
    /// Its devices.
    pub hardware: Hardware,
    /// The protocol of its BMC.
    pub bmc: BmcKind,
    /// Nothing answers at the BMC's address.
    pub dead_bmc: bool,
    /// How its installed system is booted.
    pub boot: BootWay,
    /// How its disk is partitioned.
    pub label: Label,
}

impl Guest {
    /// Short name, `node-3`.
    pub fn name(&self) -> String {
        format!("node-{}", self.number)
    }

    /// Full name, `node-3.lab`.
    pub fn fqdn(&self) -> String {
        format!("node-{}.lab", self.number)
    }

    /// MAC address of its network card.
    pub fn mac(&self) -> String {
        format!("52:54:00:77:00:{:02x}", self.number)
    }

    /// System UUID, as firmware and loaders see it.
    pub fn uuid(&self) -> String {
        format!("77000000-0000-0000-0000-{:012x}", self.number)
    }

    /// Name of its host interface.
    pub fn tap(&self) -> String {
        format!("tap{}", self.number)
    }
}

/// What is asked for; the lists are node numbers.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// How many nodes.
    pub nodes: u8,
    /// The nodes with UEFI instead of a BIOS.
    pub uefi: Numbers,
    /// The nodes with Redfish instead of IPMI.
    pub redfish: Numbers,
    /// The nodes whose BMC is dead.
    pub dead_bmc: Numbers,
    /// The nodes with an AHCI disk and an e1000e card.
    pub ahci: Numbers,
    /// The nodes that are booted from kernel to kernel.
    pub kexec: Numbers,
    /// The nodes whose disk has the partition table of DOS.
    pub msdos: Numbers,
    /// What nodes load first.
    pub loader: Loader,
    /// Who tells them their addresses.
    pub dhcp: Dhcp,
    /// Memory of each node, MiB.
    pub memory: u32,
    /// Size of each disk, as `qemu-img` reads it.
    pub disk: String,
    /// The addresses.
    pub subnet: Subnet,
    /// Folder of the deployment system, `vmlinuz` and `initrd.img`; without it the one that
    /// `ramdisk/build` makes.
    pub deployment_system: Option<PathBuf>,
}

/// A lab as it is built; kept in its state directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Name of its network namespace.
    pub name: String,
    /// Its addresses.
    pub subnet: Subnet,
    /// Memory of each node, MiB.
    pub memory: u32,
    /// Size of each disk.
    pub disk: String,
    /// How QEMU runs.
    pub accel: Accel,
    /// What nodes load first.
    pub loader: Loader,
    /// Who tells them their addresses.
    pub dhcp: Dhcp,
    /// Folder of the deployment system, if it is not that of `ramdisk/build`.
    #[serde(default)]
    pub deployment_system: Option<PathBuf>,
    /// The machines, by number.
    pub guests: Vec<Guest>,
}

impl Plan {
    /// The lab called `name` as `wishes` describe it.
    pub fn new(name: &str, wishes: &Wishes, accel: Accel) -> Result<Self, LabError> {
        let refuse = |what, value: String, reason: &str| {
            Err(LabError::Argument { what, value, reason: reason.into() })
        };
        if !(1..=MAX_NODES).contains(&wishes.nodes) {
            return refuse("number of nodes", wishes.nodes.to_string(), "1 to 200 are possible");
        }
        let digits = wishes.disk.trim_end_matches(['M', 'G', 'T']);
        if wishes.disk.len() - digits.len() != 1 || digits.parse::<u32>().is_err() {
            return refuse("disk size", wishes.disk.clone(), "a number and M, G or T, as in 4G");
        }
        let Wishes { uefi, redfish, dead_bmc, ahci, kexec, msdos, .. } = wishes;
        for list in [uefi, redfish, dead_bmc, ahci, kexec, msdos] {
            if let Some(number) = list.beyond(wishes.nodes) {
                return refuse("node number", number.to_string(), "the lab has no such node");
            }
        }
        let guests: Vec<Guest> = (1..=wishes.nodes).map(|n| guest(n, wishes)).collect();
        let uefi = guests.iter().find(|guest| guest.firmware == Firmware::Uefi);
        if let (Loader::Pxelinux | Loader::Gpxelinux, Some(guest)) = (wishes.loader, uefi) {
            let reason = "it is a BIOS program and the node has UEFI: take ipxe or grub";
            return refuse("loader for", guest.name(), reason);
        }
        let both = |guest: &&Guest| guest.firmware == Firmware::Uefi && guest.label == Label::Msdos;
        if let Some(guest) = guests.iter().find(both) {
            let reason =
                "the node has UEFI, which boots from GPT: leave it out of one of the lists";
            return refuse("DOS partition table for", guest.name(), reason);
        }
        Ok(Self {
            name: name.into(),
            subnet: wishes.subnet,
            memory: wishes.memory,
            disk: wishes.disk.clone(),
            accel,
            loader: wishes.loader,
            dhcp: wishes.dhcp,
            deployment_system: wishes.deployment_system.clone(),
            guests,
        })
    }

    /// Whether a node of this lab has UEFI.
    pub(super) fn has_uefi(&self) -> bool {
        self.guests.iter().any(|guest| guest.firmware == Firmware::Uefi)
    }

    /// The node called `name`: `3`, `node-3` or `node-3.lab`.
    pub fn guest(&self, name: &str) -> Result<&Guest, LabError> {
        let short = name.strip_suffix(".lab").unwrap_or(name);
        let number = short.strip_prefix("node-").unwrap_or(short).parse().ok();
        self.guests
            .iter()
            .find(|g| Some(g.number) == number)
            .ok_or_else(|| LabError::UnknownNode { node: name.into(), count: self.guests.len() })
    }

    /// Reads the plan from `path`; `None` where there is none.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, LabError> {
        let text = match std::fs::read(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.context(|| format!("reading {}", path.display()))?,
        };
        let plan = serde_json::from_slice(&text)
            .map_err(|source| LabError::Format { path: path.into(), source })?;
        Ok(Some(plan))
    }
}

fn guest(number: u8, wishes: &Wishes) -> Guest {
    let either = |list: &Numbers| list.contains(number);
    Guest {
        number,
        address: wishes.subnet.node(number),
        bmc_address: wishes.subnet.bmc(number),
        firmware: if either(&wishes.uefi) { Firmware::Uefi } else { Firmware::Bios },
        hardware: if either(&wishes.ahci) { Hardware::Ahci } else { Hardware::Virtio },
        bmc: if either(&wishes.redfish) { BmcKind::Redfish } else { BmcKind::Ipmi },
        dead_bmc: either(&wishes.dead_bmc),
        boot: if either(&wishes.kexec) { BootWay::Kexec } else { BootWay::Classical },
        label: if either(&wishes.msdos) { Label::Msdos } else { Label::Gpt },
    }
}

/// Some of the nodes, by number: `1,3-4` or `all`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    all: bool,
    some: BTreeSet<u8>,
}

impl Numbers {
    /// Is this node one of them?
    pub fn contains(&self, number: u8) -> bool {
        self.all || self.some.contains(&number)
    }

    /// A number that a lab of `count` nodes does not have.
    fn beyond(&self, count: u8) -> Option<u8> {
        self.some.iter().copied().find(|n| *n == 0 || *n > count)
    }
}

impl std::str::FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self { all: true, some: BTreeSet::new() });
        }
        let mut some = BTreeSet::new();
        for item in text.split(',').filter(|item| !item.is_empty()) {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            match (first.parse::<u8>(), last.parse::<u8>()) {
                (Ok(first), Ok(last)) if first <= last => some.extend(first..=last),
                _ => return Err(format!("`{item}`: numbers as in 1,3-4, or `all`")),
            }
        }
        Ok(Self { all: false, some })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A BIOS node with IPMI, a UEFI and a BIOS node with Redfish, …
    pub(crate) fn wishes(nodes: u8) -> Wishes {
        Wishes {
            nodes,
            uefi: "2".parse().unwrap(),
            redfish: "2-3".parse().unwrap(),
            dead_bmc: Numbers::default(),
            ahci: Numbers::default(),
            kexec: Numbers::default(),
            msdos: Numbers::default(),
            loader: Loader::default(),
            dhcp: Dhcp::default(),
            memory: 512,
            disk: "4G".into(),
            subnet: Subnet::default(),
            deployment_system: None,
        }
    }

    #[test]
    fn nodes_have_their_addresses_and_hardware() {
        let plan = Plan::new("x", &wishes(3), Accel::Tcg).unwrap();
        let node = plan.guest("node-2.lab").unwrap();
        assert_eq!(node.address.to_string(), "10.77.0.12");
        assert_eq!(node.bmc_address.to_string(), "10.77.1.12");
        assert_eq!((node.mac().as_str(), node.firmware), ("52:54:00:77:00:02", Firmware::Uefi));
        assert_eq!(plan.guest("3").unwrap().bmc, BmcKind::Redfish);
        assert_eq!(plan.guest("node-1").unwrap().bmc, BmcKind::Ipmi);
        assert!(plan.guest("node-4").unwrap_err().to_string().contains("node-3"));
    }

    #[test]
    fn what_cannot_be_built_is_refused() {
        assert!(Plan::new("x", &wishes(2), Accel::Tcg).unwrap_err().to_string().contains("`3`"));
        for disk in ["4", "G", "4X", "-4G", "4G,file=/etc/shadow", "4GG"] {
            let wishes = Wishes { disk: disk.into(), ..wishes(3) };
            assert!(Plan::new("x", &wishes, Accel::Tcg).is_err(), "{disk}");
        }
        let label = Wishes { msdos: "2".parse().unwrap(), ..wishes(3) };
        assert!(Plan::new("x", &label, Accel::Tcg).unwrap_err().to_string().contains("node-2"));
        let wishes = Wishes { loader: Loader::Pxelinux, ..wishes(3) };
        assert!(Plan::new("x", &wishes, Accel::Tcg).unwrap_err().to_string().contains("node-2"));
    }

    proptest! {
        #[test]
        fn every_node_of_a_lab_differs(count in 1..=MAX_NODES) {
            let wishes = Wishes { uefi: Numbers::default(), redfish: "all".parse().unwrap(), ..wishes(count) };
            let plan = Plan::new("x", &wishes, Accel::Kvm).unwrap();
            let keys: BTreeSet<_> = plan.guests.iter().flat_map(|g| [g.mac(), g.address.to_string(), g.bmc_address.to_string()]).collect();
            prop_assert_eq!(keys.len(), 3 * usize::from(count));
            prop_assert!(plan.guests.iter().all(|g| g.address != plan.subnet.server() && g.bmc == BmcKind::Redfish));
        }

        #[test]
        fn lists_hold_what_they_say(first in 1u8..100, more in 0u8..100) {
            let list: Numbers = format!("{first}-{},250", first + more).parse().unwrap();
            prop_assert!((first..=first + more).all(|n| list.contains(n)) && list.contains(250));
            prop_assert!(!list.contains(first - 1));
        }
    }
}
