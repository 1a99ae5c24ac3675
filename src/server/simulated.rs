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

/// The simulated clusters by name, with their machines.
pub(super) type Worlds = BTreeMap<String, Arc<World>>;

/// A world for each cluster that is simulated. It begins now.
pub(super) fn worlds(site: &Full) -> Worlds {
    let simulated = site.config.clusters.iter().filter(|one| one.platform == Platform::Sim);
    let world = |cluster: &config::Cluster| {
        let kind = Kind::of(&site.config, cluster, &site.deploy_key);
        (cluster.name.clone(), World::new(kind, &nodes(site, &cluster.name)))
    };
    simulated.map(world).collect()
}

/// The ports of all clusters; `real` makes those of the clusters that are not simulated, if
/// there are any.
pub(super) fn ports(
    site: &Full,
    worlds: &Worlds,
    hub: &Arc<PresenceHub>,
    real: impl FnOnce() -> anyhow::Result<Ports>,
) -> anyhow::Result<Ports> {
    // A table of their own: their profiles are never written where real machines look.
    let table = Arc::new(ProfileTable::default());
    let profiles = Arc::new(Profiles::new(&site.config, Shelf::Table(Arc::clone(&table))));
    let mut simulated = BTreeMap::new();
    for (cluster, world) in worlds {
        profiles.reset(&nodes(site, cluster))?;
        simulated.insert(cluster.clone(), world.plug(&profiles, &table, hub));
        tracing::info!(cluster, "its machines are simulated");
    }
    let all = simulated.len() == site.config.clusters.len();
    let other = match simulated.values().next() {
        Some(first) if all => first.clone(),
        _ => real()?,
    };
    if simulated.is_empty() {
        return Ok(other);
    }
    Ok(by_cluster(simulated, other, site.inventory.all(), Arc::clone(hub)))
}

fn nodes(site: &Full, cluster: &str) -> Vec<Arc<Node>> {
    let nodes = site.inventory.all().iter();
    nodes.filter(|node| node.cluster == cluster).cloned().collect()
}
