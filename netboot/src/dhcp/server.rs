//! Receives and sends.

use super::{
    Hosts, Mode, Settings,
    answer::{Door, Verdict, answer},
    request::Ask,
};
use crate::{Client, Event, Mac, Outcome, Reported, Server, Stage, Watcher};
use dhcproto::{
    Encodable,
    v4::{DhcpOption, Message, OptionCode},
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{net::UdpSocket, time::Instant};
use tokio_util::sync::CancellationToken;

/// Longest message read: an Ethernet frame and more.
const PACKET: usize = 2048;
/// Shortest message sent: what BOOTP relays and old ROMs expect (RFC 1542 section 2.1).
const SHORTEST: usize = 300;
/// Pause after the socket failed, so that a lasting failure does not fill the log.
const PAUSE: Duration = Duration::from_millis(100);

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
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_broadcast(true)?;
    if let Some(interface) = interface {
        // Also makes a broadcast leave by this interface, whatever the routes say.
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    UdpSocket::from_std(socket.into())
}

/// Answers `hosts` on `socket`, and on `boot_socket` (port 4011) machines that ask
/// again there what to boot, until `stop`. With [`Mode::Off`] it returns at once.
/// A packet that cannot be read or sent is logged, and ends nothing.
pub async fn serve(
    socket: UdpSocket,
    boot_socket: Option<UdpSocket>,
    settings: Settings,
    hosts: Arc<Hosts>,
    watcher: Arc<dyn Watcher>,
    stop: CancellationToken,
) {
    if settings.mode == Mode::Off {
        return;
    }
    let desk = Desk { settings, hosts, watcher, strangers: Reported::default() };
    let boot = async {
        if let Some(socket) = &boot_socket {
            desk.attend(socket, Door::Boot).await;
        }
    };
    stop.run_until_cancelled(async { tokio::join!(desk.attend(&socket, Door::Dhcp), boot) }).await;
}

/// Where messages are answered.
struct Desk {
    settings: Settings,
    hosts: Arc<Hosts>,
    watcher: Arc<dyn Watcher>,
    strangers: Reported<Mac>,
}

impl Desk {
    async fn attend(&self, socket: &UdpSocket, door: Door) {
        let mut buffer = vec![0; PACKET];
        loop {
            match socket.recv_from(&mut buffer).await {
                Ok((len, SocketAddr::V4(from))) => {
                    self.message(socket, door, &buffer[..len], from).await;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot receive DHCP messages");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn message(&self, socket: &UdpSocket, door: Door, packet: &[u8], from: SocketAddrV4) {
        let began = Instant::now();
        let Some(ask) = Ask::read(packet) else { return };
        let Some(host) = self.hosts.get(ask.mac) else {
            if self.strangers.first(ask.mac) {
                tracing::info!(mac = %ask.mac, %ask, "DHCP message of an unknown machine");
                self.report(&ask, None, Outcome::Stranger, 0, began);
            }
            return;
        };
        let (outcome, bytes) = match answer(&ask, &host, &self.settings, door) {
            Verdict::Silence(why) => (Outcome::Refused(why.into()), 0),
            Verdict::Reply(reply) => self.send(socket, door, &ask, &reply, from).await,
        };
        self.report(&ask, Some(host.address.into()), outcome, bytes, began);
    }

    async fn send(
        &self,
        socket: &UdpSocket,
        door: Door,
        ask: &Ask,
        reply: &Message,
        from: SocketAddrV4,
    ) -> (Outcome, u64) {
        let mut packet = match reply.to_vec() {
            Ok(packet) => packet,
            Err(error) => return (Outcome::Failed(error.to_string().into()), 0),
        };
        packet.resize(packet.len().max(SHORTEST), 0);
        let to = self.destination(door, ask, reply, from);
        match socket.send_to(&packet, to).await {
            Ok(sent) => (Outcome::Sent(summary(reply).into()), sent as u64),
            Err(error) => {
                tracing::warn!(%to, %error, "cannot send a DHCP reply");
                (Outcome::Failed(format!("cannot send to {to}: {error}").into()), 0)
            }
        }
    }

    /// RFC 2131 section 4.1; a machine without an address is reached by broadcast.
    fn destination(
        &self,
        door: Door,
        ask: &Ask,
        reply: &Message,
        from: SocketAddrV4,
    ) -> SocketAddrV4 {
        let Ports { client, relay, broadcast } = self.settings.ports;
        let (relayed, own) = (ask.message.giaddr(), reply.ciaddr());
        if !relayed.is_unspecified() {
            SocketAddrV4::new(relayed, relay)
        } else if door == Door::Boot && !from.ip().is_unspecified() {
            from
        } else if own.is_unspecified() {
            SocketAddrV4::new(broadcast, client)
        } else {
            SocketAddrV4::new(own, client)
        }
    }

    fn report(&self, ask: &Ask, ip: Option<IpAddr>, outcome: Outcome, bytes: u64, began: Instant) {
        let client = Client { ip, mac: Some(ask.mac) };
        tracing::debug!(%client, %ask, ?outcome, "DHCP");
        let stage = Stage::Ended { outcome, bytes, took: began.elapsed() };
        let (what, at) = (ask.to_string().into(), SystemTime::now());
        self.watcher.seen(&Event { server: Server::Dhcp, client, what, at, stage });
    }
}

/// What a reply says, in a line.
fn summary(reply: &Message) -> String {
    let kind = reply.opts().msg_type().map(|kind| format!("{kind:?}").to_uppercase());
    let mut text = kind.unwrap_or_default();
    if !reply.yiaddr().is_unspecified() {
        text = format!("{text} {}", reply.yiaddr());
    }
    if let Some(DhcpOption::BootfileName(file)) = reply.opts().get(OptionCode::BootfileName) {
        text = format!("{text}, boot file {}", String::from_utf8_lossy(file));
    }
    text
}
