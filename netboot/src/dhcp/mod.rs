//! A DHCP server for network boot (RFC 2131, 2132, 4578 and the PXE specification 2.1).
//!
//! It answers machines that it knows, and no others. In [`Mode::Full`] each of
//! them has a fixed address, so there is no lease to keep: every answer follows
//! from the request and the [`Hosts`], and a restart forgets nothing. In
//! [`Mode::Proxy`] another server gives the addresses and this one adds what to
//! boot. `request` reads a message, `answer` decides (pure), `server` does the
//! sending.
//!
//! A machine without an address is answered by broadcast, whether it asked for
//! that or not: unicast would need a raw socket or an entry in the ARP table, and
//! RFC 2131 section 4.1 lets a server broadcast where it cannot unicast.

mod answer;
mod hosts;
mod request;
mod server;
#[cfg(test)]
mod tests;

pub use hosts::{BootFiles, DhcpHost, Hosts};
pub use server::{Ports, bind, serve};

use std::{net::Ipv4Addr, time::Duration};

/// What the server gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    #[default]
    Off,
    /// What to boot; addresses come from another server.
    Proxy,
    /// Addresses and what to boot.
    Full,
}

/// What is the same for every machine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the server gives.
    pub mode: Mode,
    /// Address of this server, as machines reach it.
    pub server: Ipv4Addr,
    /// The server that boot files come from by TFTP.
    pub next_server: Ipv4Addr,
    /// Netmask of the network.
    pub netmask: Ipv4Addr,
    /// Default gateway.
    pub router: Option<Ipv4Addr>,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
    /// Domain of the machines.
    pub domain: Option<String>,
    /// How long an address is given for, in whole seconds.
    pub lease: Duration,
    /// Ports, which only tests change.
    pub ports: Ports,
}
