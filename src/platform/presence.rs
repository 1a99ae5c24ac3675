//! The presence port: what is seen of a node from outside.

use crate::nodes::Node;
use std::{net::SocketAddr, time::Duration};
use tokio::{sync::broadcast, time::Instant};

/// How a TCP port answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A connection was made.
    Open,
    /// The machine is there and refused.
    Refused,
    /// Nothing answered in time.
    Silent,
}

/// Who saw a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// The DHCP server.
    Dhcp,
    /// The TFTP server.
    Tftp,
    /// The HTTP server for boot files.
    Http,
}

/// A node asked one of the boot servers for something.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Name of the node.
    pub node: String,
    /// Which server it asked.
    pub witness: Witness,
    /// What for.
    pub what: String,
    /// When: monotonic, because it is compared with the time of an order.
    pub at: Instant,
}

/// Sees nodes from outside.
#[async_trait::async_trait]
pub trait Presence: Send + Sync + 'static {
    /// Tries a TCP port for at most `within`.
    async fn probe(&self, address: SocketAddr, within: Duration) -> Reach;

    /// What the boot servers see from now on.
    fn sightings(&self) -> broadcast::Receiver<Sighting>;

    /// The last sighting of `node`, if there was one since the service started.
    fn last_seen(&self, node: &Node) -> Option<Sighting>;
}
