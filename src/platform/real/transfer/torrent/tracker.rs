//! A tracker (BEP 3, BEP 23) for one broadcast: it tells peers of one another, and us how far each
//! of them is.
//!
//! Each peer announces itself at an address of its own, which nobody else is told. So it is known
//! who speaks, and strangers are not listened to.

use percent_encoding::percent_decode_str;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use warp::{
    Filter,
    http::{Response, StatusCode},
    path::FullPath,
};

/// The first port that is tried, as trackers usually have it, ...
const FIRST_PORT: u16 = 6969;
/// ... and how many after it: one for each broadcast that runs at once.
const PORTS: u16 = 100;
/// How often peers are to announce themselves.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// Most peers that one is told of.
const PEERS: usize = 50;

/// What a peer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct News {
    /// Which.
    pub(super) peer: usize,
    /// Bytes that it lacks.
    pub(super) left: u64,
    /// It leaves.
    pub(super) stopped: bool,
}

/// A tracker that listens; it ends when it is dropped.
pub(super) struct Tracker {
    base: String,
    secret: String,
    /// What peers tell.
    pub(super) news: mpsc::UnboundedReceiver<News>,
    _server: JoinSet<()>,
}

struct Swarm {
    secret: String,
    hash: [u8; 20],
    peers: Mutex<HashMap<usize, SocketAddrV4>>,
    news: mpsc::UnboundedSender<News>,
}

impl Tracker {
    /// Listens on a free port at `address` for peers of the swarm `hash`.
    ///
    /// # Errors
    /// No port is free there, or the address is not ours.
    pub(super) async fn start(address: Ipv4Addr, hash: [u8; 20]) -> std::io::Result<Self> {
        let (sender, news) = mpsc::unbounded_channel();
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let listener = listen(address).await?;
        let base = format!("http://{}", listener.local_addr()?);
        let peers = Mutex::default();
        let swarm = Arc::new(Swarm { secret: secret.clone(), hash, peers, news: sender });
        let route = warp::path::full().and(warp::query::raw()).and(warp::addr::remote()).map(
            move |path: FullPath, query: String, from: Option<SocketAddr>| {
                let reply = from.and_then(|from| swarm.announce(path.as_str(), &query, from));
                let status = if reply.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
                let mut response = Response::new(reply.unwrap_or_default());
                *response.status_mut() = status;
                response
            },
        );
        let mut server = JoinSet::new();
        server.spawn(warp::serve(route).incoming(listener).run());
        Ok(Self { base, secret, news, _server: server })
    }

    /// Where the peer of that number announces itself.
    pub(super) fn announce(&self, peer: usize) -> String {
        format!("{}/{}/{peer}/announce", self.base, self.secret)
    }
}

async fn listen(address: Ipv4Addr) -> std::io::Result<TcpListener> {
    let mut refused = None;
    for port in FIRST_PORT..FIRST_PORT + PORTS {
        match TcpListener::bind((address, port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()))
}

impl Swarm {
    /// What a peer is answered; nothing if it is none of ours.
    fn announce(&self, path: &str, query: &str, from: SocketAddr) -> Option<Vec<u8>> {
        let mut parts = path.strip_prefix('/')?.split('/');
        if parts.next()? != self.secret {
            return None;
        }
        let peer: usize = parts.next()?.parse().ok()?;
        let words: HashMap<&str, &str> =
            query.split('&').filter_map(|word| word.split_once('=')).collect();
        let hash: Vec<u8> = percent_decode_str(words.get("info_hash")?).collect();
        if hash != self.hash {
            return None;
        }
        let IpAddr::V4(address) = from.ip() else { return None };
        let (port, left) = (words.get("port")?.parse().ok()?, words.get("left")?.parse().ok()?);
        let stopped = words.get("event") == Some(&"stopped");
        // Nobody listens any more where the broadcast is over.
        self.news.send(News { peer, left, stopped }).ok();
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if stopped {
            peers.remove(&peer);
        } else {
            peers.insert(peer, SocketAddrV4::new(address, port));
        }
        Some(reply(peers.iter().filter(|(other, _)| **other != peer).map(|(_, at)| *at)))
    }
}

/// The peers, six bytes each.
fn reply(peers: impl Iterator<Item = SocketAddrV4>) -> Vec<u8> {
    let each = |at: SocketAddrV4| [&at.ip().octets()[..], &at.port().to_be_bytes()].concat();
    let peers: Vec<u8> = peers.take(PEERS).flat_map(each).collect();
    let seconds = INTERVAL.as_secs();
    let head = format!("d8:intervali{seconds}e12:min intervali{seconds}e5:peers{}:", peers.len());
    [head.as_bytes(), &peers, b"e"].concat()
}
