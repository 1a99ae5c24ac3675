//! The machines that are answered.

use crate::{Firmware, Mac};
use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{Arc, PoisonError, RwLock},
};

/// A machine that is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpHost {
    /// Its interfaces, any of which may boot.
    pub macs: Vec<Mac>,
    /// The address it has.
    pub address: Ipv4Addr,
    /// Its name.
    pub hostname: String,
    /// Its firmware, for boot loaders that do not tell (RFC 4578 option 93).
    pub firmware: Firmware,
    /// What it boots.
    pub boot: BootFiles,
}

/// What a machine is told to load, by what it is at that moment. Where nothing is
/// given it gets no boot file, and goes on with its next boot device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootFiles {
    /// For a BIOS (architecture 0): a path on the next server, `pxelinux.0`.
    pub bios: Option<String>,
    /// For UEFI x64 (architectures 7 and 9): a path on the next server, `snponly.efi`.
    pub uefi: Option<String>,
    /// For UEFI x64 HTTP boot (architecture 16): an URL.
    pub uefi_http: Option<String>,
    /// For iPXE (user class `iPXE`): an URL, or a path on the next server.
    pub ipxe: Option<String>,
}

/// The machines that are answered, by MAC. Shared, and changed at run time.
#[derive(Debug, Default)]
pub struct Hosts(RwLock<HashMap<Mac, Arc<DhcpHost>>>);

impl Hosts {
    /// Answers exactly `hosts`.
    pub fn new(hosts: impl IntoIterator<Item = DhcpHost>) -> Self {
        let table = Self::default();
        table.replace(hosts);
        table
    }

    /// Answers exactly `hosts` from now on.
    pub fn replace(&self, hosts: impl IntoIterator<Item = DhcpHost>) {
        let mut table = HashMap::new();
        for host in hosts.into_iter().map(Arc::new) {
            table.extend(host.macs.iter().map(|mac| (*mac, Arc::clone(&host))));
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = table;
    }

    /// Answers `host` as well, in the place of what its interfaces were before.
    pub fn insert(&self, host: DhcpHost) {
        let host = Arc::new(host);
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.extend(host.macs.iter().map(|mac| (*mac, Arc::clone(&host))));
    }

    /// The machine with that interface.
    pub fn get(&self, mac: Mac) -> Option<Arc<DhcpHost>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&mac).cloned()
    }
}
