//! What carries a file to many nodes.

use serde::{Deserialize, Serialize};
use std::{net::Ipv4Addr, time::Duration};

/// What carries a file to many nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Carrier {
    /// The relay.
    #[default]
    Relay,
    /// The site's own command (`localops/broadcastenv/cmd`).
    Site(SiteCommand),
    /// Torrents (`external/bittorrent`).
    Torrent(Torrent),
}

/// The site's own command for a broadcast.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteCommand {
    /// Shell text; `ENVFILE`, `NODEFILE`, `DECOMPRESS` and `TAKTUK_CONNECTOR` are replaced.
    pub command: String,
    /// What `TAKTUK_CONNECTOR` stands for.
    pub connector: String,
    /// Nodes are named by their addresses.
    pub by_address: bool,
}

/// How torrents are used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Torrent {
    /// The server's address at which nodes reach its tracker.
    pub tracker: Ipv4Addr,
    /// Bound of the download.
    pub limit: Duration,
    /// Where nodes keep the file until it is unpacked.
    pub directory: String,
}
