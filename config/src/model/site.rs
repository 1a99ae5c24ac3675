//! What all files together say: the site, its clusters, its machines.

use super::cluster::ClusterFile;
use super::clusters::{Bmc, Firmware, Platform, Sim};
use super::remoteops::{Command, Level, RemoteAction, RemoteOps};
use super::server::Server;
use crate::read::Value;
use std::{net::Ipv4Addr, path::PathBuf};

/// The whole configuration of the service.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The directory it was read from.
    pub dir: PathBuf,
    /// What the `version` file says.
    pub version: String,
    /// `server.conf`.
    pub server: Server,
    /// The clusters, in the order of `clusters.conf`.
    pub clusters: Vec<Cluster>,
}

impl Config {
    /// A cluster by name.
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name == name)
    }

    /// All nodes, with their clusters, in the order of the files.
    pub fn nodes(&self) -> impl Iterator<Item = (&Cluster, &Node)> {
        self.clusters.iter().flat_map(|c| c.nodes.iter().map(move |node| (c, node)))
    }

    /// The keys that are another in `then`, and whose change needs a restart of the service, each
    /// as `file: path`.
    pub fn fixed_changes(&self, then: &Self) -> Vec<String> {
        let mut server = Vec::new();
        self.server.fixed(&then.server, "", false, &mut server);
        let server = server.into_iter().map(|path| format!("server.conf: {path}"));
        let clusters = self.clusters.iter().filter_map(|now| {
            let then = then.cluster(&now.name)?;
            let made_up = now.platform == Platform::Sim && now.nodes != then.nodes;
            let key = match () {
                () if now.platform != then.platform => "platform",
                () if now.sim != then.sim => "sim",
                // Machines that are simulated are made when the service starts.
                () if made_up => "nodes",
                () => return None,
            };
            Some(format!("clusters.conf: {key} of the cluster {}", now.name))
        });
        server.chain(clusters).collect()
    }

    /// A node by its full name, with its cluster.
    pub fn node(&self, name: &str) -> Option<(&Cluster, &Node)> {
        self.nodes().find(|(_, node)| node.name == name)
    }
}

/// A cluster and its machines.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// What its operations are called by where several clusters take part.
    pub prefix: Option<String>,
    /// Its file, absolute.
    pub conf_file: PathBuf,
    /// What its nodes are.
    pub platform: Platform,
    /// How its nodes behave, where they are simulated.
    pub sim: Sim,
    /// A node is back only when it proved that it rebooted.
    pub require_reboot_proof: bool,
    /// Its machines, ranges unfolded.
    pub nodes: Vec<Node>,
    /// What its file says.
    pub file: ClusterFile,
}

impl Cluster {
    /// The command for an action on a node of this cluster: the node's own, else the cluster's.
    pub fn command<'c>(
        &'c self,
        node: &'c Node,
        action: RemoteAction,
        level: Level,
    ) -> Option<&'c Command> {
        node.commands.command(action, level).or_else(|| self.file.remoteops.command(action, level))
    }
}

/// What the cluster's file says is reached as if it stood in the cluster: `cluster.boot`.
impl std::ops::Deref for Cluster {
    type Target = ClusterFile;

    fn deref(&self) -> &ClusterFile {
        &self.file
    }
}

/// A machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its full name.
    pub name: String,
    /// Where it answers.
    pub address: Ipv4Addr,
    /// MAC addresses of its boot interfaces, lower case with colons.
    pub macs: Vec<String>,
    /// Its firmware.
    pub firmware: Firmware,
    /// Its BMC, where one is configured.
    pub bmc: Option<Bmc>,
    /// The rack it stands in.
    pub rack: Option<String>,
    /// The switch it is connected to.
    pub switch: Option<String>,
    /// Its own commands, which beat those of the cluster (`command.conf`).
    pub commands: RemoteOps,
}

impl Node {
    /// The name up to the first dot.
    pub fn short(&self) -> &str {
        self.name.split('.').next().unwrap_or(&self.name)
    }
}
