//! `server.conf`: our own network-boot servers and broadcast.
//!
//! Every server is off unless its section is there. With TFTP or HTTP on, nodes
//! get their profiles rendered on request, and nothing is written per node.

use crate::check::Check;
use crate::key::{default, optional};
use crate::macros::{choice, section};
use crate::read::Reader;
use crate::tree::{Data, Located};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

section! {
    /// Our own network-boot servers.
    pub struct Netboot {
        /// Our TFTP server; off where the section is absent.
        tftp: Option<Tftp> => optional().check(Check::Short("listen")),
        /// Our HTTP server for boot loaders; off where the section is absent.
        http: Option<Http> => optional().check(Check::Short("listen")),
        /// Our DHCP server; off where the section is absent.
        dhcp: Dhcp => optional().check(Check::Short("mode")),
        /// Addresses under which nodes reach our servers, where these listen on all.
        addresses: Vec<Ipv4Addr> => optional(),
    }
}

impl Netboot {
    /// Whether nodes get their profiles rendered on request.
    pub fn serves_profiles(&self) -> bool {
        self.tftp.is_some() || self.http.is_some()
    }
}

section! {
    /// Our TFTP server.
    pub struct Tftp {
        /// Where it listens.
        listen: SocketAddr => default("0.0.0.0:69"),
        /// Transfers at once; a node that asks beyond them asks again.
        transfers: u32 => default("1000").check(Check::Range(1, 100_000)),
    }
}

section! {
    /// Our HTTP server for boot loaders.
    pub struct Http {
        /// Where it listens.
        listen: SocketAddr => default("0.0.0.0:80"),
    }
}

choice! {
    /// What our DHCP server does.
    pub enum DhcpMode {
        /// Nothing.
        Off = "off",
        /// Boot information only; addresses come from another server.
        Proxy = "proxy",
        /// Addresses and boot information, for known nodes.
        Full = "full",
    }
}

section! {
    /// Our DHCP server. It answers known nodes only: those with a `mac`.
    pub struct Dhcp (check = complete) {
        /// What it does.
        mode: DhcpMode => default("off"),
        /// Interface on which it hears requests. Needed unless off.
        interface: Option<String> => optional(),
        /// Its address on that interface, which it names as the server. Needed unless off.
        listen: Option<Ipv4Addr> => optional(),
        /// Port it listens on; another one than 67 is for tests.
        port: u16 => default("67").check(Check::Range(1, 65_535)),
        /// Mask of the nodes' network. Needed when full.
        netmask: Option<Ipv4Addr> => optional(),
        /// Router of the nodes.
        router: Option<Ipv4Addr> => optional(),
        /// Name servers of the nodes.
        dns: Vec<Ipv4Addr> => optional(),
        /// Domain of the nodes.
        domain: Option<String> => optional(),
        /// How long an address is lent.
        lease: Duration => default("3600").check(Check::Range(60, 31_536_000)),
        /// File under the `pxe/dhcp` repository that BIOS nodes load first. Empty = the
        /// firmware's own loader reads the profile.
        bios_loader: Option<String> => default("undionly.kpxe"),
        /// File under the `pxe/dhcp` repository that UEFI nodes load first.
        uefi_loader: Option<String> => default("snponly.efi"),
    }
}

fn complete(dhcp: &Dhcp, at: &Located, cx: &mut Reader<'_>) {
    if matches!(at.data, Data::Map(_)) && at.get("mode").is_none() {
        cx.needed(at, "mode", crate::read::one_of(DhcpMode::WORDS));
    }
    let on = dhcp.mode != DhcpMode::Off;
    let needs = [
        ("interface", on && dhcp.interface.is_none()),
        ("listen", on && dhcp.listen.is_none()),
        ("netmask", dhcp.mode == DhcpMode::Full && dhcp.netmask.is_none()),
    ];
    for (key, _) in needs.into_iter().filter(|(_, missing)| *missing) {
        cx.needed(at, key, format!("`{key}`, as `mode` is `{}`", dhcp.mode));
    }
    let mask = at.get("netmask").zip(dhcp.netmask);
    if let Some((at, mask)) = mask.filter(|(_, mask)| !is_mask(*mask)) {
        cx.mistake(at, format!("{mask}"), "a netmask such as 255.255.255.0");
    }
}

/// Whether the ones of an address are all on its left.
fn is_mask(mask: Ipv4Addr) -> bool {
    let bits = mask.to_bits();
    bits.leading_ones() == bits.count_ones()
}

section! {
    /// Our own broadcast of images.
    pub struct Relay {
        /// Port on the nodes.
        port: u16 => default("25400").check(Check::Range(1, 65_535))
            .without("each node takes a port that is free there, and tells which"),
        /// The program that is started on the nodes, on the server's disk. None = the one
        /// that the deployment system brings.
        binary: Option<PathBuf> => optional().check(Check::File),
        /// Bytes of a block, the unit that is checked and asked for again.
        block_size: u32 => default("65536").check(Check::Range(4096, 16_777_216)),
        /// Recent blocks that a node keeps for the one behind it.
        ring: u32 => default("512").check(Check::Range(2, 65_536)),
        /// A neighbour without a byte for this long is left for another one.
        stall: Duration => default("3").check(Check::Range(1, 3600)),
        /// Each node hands the image on to so many others: 1 makes a chain, more a tree. Nodes with
        /// a `switch` make one for each switch.
        fanout: u32 => default("1").check(Check::Range(1, 64)),
        /// Most megabits per second on each connection of a broadcast. None = as fast as it goes.
        rate: Option<u32> => optional().check(Check::Range(1, 1_000_000)),
        /// Most megabits per second that the server sends in one broadcast, on all connections
        /// together. None = as fast as it goes.
        total_rate: Option<u32> => optional().check(Check::Range(1, 1_000_000)),
    }
}
