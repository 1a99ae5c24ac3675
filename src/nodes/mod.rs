//! The machines of the site.

mod inventory;

pub use inventory::{Inventory, Selection};

use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// Firmware of a machine: what its boot loader must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Firmware {
    /// PC BIOS.
    #[default]
    Bios,
    /// UEFI, x64.
    Uefi,
}

/// How a machine's power is controlled, besides the commands of its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bmc {
    /// Which protocol it speaks.
    pub driver: BmcDriver,
    /// Host name or address.
    pub address: String,
    /// Port, where it is not the protocol's own.
    pub port: Option<u16>,
    /// Who we are there.
    pub user: String,
    /// The file that holds the password; read at each use, never kept.
    pub password_file: std::path::PathBuf,
}

impl Bmc {
    /// Where it is, for people: its address, with the port where one is set, and without the
    /// user and password that someone may have put before an `@`.
    pub fn place(&self) -> String {
        let address = self.address.rsplit('@').next().unwrap_or_default();
        match self.port {
            Some(port) => format!("{address} port {port}"),
            None => address.to_owned(),
        }
    }
}

/// Protocol of a BMC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BmcDriver {
    /// IPMI 2.0 over LAN.
    Ipmi,
    /// DMTF Redfish.
    Redfish,
}

/// A machine that is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Fully qualified name.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// Where it answers.
    pub address: Ipv4Addr,
    /// MAC addresses of its boot interfaces, lower case with colons.
    pub macs: Vec<String>,
    /// Its firmware.
    pub firmware: Firmware,
    /// Its BMC, where one is configured (`bmc.driver` other than `command`).
    pub bmc: Option<Bmc>,
    /// The rack it stands in, where that is known.
    pub rack: Option<String>,
    /// The switch it is connected to, where that is known.
    pub switch: Option<String>,
}

impl Node {
    /// Nodes in this order are handed a stream with the fewest ways between switches and racks.
    pub fn way(&self) -> (Option<&str>, Option<&str>) {
        (self.switch.as_deref(), self.rack.as_deref())
    }

    /// A machine for tests.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self {
            name: "node-1.site".into(),
            cluster: "site".into(),
            address: Ipv4Addr::LOCALHOST,
            macs: Vec::new(),
            firmware: Firmware::Bios,
            bmc: None,
            rack: None,
            switch: None,
        }
    }

    /// The name up to the first dot.
    pub fn short(&self) -> &str {
        self.name.split('.').next().unwrap_or(&self.name)
    }
}
