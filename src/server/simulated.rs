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
use anyhow::Context;
use config::model::Platform;
use netboot::ProfileTable;
use std::{collections::BTreeMap, sync::Arc};

/// The machines of all simulated clusters.
#[derive(Default)]
pub(super) struct Simulated {
    /// The ways to them, by the name of the cluster.
    known: BTreeMap<String, Ports>,
    /// Those whose boot servers do not answer yet.
    waiting: Vec<Waiting>,
}

/// Machines that get no answer of their boot servers, and what the answers will be.
struct Waiting {
    world: Arc<World>,
    profiles: Arc<Profiles>,
    table: Arc<ProfileTable>,
}

impl Simulated {
    /// The ports of all clusters; `real` makes those of the clusters that are not simulated, if
    /// there are any. The machines of a cluster that is new begin now, or go on; those of one that
    /// is gone end with the operations that still use them.
    pub(super) fn ports(
        &mut self,
        site: &Full,
        hub: &Arc<PresenceHub>,
        real: impl FnOnce() -> anyhow::Result<Ports>,
    ) -> anyhow::Result<Ports> {
        // Of a configuration that was refused.
        self.waiting.clear();
        let wanted = || site.config.clusters.iter().filter(|one| one.platform == Platform::Sim);
        let mut simulated = BTreeMap::new();
        for cluster in wanted() {
            let ports = match self.known.get(&cluster.name) {
                Some(known) => known.clone(),
                None => self.begin(site, cluster, hub)?,
            };
            simulated.insert(cluster.name.clone(), ports);
        }
        let all = simulated.len() == site.config.clusters.len();
        let other = match simulated.values().next() {
            Some(first) if all => first.clone(),
            _ => real()?,
        };
        self.known.clone_from(&simulated);
        if simulated.is_empty() {
            return Ok(other);
        }
        Ok(by_cluster(simulated, other, site.inventory.all(), Arc::clone(hub)))
    }

    /// The machines of `cluster` begin, or are as they were when the service was there last.
    fn begin(
        &mut self,
        site: &Full,
        cluster: &config::Cluster,
        hub: &Arc<PresenceHub>,
    ) -> anyhow::Result<Ports> {
        let nodes = nodes(site, &cluster.name);
        let kind = Kind::of(&site.config, cluster, &site.deploy_key);
        let world = if cluster.sim.kept {
            let directory = site.config.server.state_dir.join("simulated");
            World::kept(kind, &nodes, &directory).with_context(|| {
                format!("cannot keep simulated machines in {}", directory.display())
            })?
        } else {
            World::new(kind, &nodes)
        };
        // A table of their own: their profiles are never written where real machines look.
        let table = Arc::new(ProfileTable::default());
        let profiles = Arc::new(Profiles::new(&site.config, Shelf::Table(Arc::clone(&table))));
        profiles.reset(&nodes)?;
        tracing::info!(cluster = cluster.name, "its machines are simulated");
        let ports = world.connect(&profiles, hub);
        self.waiting.push(Waiting { world, profiles, table });
        Ok(ports)
    }

    /// From now on the boot servers of all machines answer.
    pub(super) fn answer(&mut self) {
        for Waiting { world, profiles, table } in self.waiting.drain(..) {
            world.answer(&profiles, &table);
        }
    }
}

fn nodes(site: &Full, cluster: &str) -> Vec<Arc<Node>> {
    let nodes = site.inventory.all().iter();
    nodes.filter(|node| node.cluster == cluster).cloned().collect()
}
