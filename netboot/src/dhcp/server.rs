//! Receives and sends.

use super::{Hosts, Settings};
use crate::Watcher;
use std::{io, net::Ipv4Addr, sync::Arc};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

/// Where answers go. The ports that the server listens on are those of its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Port of the machines, 68.
    pub client: u16,
    /// Port of relay agents, 67.
    pub relay: u16,
    /// Where machines without an address are reached: 255.255.255.255.
    pub broadcast: Ipv4Addr,
}

impl Default for Ports {
    fn default() -> Self {
        Self { client: 68, relay: 67, broadcast: Ipv4Addr::BROADCAST }
    }
}

/// A socket for [`serve`], bound to `port` (67 and, for a proxy, 4011) of
/// `interface`, or of all of them.
///
/// # Errors
/// There is no such interface, the port is taken, or a privilege is missing.
pub fn bind(interface: Option<&str>, port: u16) -> io::Result<UdpSocket> {
    todo!("{interface:?} {port}")
}

/// Answers `hosts` on `socket`, and on `boot_socket` (port 4011) machines that ask
/// again there what to boot, until `stop`. With [`super::Mode::Off`] it returns at once.
///
/// # Errors
/// None yet: a packet that cannot be read or sent is logged.
pub async fn serve(
    socket: UdpSocket,
    boot_socket: Option<UdpSocket>,
    settings: Settings,
    hosts: Arc<Hosts>,
    watcher: Arc<dyn Watcher>,
    stop: CancellationToken,
) -> io::Result<()> {
    let _ = (socket, boot_socket, settings, hosts, watcher, stop);
    todo!()
}
