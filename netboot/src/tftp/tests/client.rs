//! A client that follows the RFCs, and loses packets on purpose.

use crate::testing::PATIENCE;
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tftpd::{ErrorCode, OptionType, Packet, TransferOption};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout, timeout_at},
};

/// What to fetch, and how.
#[derive(Clone)]
pub(super) struct Fetch {
    /// Address of the client.
    pub(super) from: Ipv4Addr,
    pub(super) name: String,
    pub(super) mode: &'static str,
    pub(super) options: Vec<(OptionType, u64)>,
    /// One packet in this many is lost, in each direction; 0: none.
    pub(super) lose: u64,
    /// Each acknowledgement is sent this often.
    pub(super) acks: usize,
}

#[derive(Debug, Default)]
pub(super) struct Fetched {
    pub(super) content: Vec<u8>,
    pub(super) agreed: Vec<TransferOption>,
    pub(super) data_packets: usize,
}

/// Waits this long before it acknowledges again.
const AGAIN: Duration = Duration::from_millis(300);

pub(super) fn fetch(name: &str) -> Fetch {
    let (from, options) = (Ipv4Addr::LOCALHOST, Vec::new());
    Fetch { from, name: name.to_owned(), mode: "octet", options, lose: 0, acks: 1 }
}

impl Fetch {
    pub(super) fn with(mut self, option: OptionType, value: u64) -> Self {
        self.options.push((option, value));
        self
    }

    pub(super) fn request(&self) -> Vec<u8> {
        let asked = self.options.iter();
        let options = asked.map(|&(option, value)| TransferOption { option, value }).collect();
        let (filename, mode) = (self.name.clone(), self.mode.to_owned());
        Packet::Rrq { filename, mode, options }.serialize().unwrap()
    }

    pub(super) async fn run(&self, server: SocketAddr) -> Result<Fetched, (ErrorCode, String)> {
        let socket = UdpSocket::bind((self.from, 0)).await.unwrap();
        timeout(PATIENCE, self.run_on(&socket, server)).await.expect("the transfer ends")
    }

    /// Runs over `socket`, which may have been used before.
    pub(super) async fn run_on(
        &self,
        socket: &UdpSocket,
        server: SocketAddr,
    ) -> Result<Fetched, (ErrorCode, String)> {
        let mut link = Link::new(self, socket, server);
        let mut fetched = Fetched::default();
        let (mut block_size, mut window, mut expected, mut in_window) = (512, 1, 1_u16, 0);
        link.send(self.request()).await;
        link.acks = self.acks;
        loop {
            match link.receive().await {
                Packet::Oack(agreed) => {
                    let value =
                        |option| agreed.iter().find(|o| o.option == option).map(|o| o.value);
                    block_size = value(OptionType::BlockSize).unwrap_or(512);
                    window = value(OptionType::WindowSize).unwrap_or(1);
                    fetched.agreed = agreed;
                    link.acknowledge(0).await;
                }
                Packet::Data { block_num, data } if block_num == expected => {
                    fetched.data_packets += 1;
                    expected = expected.wrapping_add(1);
                    in_window += 1;
                    fetched.content.extend_from_slice(&data);
                    let last = (data.len() as u64) < block_size;
                    if last || in_window == window {
                        in_window = 0;
                        link.acknowledge(block_num).await;
                    }
                    if last {
                        return Ok(fetched);
                    }
                }
                Packet::Data { block_num, .. } => {
                    fetched.data_packets += 1;
                    // A gap, or the end of a window again: tell what was had so far.
                    let ahead = block_num.wrapping_sub(expected);
                    if ahead < 0x8000 || ahead == u16::MAX {
                        in_window = 0;
                        link.acknowledge(expected.wrapping_sub(1)).await;
                    }
                }
                Packet::Error { code, msg } => return Err((code, msg)),
                other => panic!("the server sent {other:?}"),
            }
        }
    }
}

struct Link<'a> {
    socket: &'a UdpSocket,
    peer: SocketAddr,
    /// The peer is the port of a transfer, no longer that of the server.
    established: bool,
    lose: u64,
    acks: usize,
    seed: u64,
    last: Vec<u8>,
}

impl<'a> Link<'a> {
    fn new(asked: &Fetch, socket: &'a UdpSocket, peer: SocketAddr) -> Self {
        let (lose, last) = (asked.lose, asked.request());
        Self { socket, peer, established: false, lose, acks: 1, seed: 12345, last }
    }

    fn lost(&mut self) -> bool {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.lose != 0 && (self.seed >> 33).is_multiple_of(self.lose)
    }

    async fn send(&mut self, packet: Vec<u8>) {
        for _ in 0..self.acks {
            if !self.lost() {
                self.socket.send_to(&packet, self.peer).await.unwrap();
            }
        }
        self.last = packet;
    }

    async fn acknowledge(&mut self, block: u16) {
        self.send(Packet::Ack(block).serialize().unwrap()).await;
    }

    async fn receive(&mut self) -> Packet {
        let mut buffer = vec![0; 65536];
        let mut again = Instant::now() + AGAIN;
        loop {
            let received = timeout_at(again, self.socket.recv_from(&mut buffer)).await;
            if let Ok(received) = received {
                let (len, from) = received.unwrap();
                if self.established && from != self.peer {
                    // A second transfer, for a request that arrived twice.
                    let (code, msg) = (ErrorCode::UnknownId, "one is enough".to_owned());
                    let unwanted = Packet::Error { code, msg }.serialize().unwrap();
                    self.socket.send_to(&unwanted, from).await.unwrap();
                } else if !self.lost() {
                    (self.peer, self.established) = (from, true);
                    return Packet::deserialize(&buffer[..len]).unwrap();
                }
            } else {
                again = Instant::now() + AGAIN;
                let last = self.last.clone();
                self.send(last).await;
            }
        }
    }
}
