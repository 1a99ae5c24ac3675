//! A bad network between a client and the server: it loses packets, in both directions, sends some
//! twice, and some late.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{net::UdpSocket, task::JoinSet};

pub(super) struct Network {
    /// Where the client finds the server.
    pub(super) address: SocketAddr,
    harm: Arc<AtomicU64>,
    _task: JoinSet<()>,
}

impl Network {
    /// How many packets it has lost, doubled or held back.
    pub(super) fn harm(&self) -> u64 {
        self.harm.load(Ordering::Relaxed)
    }
}

/// A network for one transfer from `server`; `seed` chooses what happens to which packet.
pub(super) async fn start(server: SocketAddr, seed: u64) -> Network {
    let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (address, harm) = (front.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
    let mut task = JoinSet::new();
    task.spawn(relay(front, back, server, Fate { state: seed, harm: Arc::clone(&harm) }));
    Network { address, harm, _task: task }
}

async fn relay(front: UdpSocket, back: UdpSocket, mut server: SocketAddr, mut fate: Fate) {
    let (mut from_client, mut from_server) = (vec![0; 65536], vec![0; 65536]);
    let (mut client, mut late): (Option<SocketAddr>, Option<Vec<u8>>) = (None, None);
    loop {
        tokio::select! {
            received = front.recv_from(&mut from_client) => {
                let (len, from) = received.unwrap();
                client = Some(from);
                for _ in 0..fate.copies() {
                    back.send_to(&from_client[..len], server).await.unwrap();
                }
            }
            received = back.recv_from(&mut from_server) => {
                let (len, from) = received.unwrap();
                // The port of the transfer.
                server = from;
                let Some(client) = client else { continue };
                if late.is_none() && fate.late() {
                    late = Some(from_server[..len].to_vec());
                    continue;
                }
                for _ in 0..fate.copies() {
                    front.send_to(&from_server[..len], client).await.unwrap();
                }
                if let Some(late) = late.take() {
                    front.send_to(&late, client).await.unwrap();
                }
            }
        }
    }
}

struct Fate {
    state: u64,
    harm: Arc<AtomicU64>,
}

impl Fate {
    /// One time in that many.
    fn one_in(&mut self, count: u64) -> bool {
        let next = self.state.wrapping_mul(6_364_136_223_846_793_005);
        self.state = next.wrapping_add(1_442_695_040_888_963_407);
        let so = (self.state >> 33).is_multiple_of(count);
        self.harm.fetch_add(so.into(), Ordering::Relaxed);
        so
    }

    fn copies(&mut self) -> usize {
        if self.one_in(25) {
            0
        } else if self.one_in(40) {
            2
        } else {
            1
        }
    }

    fn late(&mut self) -> bool {
        self.one_in(50)
    }
}
