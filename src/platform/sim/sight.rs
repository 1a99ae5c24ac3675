//! The presence and the profile port.

use super::{World, world::Touch};
use crate::{
    nodes::Node,
    platform::{
        BootChoice, BootProfiles, Presence, ProfileError, Reach, Sighting, Variables,
        real::presence::PresenceHub, rendered::Profiles,
    },
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::broadcast, time::sleep};

/// [`Presence`] of simulated machines.
pub(super) struct SimPresence {
    world: Arc<World>,
    hub: Arc<PresenceHub>,
}

impl SimPresence {
    pub(super) fn new(world: &Arc<World>, hub: &Arc<PresenceHub>) -> Self {
        Self { world: Arc::clone(world), hub: Arc::clone(hub) }
    }

    fn reach(&self, address: SocketAddr) -> Reach {
        let kind = self.world.kind();
        let marker = address.port() == kind.marker_port;
        let IpAddr::V4(ip) = address.ip() else { return Reach::Silent };
        let Some(node) = self.world.at(ip) else { return Reach::Silent };
        match self.world.touch(node, |touch| touch.machine.reach(marker)) {
            Some(Reach::Open) if !marker && address.port() != kind.ssh_port => Reach::Refused,
            Some(reach) => reach,
            None => Reach::Silent,
        }
    }
}

/// A liveness test under way.
struct Test<'a> {
    world: &'a World,
}

impl Drop for Test<'_> {
    fn drop(&mut self) {
        self.world.audit(super::Audit::probed);
    }
}

#[async_trait::async_trait]
impl Presence for SimPresence {
    async fn probe(&self, address: SocketAddr, within: Duration) -> Reach {
        self.world.audit(|audit| audit.probe(address));
        let _test = Test { world: &self.world };
        let reach = self.reach(address);
        if reach == Reach::Silent {
            sleep(within).await;
        }
        reach
    }

    fn sightings(&self) -> broadcast::Receiver<Sighting> {
        self.hub.sightings()
    }

    fn last_seen(&self, node: &Node) -> Option<Sighting> {
        // What it asked for until now is told to the hub first.
        self.world.touch(&node.name, |_| ())?;
        self.hub.last_seen(node)
    }
}

/// [`BootProfiles`] of simulated machines: the real ones.
pub(super) struct SimProfiles {
    world: Arc<World>,
    profiles: Arc<Profiles>,
}

impl SimProfiles {
    pub(super) fn new(world: &Arc<World>, profiles: &Arc<Profiles>) -> Self {
        Self { world: Arc::clone(world), profiles: Arc::clone(profiles) }
    }

    /// Brings the nodes to now: a loader that was to look before must find the old profile.
    fn settle(&self, nodes: &[Arc<Node>], hand: impl Fn(Touch<'_>, &Node)) {
        for node in nodes {
            self.world.touch(&node.name, |touch| hand(touch, node));
        }
    }
}

#[async_trait::async_trait]
impl BootProfiles for SimProfiles {
    async fn write(
        &self,
        nodes: &[Arc<Node>],
        choice: &BootChoice,
        variables: &Variables,
    ) -> Result<(), ProfileError> {
        let network = matches!(choice, BootChoice::Network { .. });
        self.settle(nodes, |touch, node| touch.audit.profile(&node.name, network));
        self.profiles.write(nodes, choice, variables).await
    }

    async fn clear(&self, nodes: &[Arc<Node>]) -> Result<(), ProfileError> {
        // Part of the end of an operation: nodes that are settled are let go of.
        self.settle(nodes, |_, _| {});
        self.profiles.clear(nodes).await
    }
}
