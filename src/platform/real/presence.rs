//! The presence port: TCP probes, and what the boot servers report.

use crate::{
    nodes::Node,
    platform::{Presence, Reach, Sighting},
};
use std::{
    collections::HashMap,
    io::ErrorKind,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    sync::{Semaphore, broadcast},
    time::timeout,
};

/// Probes under way at once: each holds a file descriptor, of which a service often
/// has no more than 1024; this leaves half of them.
const PROBES: usize = 512;
/// Sightings that a slow reader may be behind before it loses the oldest: a cluster
/// of a thousand nodes makes four or so each when it boots.
const BACKLOG: usize = 4096;
/// Nodes whose last sighting is kept; well above any site. Beyond it the node that
/// was seen longest ago is dropped.
const LAST_SEEN: usize = 65_536;
/// Characters kept of [`Sighting::what`]: file names come from the network.
const WHAT: usize = 256;

/// [`Presence`] for machines of the real world. The boot servers report to
/// [`PresenceHub::saw`].
#[derive(Debug)]
pub struct PresenceHub {
    sightings: broadcast::Sender<Sighting>,
    last: Mutex<HashMap<String, Sighting>>,
    probes: Semaphore,
    capacity: usize,
}

impl Default for PresenceHub {
    fn default() -> Self {
        Self::with_capacity(LAST_SEEN)
    }
}

impl PresenceHub {
    fn with_capacity(capacity: usize) -> Self {
        Self {
            sightings: broadcast::Sender::new(BACKLOG),
            last: Mutex::default(),
            probes: Semaphore::new(PROBES),
            capacity,
        }
    }

    /// Takes note of a sighting and tells whoever listens. Never blocks.
    pub fn saw(&self, mut sighting: Sighting) {
        if let Some((end, _)) = sighting.what.char_indices().nth(WHAT) {
            sighting.what.truncate(end);
        }
        let mut last = self.last();
        if last.len() >= self.capacity && !last.contains_key(&sighting.node) {
            let oldest = last.values().min_by_key(|seen| seen.at).map(|seen| seen.node.clone());
            last.remove(&oldest.unwrap_or_default());
        }
        last.insert(sighting.node.clone(), sighting.clone());
        drop(last);
        // Nobody listening is not an error.
        let _ = self.sightings.send(sighting);
    }

    fn last(&self) -> MutexGuard<'_, HashMap<String, Sighting>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl Presence for PresenceHub {
    /// `within` starts when one of the [`PROBES`] places is free; as every probe
    /// ends within its own time, so does the wait for a place.
    async fn probe(&self, address: SocketAddr, within: Duration) -> Reach {
        let _place = self.probes.acquire().await;
        match timeout(within, TcpStream::connect(address)).await {
            Ok(Ok(_)) => Reach::Open,
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Reach::Refused,
            Ok(Err(error)) => {
                tracing::debug!(%address, %error, "no answer to a probe");
                Reach::Silent
            }
            Err(_) => Reach::Silent,
        }
    }

    fn sightings(&self) -> broadcast::Receiver<Sighting> {
        self.sightings.subscribe()
    }

    fn last_seen(&self, node: &Node) -> Option<Sighting> {
        self.last().get(&node.name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{Witness, real::ssh::sshd::node};
    use tokio::{
        net::{TcpListener, TcpSocket},
        time::Instant,
    };

    const LONG: Duration = Duration::from_secs(60);

    fn sighting(node: &str, what: &str, second: u64) -> Sighting {
        let at = Instant::now() + Duration::from_secs(second);
        Sighting { node: node.into(), witness: Witness::Tftp, what: what.into(), at }
    }

    #[tokio::test]
    async fn a_port_is_open_refused_or_silent() {
        let hub = PresenceHub::default();
        let open = TcpListener::bind("127.0.0.9:0").await.expect("a listener");
        let address = open.local_addr().expect("its address");
        assert_eq!(hub.probe(address, LONG).await, Reach::Open);
        drop(open);
        assert_eq!(hub.probe(address, LONG).await, Reach::Refused);

        // A listener whose backlog is full: Linux drops further connections unanswered.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.9:0".parse().expect("an address")).expect("bound");
        let full = socket.listen(1).expect("a listener");
        let address = full.local_addr().expect("its address");
        let mut held = Vec::new();
        while let Ok(stream) =
            timeout(Duration::from_millis(500), TcpStream::connect(address)).await
        {
            held.push(stream.expect("a place in the backlog"));
        }
        assert_eq!(hub.probe(address, Duration::from_millis(300)).await, Reach::Silent);
    }

    #[tokio::test]
    async fn a_thousand_probes_at_once_all_end() {
        let hub = PresenceHub::default();
        let open = TcpListener::bind("127.0.0.9:0").await.expect("a listener");
        let address = open.local_addr().expect("its address");
        drop(open);
        let probes = (0..1000).map(|_| hub.probe(address, LONG));
        let reached = futures_util::future::join_all(probes).await;
        assert!(reached.iter().all(|reach| *reach == Reach::Refused));
    }

    #[tokio::test]
    async fn what_was_seen_is_told_and_remembered() {
        let hub = PresenceHub::default();
        let mut heard = hub.sightings();
        hub.saw(sighting("n1", "pxelinux.0", 1));
        hub.saw(sighting("n1", &"é".repeat(1000), 2));
        assert_eq!(heard.recv().await.expect("the first").what, "pxelinux.0");
        assert_eq!(heard.recv().await.expect("the second").what, "é".repeat(WHAT));
        let last = hub.last_seen(&node("n1", [127, 0, 0, 1])).expect("seen");
        assert_eq!(last.what, "é".repeat(WHAT));
        assert!(hub.last_seen(&node("n2", [127, 0, 0, 1])).is_none());
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_latest() {
        let hub = PresenceHub::with_capacity(3);
        for (second, name) in ["a", "b", "c", "a", "d"].into_iter().enumerate() {
            hub.saw(sighting(name, "x", second as u64));
        }
        let kept = |name| hub.last_seen(&node(name, [127, 0, 0, 1])).is_some();
        assert_eq!(["a", "b", "c", "d"].map(kept), [true, false, true, true]);
    }
}
