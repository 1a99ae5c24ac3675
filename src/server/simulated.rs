//! Clusters whose machines are simulated.

use super::site::Full;
use crate::{
    nodes::Node,
    platform::{
        Ports, by_cluster,
        real::presence::PresenceHub,
        rendered::{Profiles, Shelf},
        sim::{Kind, World},
    },
};
use config::model::Platform;
use netboot::ProfileTable;
use std::{collections::BTreeMap, sync::Arc};

/// The ways to the machines of each simulated cluster, by its name.
#[derive(Default)]
pub(super) struct Simulated(BTreeMap<String, Ports>);

impl Simulated {
    /// The ports of all clusters; `real` makes those of the clusters that are not simulated, if
    /// there are any. The machines of a cluster that is new begin now, those of one that is gone
    /// end with the operations that still use them.
    pub(super) fn ports(
        &mut self,
        site: &Full,
        hub: &Arc<PresenceHub>,
        real: impl FnOnce() -> anyhow::Result<Ports>,
    ) -> anyhow::Result<Ports> {
        let wanted = || site.config.clusters.iter().filter(|one| one.platform == Platform::Sim);
        let mut simulated = BTreeMap::new();
        for cluster in wanted() {
            let known = self.0.get(&cluster.name).cloned();
            let ports = known.map_or_else(|| begin(site, cluster, hub), Ok)?;
            simulated.insert(cluster.name.clone(), ports);
        }
        let all = simulated.len() == site.config.clusters.len();
        let other = match simulated.values().next() {
            Some(first) if all => first.clone(),
            _ => real()?,
        };
        self.0.clone_from(&simulated);
        if simulated.is_empty() {
            return Ok(other);
        }
        Ok(by_cluster(simulated, other, site.inventory.all(), Arc::clone(hub)))
    }
}

/// The machines of `cluster` begin.
fn begin(site: &Full, cluster: &config::Cluster, hub: &Arc<PresenceHub>) -> anyhow::Result<Ports> {
    let nodes = nodes(site, &cluster.name);
    let world = World::new(Kind::of(&site.config, cluster, &site.deploy_key), &nodes);
    // A table of their own: their profiles are never written where real machines look.
    let table = Arc::new(ProfileTable::default());
    let profiles = Arc::new(Profiles::new(&site.config, Shelf::Table(Arc::clone(&table))));
    profiles.reset(&nodes)?;
    tracing::info!(cluster = cluster.name, "its machines are simulated");
    Ok(world.plug(&profiles, &table, hub))
}

fn nodes(site: &Full, cluster: &str) -> Vec<Arc<Node>> {
    let nodes = site.inventory.all().iter();
    nodes.filter(|node| node.cluster == cluster).cloned().collect()
}
