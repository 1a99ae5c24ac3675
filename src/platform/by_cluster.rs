//! Ports of several platforms as one: each node is reached through those of its cluster.

use super::{
    BootChoice, BootProfiles, Command, Console, Level, Listener, Output, Ports, Power, PowerAction,
    PowerError, PowerState, Presence, ProfileError, Progress, Reach, Shell, ShellError, Sighting,
    Transfer, TransferError, TransferJob, Variables, real::presence::PresenceHub,
};
use crate::nodes::Node;
use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::sync::broadcast;

/// The ports of every cluster.
struct ByCluster {
    clusters: BTreeMap<String, Ports>,
    /// Of a node whose cluster is not among them, which cannot be.
    other: Ports,
    by_address: HashMap<IpAddr, Ports>,
    /// Where all platforms report what they see.
    hub: Arc<PresenceHub>,
}

/// The ports of `clusters`, by name, as one; those of `other` serve the clusters not named.
pub fn by_cluster(
    clusters: BTreeMap<String, Ports>,
    other: Ports,
    nodes: &[Arc<Node>],
    hub: Arc<PresenceHub>,
) -> Ports {
    let ports = |node: &Arc<Node>| clusters.get(&node.cluster).unwrap_or(&other).clone();
    let by_address = nodes.iter().map(|node| (IpAddr::V4(node.address), ports(node))).collect();
    let all = Arc::new(ByCluster { clusters, other, by_address, hub });
    Ports {
        power: all.clone(),
        shell: all.clone(),
        transfer: all.clone(),
        presence: all.clone(),
        console: all.clone(),
        server: Arc::clone(&all.other.server),
        profiles: all,
    }
}

impl ByCluster {
    fn of(&self, node: &Node) -> &Ports {
        self.clusters.get(&node.cluster).unwrap_or(&self.other)
    }

    /// The nodes by cluster: an operation may concern several.
    fn sorted<'n>(
        &self,
        nodes: &'n [Arc<Node>],
    ) -> impl Iterator<Item = (&Ports, Vec<Arc<Node>>)> + use<'_, 'n> {
        let mut groups: BTreeMap<&str, Vec<Arc<Node>>> = BTreeMap::new();
        for node in nodes {
            groups.entry(&node.cluster).or_default().push(Arc::clone(node));
        }
        groups
            .into_iter()
            .map(|(cluster, nodes)| (self.clusters.get(cluster).unwrap_or(&self.other), nodes))
    }
}

#[async_trait::async_trait]
impl Console for ByCluster {
    async fn listen(&self, node: &Node) -> std::io::Result<Option<Box<dyn Listener>>> {
        self.of(node).console.listen(node).await
    }
}

#[async_trait::async_trait]
impl Power for ByCluster {
    async fn status(&self, node: &Node, deadline: Duration) -> Result<PowerState, PowerError> {
        self.of(node).power.status(node, deadline).await
    }

    async fn status_text(&self, node: &Node, deadline: Duration) -> Result<String, PowerError> {
        self.of(node).power.status_text(node, deadline).await
    }

    async fn act(
        &self,
        node: &Node,
        action: PowerAction,
        level: Level,
        deadline: Duration,
    ) -> Result<(), PowerError> {
        self.of(node).power.act(node, action, level, deadline).await
    }

    fn group(&self, node: &Node, action: PowerAction, level: Level) -> Option<Vec<String>> {
        self.of(node).power.group(node, action, level)
    }

    async fn act_on_group(
        &self,
        nodes: &[Arc<Node>],
        action: PowerAction,
        level: Level,
        deadline: Duration,
    ) -> Result<(), PowerError> {
        let ports = nodes.first().map_or(&self.other, |node| self.of(node));
        ports.power.act_on_group(nodes, action, level, deadline).await
    }
}

#[async_trait::async_trait]
impl Shell for ByCluster {
    async fn run(&self, node: &Node, command: &Command) -> Result<Output, ShellError> {
        self.of(node).shell.run(node, command).await
    }

    async fn forget(&self, node: &Node) {
        self.of(node).shell.forget(node).await;
    }
}

#[async_trait::async_trait]
impl Transfer for ByCluster {
    /// The nodes of a job are of one cluster: a pipeline has one platform.
    async fn broadcast(
        &self,
        job: &TransferJob,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> BTreeMap<String, Result<(), TransferError>> {
        let ports = job.receivers.first().map_or(&self.other, |one| self.of(&one.node));
        ports.transfer.broadcast(job, progress).await
    }

    async fn under_way(&self, node: &Node, name: &str, limit: Duration) -> bool {
        self.of(node).transfer.under_way(node, name, limit).await
    }
}

#[async_trait::async_trait]
impl Presence for ByCluster {
    async fn probe(&self, address: SocketAddr, within: Duration) -> Reach {
        let ports = self.by_address.get(&address.ip()).unwrap_or(&self.other);
        ports.presence.probe(address, within).await
    }

    fn sightings(&self) -> broadcast::Receiver<Sighting> {
        self.hub.sightings()
    }

    fn last_seen(&self, node: &Node) -> Option<Sighting> {
        self.of(node).presence.last_seen(node)
    }
}

#[async_trait::async_trait]
impl BootProfiles for ByCluster {
    async fn write(
        &self,
        nodes: &[Arc<Node>],
        choice: &BootChoice,
        variables: &Variables,
    ) -> Result<(), ProfileError> {
        for (ports, nodes) in self.sorted(nodes) {
            ports.profiles.write(&nodes, choice, variables).await?;
        }
        Ok(())
    }

    async fn clear(&self, nodes: &[Arc<Node>]) -> Result<(), ProfileError> {
        for (ports, nodes) in self.sorted(nodes) {
            ports.profiles.clear(&nodes).await?;
        }
        Ok(())
    }
}
