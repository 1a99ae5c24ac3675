//! `clusters.conf`: the clusters and their machines, as written.

use crate::check::Check;
use crate::key::{Shape, default, mandatory, optional};
use crate::macros::{choice, section};
use crate::read::{Reader, Value};
use crate::tree::{Data, Located};
use std::{path::PathBuf, time::Duration};

section! {
    /// `clusters.conf`.
    pub(crate) struct ClustersKeys {
        /// The clusters.
        clusters: Vec<ClusterKeys> => mandatory(),
    }
}

choice! {
    /// What the nodes of a cluster are.
    pub enum Platform {
        /// Machines.
        Real = "real",
        /// Simulated, inside the service.
        Sim = "sim",
    }
}

section! {
    /// A cluster.
    pub(crate) struct ClusterKeys {
        /// Its name.
        name: String => mandatory(),
        /// What its operations are called by where several clusters take part; empty = `c1`, `c2`...
        prefix: Option<String> => default("''"),
        /// The cluster's file.
        conf_file: PathBuf => mandatory().check(Check::File),
        /// Its machines.
        nodes: Vec<NodeKeys> => mandatory(),
        /// What its nodes are.
        platform: Platform => default("real").fixed(),
        /// How its nodes behave, where they are simulated.
        sim: Sim => optional().fixed(),
        /// A node counts as rebooted only with a proof: another boot id, or another state
        /// of its BMC. Without, an open port after the command is enough.
        require_reboot_proof: bool => default("false"),
    }
}

section! {
    /// How simulated nodes behave.
    pub struct Sim {
        /// The same seed gives the same run.
        seed: u64 => default("1"),
        /// Chance of a fault per action of a node, in thousandths.
        faults: u32 => default("0").check(Check::Range(0, 1000)),
        /// Typical time of a boot through the firmware.
        boot_time: Duration => default("60").check(Check::Range(1, 86_400)),
        /// How many seconds pass for the nodes in one of the clock. The limits of steps stay
        /// those of the clock.
        speed: u32 => default("1").check(Check::Range(1, 1000)),
        /// The systems on their disks let the service in, as a production system does, and leave
        /// room for another one on partition 5.
        open: bool => default("false"),
        /// The machines outlive the service: how each is lies in a file of the state directory, which
        /// is written whenever the service looks at it or changes it. Otherwise they begin anew with the service.
        kept: bool => default("false"),
    }
}

choice! {
    /// Firmware of a machine: what its boot loader must be.
    pub enum Firmware {
        /// PC BIOS.
        Bios = "bios",
        /// UEFI, x64.
        Uefi = "uefi",
    }
}

section! {
    /// A machine, or several by ranges.
    pub(crate) struct NodeKeys {
        /// Its full name, or a range: `node-[1-20,40].site.lan`.
        name: String => mandatory(),
        /// Its IPv4 address, or a range in the last byte: `10.0.0.[1-20,40]`. Ranges of
        /// names and addresses go in pairs.
        address: String => mandatory(),
        /// MAC addresses of its boot interfaces; on a range, one per node.
        mac: Macs => optional(),
        /// Its firmware.
        firmware: Firmware => default("bios"),
        /// Its BMC. None = the commands of the cluster do all.
        bmc: Option<BmcKeys> => optional(),
        /// The rack it stands in.
        rack: Option<String> => optional(),
        /// The switch it is connected to.
        switch: Option<String> => optional(),
    }
}

choice! {
    /// How a BMC is spoken to.
    pub enum BmcDriver {
        /// IPMI 2.0 over LAN.
        Ipmi = "ipmi",
        /// DMTF Redfish.
        Redfish = "redfish",
        /// By the commands of the cluster (`remoteops`).
        Command = "command",
    }
}

section! {
    /// A BMC.
    pub(crate) struct BmcKeys (check = reachable) {
        /// How it is spoken to.
        driver: BmcDriver => mandatory(),
        /// Its name or address; on a range of nodes, a range. Needed for `ipmi` and `redfish`.
        address: Option<String> => optional(),
        /// Its port; the protocol's own where it is not set.
        port: Option<u16> => optional().check(Check::Range(1, 65_535)),
        /// User there. Needed for `ipmi` and `redfish`.
        user: Option<String> => optional(),
        /// File that holds the password and nothing else. Needed for `ipmi` and `redfish`.
        password_file: Option<PathBuf> => optional().check(Check::File),
    }
}

fn reachable(bmc: &BmcKeys, at: &Located, cx: &mut Reader<'_>) {
    if bmc.driver == BmcDriver::Command {
        return;
    }
    let needs = [
        ("address", bmc.address.is_none()),
        ("user", bmc.user.is_none()),
        ("password_file", bmc.password_file.is_none()),
    ];
    for (key, _) in needs.into_iter().filter(|(_, missing)| *missing) {
        cx.needed(at, key, format!("`{key}`, as `driver` is `{}`", bmc.driver));
    }
}

/// The BMC of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bmc {
    /// How it is spoken to.
    pub driver: BmcDriver,
    /// Its name or address; empty for `command`, where none is set.
    pub address: String,
    /// Its port, where it is not the protocol's own.
    pub port: Option<u16>,
    /// User there.
    pub user: String,
    /// File that holds the password; read at each use.
    pub password_file: Option<PathBuf>,
}

/// MAC addresses, lower case with colons, written as one or as a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Macs(pub(crate) Vec<String>);

impl Value for Macs {
    fn shape() -> Shape {
        Shape::leaf("MAC address, or list of them")
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        let items = match &at.data {
            Data::Null => &[],
            Data::List(items) => items.as_slice(),
            _ => std::slice::from_ref(at),
        };
        let macs: Vec<_> = items.iter().map(|item| mac(item, cx)).collect();
        macs.into_iter().collect::<Option<_>>().map(Self)
    }
}

fn mac(at: &Located, cx: &mut Reader<'_>) -> Option<String> {
    let found = match &at.data {
        Data::Text(text) => normal_mac(text),
        _ => None,
    };
    if found.is_none() {
        cx.wrong(at, "a MAC address such as 52:54:00:12:34:56");
    }
    found
}

/// Six pairs of hexadecimal digits, joined by colons or dashes.
fn normal_mac(text: &str) -> Option<String> {
    let parts: Vec<_> = text.split([':', '-']).collect();
    let pair = |part: &&str| part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit());
    (parts.len() == 6 && parts.iter().all(pair)).then(|| parts.join(":").to_lowercase())
}
