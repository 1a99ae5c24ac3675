//! The server over real sockets.

use super::{ADDRESS, MAC, SERVER, boot_file, host, message, pxe, settings};
use crate::{
    Event, Firmware, Outcome, Server, Stage,
    dhcp::{Hosts, Mode, Ports, Settings, bind, serve},
    testing::PATIENCE,
};
use dhcproto::{
    Decodable, Decoder, Encodable,
    v4::{DhcpOption, Message, MessageType, OptionCode, relay},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::{net::UdpSocket, sync::broadcast, task::JoinSet, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

struct Running {
    server: SocketAddr,
    boot: SocketAddr,
    client: UdpSocket,
    relay: UdpSocket,
    events: broadcast::Receiver<Event>,
    tasks: JoinSet<()>,
    stop: DropGuard,
}

async fn start(mode: Mode) -> Running {
    let bound = || UdpSocket::bind("127.0.0.1:0");
    let (client, relay) = (bound().await.unwrap(), bound().await.unwrap());
    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
    let ports =
        Ports { client: port(&client), relay: port(&relay), broadcast: Ipv4Addr::LOCALHOST };
    let (dhcp, boot) = (bind(Some("lo"), 0).unwrap(), bind(Some("lo"), 0).unwrap());
    let local = |socket: &UdpSocket| SocketAddr::from((Ipv4Addr::LOCALHOST, port(socket)));
    let (server, boot_address) = (local(&dhcp), local(&boot));
    let (watcher, events) = broadcast::channel(4096);
    let stop = CancellationToken::new();
    let hosts = Arc::new(Hosts::new([host(Firmware::Bios)]));
    let settings = Settings { ports, ..settings(mode) };
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(dhcp, Some(boot), settings, hosts, Arc::new(watcher), stop.clone()));
    Running { server, boot: boot_address, client, relay, events, tasks, stop: stop.drop_guard() }
}

impl Running {
    async fn send(&self, message: &Message, to: SocketAddr) {
        self.client.send_to(&message.to_vec().unwrap(), to).await.unwrap();
    }

    async fn outcome(&mut self) -> (Event, Outcome) {
        let event = timeout(PATIENCE, self.events.recv()).await.expect("an event").unwrap();
        let Stage::Ended { outcome, .. } = event.stage.clone() else { panic!("{event:?}") };
        (event, outcome)
    }
}

async fn receive(socket: &UdpSocket) -> (Message, usize) {
    let mut buffer = [0; 2048];
    let received = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.expect("a packet");
    let len = received.unwrap().0;
    (Message::decode(&mut Decoder::new(&buffer[..len])).unwrap(), len)
}

#[tokio::test]
async fn a_machine_gets_its_address_over_the_wire() {
    let mut running = start(Mode::Full).await;
    running.send(&message(MessageType::Discover, pxe(0)), running.server).await;
    let (offer, len) = receive(&running.client).await;
    assert_eq!((offer.yiaddr(), offer.opts().msg_type()), (ADDRESS, Some(MessageType::Offer)));
    assert!(len >= 300, "{len}");
    let wants = [DhcpOption::RequestedIpAddress(ADDRESS), DhcpOption::ServerIdentifier(SERVER)];
    running.send(&message(MessageType::Request, wants), running.server).await;
    let (ack, _) = receive(&running.client).await;
    assert_eq!((ack.yiaddr(), ack.opts().msg_type()), (ADDRESS, Some(MessageType::Ack)));

    let (event, outcome) = running.outcome().await;
    assert_eq!((event.server, event.client.mac), (Server::Dhcp, Some(MAC)));
    assert_eq!(&*event.what, "DISCOVER from PXE firmware, architecture 0");
    assert_eq!(outcome, Outcome::Sent("OFFER 10.0.0.12, boot file undionly.kpxe".into()));
    assert_eq!(running.outcome().await.1, Outcome::Sent("ACK 10.0.0.12".into()));
}

#[tokio::test]
async fn a_relay_is_answered_at_its_own_address() {
    let running = start(Mode::Full).await;
    let mut info = relay::RelayAgentInformation::default();
    info.insert(relay::RelayInfo::AgentCircuitId(b"port 3".to_vec()));
    let info = DhcpOption::RelayAgentInformation(info);
    let mut asked = message(MessageType::Discover, [info.clone()]);
    asked.set_giaddr(Ipv4Addr::LOCALHOST);
    running.send(&asked, running.server).await;
    let (offer, _) = receive(&running.relay).await;
    assert_eq!((offer.giaddr(), offer.yiaddr()), (Ipv4Addr::LOCALHOST, ADDRESS));
    assert_eq!(offer.opts().get(OptionCode::RelayAgentInformation), Some(&info));
}

#[tokio::test]
async fn the_boot_port_answers_the_port_that_asked() {
    let mut running = start(Mode::Proxy).await;
    running.client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    running.send(&message(MessageType::Request, pxe(7)), running.boot).await;
    let (ack, _) = receive(&running.client).await;
    assert_eq!(boot_file(&ack).as_deref(), Some("snponly.efi"));
}

#[tokio::test]
async fn strangers_are_ignored_and_reported_once() {
    let mut running = start(Mode::Full).await;
    let mut stranger = message(MessageType::Discover, pxe(0));
    stranger.set_chaddr(&[2, 0, 0, 0, 0, 9]);
    for _ in 0..3 {
        running.send(&stranger, running.server).await;
    }
    running.send(&message(MessageType::Discover, []), running.server).await;
    assert_eq!(running.outcome().await.1, Outcome::Stranger);
    assert_eq!(running.outcome().await.1, Outcome::Sent("OFFER 10.0.0.12".into()));
    assert_eq!(receive(&running.client).await.0.yiaddr(), ADDRESS);
}

#[tokio::test]
async fn off_returns_and_stop_stops() {
    let mut off = start(Mode::Off).await;
    timeout(PATIENCE, off.tasks.join_next()).await.expect("it returns").unwrap().unwrap();
    let Running { mut tasks, stop, .. } = start(Mode::Full).await;
    drop(stop);
    timeout(PATIENCE, tasks.join_next()).await.expect("it returns").unwrap().unwrap();
}

#[tokio::test]
async fn noise_leaves_the_server_standing() {
    let running = start(Mode::Full).await;
    let good = message(MessageType::Discover, pxe(0)).to_vec().unwrap();
    let noise = crate::testing::content(4096);
    for seed in 0..500 {
        let mut packet = good.clone();
        let at = noise[seed] as usize * 7 % packet.len();
        packet[at] = noise[seed + 1];
        packet[2] = noise[seed + 2];
        packet.truncate(noise[seed + 3] as usize * 2);
        running.client.send_to(&packet, running.server).await.unwrap();
    }
    running.send(&message(MessageType::Discover, []), running.server).await;
    loop {
        let (offer, _) = receive(&running.client).await;
        if boot_file(&offer).is_none() {
            assert_eq!(offer.yiaddr(), ADDRESS);
            break;
        }
    }
}
