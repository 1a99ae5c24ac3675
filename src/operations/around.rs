//! What an operation depends on besides its request and the configuration: who asks, where
//! the nodes answer in another network, what is installed on them.

use super::{Inner, target::known_as};
use crate::{
    nodes::{Inventory, Node},
    steps::{Vlan, is_word},
    store::{NodeRecord, NodeState, Store},
    types::{Code, Problem, RebootKind, RebootRequest},
};
use config::{Cluster, Config, Platform, model::cluster::Trusted};
use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};
use tokio::{net::lookup_host, time::timeout};

/// Bound of asking for one name.
const LOOK_UP: Duration = Duration::from_secs(10);

/// What is around a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around {
    /// Kernel parameter that lets us into the deployment system.
    pub(crate) deploy_key: String,
    /// Who asks.
    pub(crate) user: String,
    /// Where nodes answer in the network that they are moved to, by name.
    pub(crate) addresses: BTreeMap<String, Ipv4Addr>,
    /// Names of the nodes whose installed system is trusted.
    pub(crate) trusted: BTreeSet<String>,
    /// Names of nodes as the user wrote them, and as they are.
    pub(crate) names: BTreeMap<String, String>,
}

impl Around {
    /// Only the key.
    pub(crate) fn with_key(deploy_key: &str) -> Self {
        Self { deploy_key: deploy_key.to_owned(), ..Self::default() }
    }

    /// The network that nodes are moved to.
    pub(super) fn vlan(&self, config: &Config, id: Option<&str>) -> Option<Vlan> {
        let command = config.server.network.vlan.set_cmd.clone().unwrap_or_default();
        let (user, addresses) = (self.user.clone(), self.addresses.clone());
        id.map(|id| Vlan { id: id.to_owned(), user, command, addresses })
    }

    /// What `NODE_SINGULARITY` stands for, by the full name of the node.
    pub(super) fn singularities(
        &self,
        wanted: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Problem> {
        let one = |(name, value): (&String, &String)| {
            let full = self.names.get(name).unwrap_or(name);
            // It becomes part of a line that a boot loader reads.
            if value.chars().any(char::is_control) {
                let why = format!("the value of {name} is not one line of text");
                return Err(Problem::parameter(Code::InvalidOption, "pxe/singularities", why));
            }
            Ok((full.clone(), value.clone()))
        };
        wanted.iter().map(one).collect()
    }
}

/// The full names of the nodes that singularities name.
///
/// # Errors
/// 2 for a node that does not exist.
pub(super) fn names<'n>(
    inventory: &Inventory,
    wanted: impl Iterator<Item = &'n String>,
) -> Result<BTreeMap<String, String>, Problem> {
    let one = |name: &String| {
        let found = inventory.select(std::slice::from_ref(name))?.nodes;
        Ok((name.clone(), found.first().map_or_else(String::new, |node| node.name.clone())))
    };
    wanted.map(one).collect()
}

/// Where nodes answer in the network `id`, by name. Simulated nodes answer where they always do.
///
/// # Errors
/// 9: there is no such network, or a name in it has no address.
pub(super) async fn addresses(
    config: &Config,
    nodes: &[Arc<Node>],
    (id, user): (&str, &str),
) -> Result<BTreeMap<String, Ipv4Addr>, Problem> {
    let vlan = &config.server.network.vlan;
    let wrong = |why: String| Problem::new(Code::InvalidVlan, why);
    if vlan.set_cmd.is_none() {
        return Err(wrong("this site moves no nodes: network/vlan/set_cmd is not set".into()));
    }
    for (what, word) in [("vlan", id), ("user", user)] {
        if !is_word(word) {
            return Err(wrong(format!("the {what} {word:?} cannot stand in a command")));
        }
    }
    let suffix = vlan.hostname_suffix.replace("VLAN_ID", id);
    let simulated = |node: &Node| {
        config.cluster(&node.cluster).is_some_and(|one| one.platform == Platform::Sim)
    };
    let one = |node: &Arc<Node>| {
        let (short, domain) = node.name.split_once('.').unwrap_or((&node.name, ""));
        let dot = if domain.is_empty() { "" } else { "." };
        let moved = format!("{short}{suffix}{dot}{domain}");
        let (name, stays) = (node.name.clone(), simulated(node).then_some(node.address));
        async move {
            match stays {
                Some(address) => Ok((name, address)),
                None => resolve(&moved).await.map(|address| (name, address)).ok_or(moved),
            }
        }
    };
    let found = join_all(nodes.iter().map(one)).await;
    found
        .into_iter()
        .map(|one| one.map_err(|name| wrong(format!("Cannot resolv {name}"))))
        .collect()
}

async fn resolve(name: &str) -> Option<Ipv4Addr> {
    let found = timeout(LOOK_UP, lookup_host((name, 0))).await.ok()?.ok()?;
    found.into_iter().find_map(|address| match address.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    })
}

/// The nodes that may go to the deployment system without their firmware.
pub(super) async fn trusted(
    store: &dyn Store,
    config: &Config,
    nodes: &[Arc<Node>],
) -> Result<BTreeSet<String>, Problem> {
    let of = |node: &Node| {
        let cluster = config.cluster(&node.cluster)?;
        Some((cluster, cluster.trusted_deployment.as_ref()?))
    };
    let asked = nodes.iter().filter_map(|node| Some((node, of(node)?)));
    let asked: Vec<_> = asked.collect();
    let names: Vec<String> = asked.iter().map(|(node, _)| node.name.clone()).collect();
    let mut records = store.nodes_called(&names).await?;
    let is = |(node, (cluster, trusted)): &(&Arc<Node>, (&Cluster, &Trusted))| {
        let place = trusted.partition.as_deref().and_then(|text| known_as(cluster, text));
        let record = records.remove(&node.name)?;
        is_trusted(trusted, place.as_deref(), &record).then(|| node.name.clone())
    };
    Ok(asked.iter().filter_map(is).collect())
}

/// Whether what is recorded of a node is trusted; `partition` is what nodes call the trusted one.
fn is_trusted(trusted: &Trusted, partition: Option<&str>, record: &NodeRecord) -> bool {
    let well = matches!(
        record.state,
        NodeState::Deployed
            | NodeState::Rebooted
            | NodeState::Powered
            | NodeState::ProdEnv
            | NodeState::RecordedEnv
    );
    let Some(environment) = record.environment.as_ref().filter(|_| well) else { return false };
    let known =
        trusted.envs.iter().any(|one| one.name == environment.name && one.user == environment.user);
    let place = partition.is_some() && record.partition.as_deref() == partition;
    let user = trusted.user.as_ref() == Some(&record.user);
    let anywhere = trusted.partition.is_none() && trusted.user.is_none();
    known && (place || user || anywhere)
}

/// Refuses nodes on which an environment is recorded that must not be booted again.
///
/// # Errors
/// 30 with their names.
pub(super) async fn not_destructive(
    inner: &Inner,
    nodes: &[Arc<Node>],
    request: &RebootRequest,
) -> Result<(), Problem> {
    if !request.check_destructive || request.kind != Some(RebootKind::RecordedEnv) {
        return Ok(());
    }
    let store = &*inner.means.store;
    let mut found = Vec::new();
    let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
    let mut records = store.nodes_called(&names).await?;
    for name in &names {
        let installed = records.remove(name).and_then(|record| record.environment);
        // One that is not recorded may have the name of one that is.
        let Some(installed) = installed.filter(|one| one.id.is_some()) else { continue };
        if super::environments::is_destructive(store, &installed).await? {
            found.push(name.as_str());
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let text = format!("it is recorded on {}", automata::ranges::fold(found));
    Err(Problem::new(Code::DestructiveEnvironment, text)
        .hint("reboot without check_destructive if they may run it again"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EnvironmentRef;
    use config::model::cluster::TrustedEnv;

    #[test]
    fn what_is_trusted_is_an_environment_of_the_list_in_its_place_or_of_its_user() {
        let record = |state, user: &str, partition: Option<&str>, name: &str| NodeRecord {
            node: "n".into(),
            state,
            user: user.into(),
            environment: Some(EnvironmentRef {
                id: Some(1),
                name: name.into(),
                version: 1,
                user: "root".into(),
            }),
            partition: partition.map(str::to_owned),
            date: 0,
        };
        let trusted = |partition: Option<&str>, user: Option<&str>| Trusted {
            partition: partition.map(str::to_owned),
            user: user.map(str::to_owned),
            envs: vec![TrustedEnv { name: "std".into(), user: "root".into() }],
        };
        let deployed = NodeState::Deployed;
        let prod = Some("PROD");
        for (list, record, expected) in [
            (trusted(prod, None), record(deployed, "a", prod, "std"), true),
            (trusted(prod, None), record(deployed, "a", Some("TMP"), "std"), false),
            (trusted(prod, Some("deploy")), record(deployed, "deploy", None, "std"), true),
            (trusted(prod, None), record(deployed, "a", prod, "other"), false),
            (trusted(None, None), record(deployed, "a", None, "std"), true),
            (trusted(prod, None), record(NodeState::DeployFailed, "a", prod, "std"), false),
            (trusted(prod, None), record(NodeState::Aborted, "a", prod, "std"), false),
        ] {
            let place = list.partition.as_deref();
            assert_eq!(is_trusted(&list, place, &record), expected, "{list:?} {record:?}");
        }
    }
}
