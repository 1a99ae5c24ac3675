//! What happened in a story: what its end looks like, and how it came there.

use super::{
    case::common,
    ports::Deed,
    rig::{AFTERWARDS, Life, Teller, viewer},
};
use crate::{
    nodes::{Node, Selection},
    platform::{PowerState, Reach},
    simulation::Stage,
    store::{JournalRecord, NodeRecord, Store},
    types::{NodeStatus, Poll, Problem},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::time::sleep;

/// What happened.
pub(super) struct Story {
    /// Commits and commands of the first service.
    pub(super) points: (u64, u64),
    /// How many of them were before the operation was cancelled.
    pub(super) cancelled: (u64, u64),
    /// Services that were stopped.
    pub(super) stops: usize,
    /// One of them was away for so long that machines booted meanwhile.
    pub(super) long: bool,
    /// What requests were refused for.
    pub(super) refused: Vec<Problem>,
    /// Why it broke off.
    pub(super) error: Option<Problem>,
    /// Nodes that ended well, and those that did not.
    pub(super) ok: Vec<String>,
    pub(super) ko: Vec<String>,
    /// By node: why it failed.
    pub(super) reasons: BTreeMap<String, String>,
    /// What was done to the nodes.
    pub(super) deeds: Vec<Deed>,
    pub(super) poll: Poll,
    pub(super) journal: Vec<JournalRecord>,
    pub(super) nodes: Vec<NodeRecord>,
    /// By node: what it is in.
    pub(super) states: BTreeMap<String, Is>,
    /// By node: what it runs, whether it is left booting the deployment system, and how often
    /// a service told that it had ended.
    pub(super) ends: BTreeMap<String, (Option<String>, bool, usize)>,
    /// What was found wrong on the way.
    pub(super) wrong: Vec<String>,
    /// The messages.
    pub(super) lines: Vec<String>,
}

/// What a machine is in, as nobody but the simulation knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    Off,
    InDeploymentSystem,
    Runs,
    Elsewhere,
}

impl Teller<'_> {
    /// Looks at what is there after the end.
    pub(super) async fn end(
        mut self,
        poll: Poll,
        life: &Life,
        points: (u64, u64),
        stops: usize,
    ) -> Story {
        let Selection { nodes, .. } = self.stage.site.inventory.select(&common().nodes).unwrap();
        self.stage.world.audit(|audit| nodes.iter().for_each(|node| audit.close(&node.name)));
        let before = self.tape.deeds.lock().unwrap().len();
        sleep(AFTERWARDS).await;
        let deeds = self.tape.deeds.lock().unwrap().clone();
        if deeds.len() > before {
            self.wrong.push(format!("done after the end: {:?}", &deeds[before..]));
        }
        self.wrong.extend(life.files.left());
        self.wrong.extend(self.stage.world.audit(|audit| audit.violations().to_vec()));
        let world = &self.stage.world;
        let end = |name: &str| {
            let ended = self.ended.get(name).copied().unwrap_or_default();
            (world.runs(name), world.boots_deployment(name), ended)
        };
        let mut states = BTreeMap::new();
        for node in &nodes {
            states.insert(node.name.clone(), is(self.stage, node).await);
        }
        let kind = self.case.kind();
        let state = life.operations.state(kind, &poll.wid, &viewer()).unwrap();
        let (ko, ok): (Vec<_>, Vec<_>) = state.iter().partition(|(_, status)| status.state == "ko");
        let names = |list: Vec<(&String, &NodeStatus)>| {
            list.into_iter().map(|(name, _)| name.clone()).collect()
        };
        let (ok, ko) = (names(ok), names(ko));
        let reasons = state.into_iter().filter_map(|(node, status)| Some((node, status.error?)));
        Story {
            points,
            cancelled: self.before_cancel.unwrap_or_default(),
            states,
            stops,
            long: self.long,
            refused: self.refused,
            error: life.operations.error(kind, &poll.wid, &viewer()).unwrap(),
            ok,
            ko,
            reasons: reasons.collect(),
            ends: nodes.iter().map(|node| (node.name.clone(), end(&node.name))).collect(),
            deeds,
            journal: life.store.journal(&poll.wid, 0, usize::MAX).await.unwrap(),
            nodes: life.store.nodes().await.unwrap(),
            poll,
            wrong: self.wrong,
            lines: self.lines,
        }
    }
}

/// What a machine is in.
async fn is(stage: &Stage<'_>, node: &Node) -> Is {
    if stage.world.runs(&node.name).is_some() {
        return Is::Runs;
    }
    let ports = stage.plug().unwrap();
    if ports.power.status(node, Duration::from_secs(60)).await == Ok(PowerState::Off) {
        return Is::Off;
    }
    let marker = stage.site.config.server.network.ports.test_deploy_env;
    let at = SocketAddr::new(IpAddr::V4(node.address), marker);
    match ports.presence.probe(at, Duration::from_secs(1)).await {
        Reach::Open => Is::InDeploymentSystem,
        _ => Is::Elsewhere,
    }
}
