//! A request made precise: for each cluster, what is done to which nodes, and how.
//!
//! All checks that need no machine and no file are made here, before anything is
//! started or changed.

use super::{
    around::Around,
    custom, facts,
    settings::settings,
    target::{recorded, target},
    ways,
};
use crate::{
    environments::{Environment, OsKind},
    nodes::Node,
    platform::Level,
    steps::{Begin, Settings, Target, UserProfile},
    types::{
        Code, Common, DeployRequest, Kind, PowerRequest, Problem, PxeChoice, RebootKind,
        RebootRequest,
    },
    workflows::{self, Breakpoint, Facts, Instance, Unplannable, Wish, known_instance},
};
use config::{Cluster, Config, Timeout};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// One cluster's part of an operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Name of the cluster.
    pub(crate) cluster: String,
    /// Its nodes.
    pub(crate) nodes: Vec<Arc<Node>>,
    /// What the steps take from the configuration.
    pub(crate) settings: Settings,
    /// What is installed.
    pub(crate) target: Option<Target>,
    /// What is planned.
    pub(crate) wish: Wish,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
    /// Nodes, by name, that go on from where another operation left them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) begins: BTreeMap<String, Begin>,
}

/// The nodes by cluster, each with its configuration, in the order of the configuration.
pub(crate) fn by_cluster<'c>(
    config: &'c Config,
    nodes: &[Arc<Node>],
) -> Vec<(&'c Cluster, Vec<Arc<Node>>)> {
    let mut groups: BTreeMap<&str, Vec<Arc<Node>>> = BTreeMap::new();
    for node in nodes {
        groups.entry(&node.cluster).or_default().push(Arc::clone(node));
    }
    let clusters = config.clusters.iter();
    clusters.filter_map(|one| groups.remove(one.name.as_str()).map(|nodes| (one, nodes))).collect()
}

/// A deployment of `environment` on the nodes of one cluster.
pub(crate) fn deploy(
    config: &Config,
    cluster: &Cluster,
    nodes: Vec<Arc<Node>>,
    request: &DeployRequest,
    environment: &Environment,
    around: &Around,
) -> Result<Order, Problem> {
    facts::fits(cluster, environment)?;
    let target = target(cluster, request, environment)?;
    let mut notes = Vec::new();
    let mut facts = facts::facts(cluster, request, &target, &mut notes)?;
    facts.no_bootloader |=
        target.root().is_some() && facts::starts_kernels(config, cluster, &nodes);
    let times = Times::of(cluster, nodes.len()).asked(
        request.timeout_reboot_classical.as_deref(),
        request.timeout_reboot_kexec.as_deref(),
    )?;
    let mut positions = match &request.automata {
        Some(wanted) => ways::overridden(wanted)?,
        None => ways::configured(cluster),
    };
    if environment.preinstall.is_some() {
        notes.push("A specific presinstall will be used with this environment".into());
        ways::by_preinstall(&mut positions);
    }
    // Of a whole disk nothing is mounted that could be jumped into.
    let boots_by_firmware = environment.os != OsKind::Linux || !facts.mountable || facts.whole_disk;
    if request.disable_kexec || boots_by_firmware {
        ways::without_kexec(&mut positions, request.disable_kexec, times.reboot()?);
    }
    facts::possible(cluster, &positions)?;
    let custom = (Kind::Deploy, &request.common);
    let wish = wish(positions, facts, &times, Level::Soft, custom)?;
    facts::has_place(cluster, environment, &wish)?;
    notes.extend(wish.idle_breakpoint());
    let mut settings = settings(config, cluster, around, times.reboot()?);
    settings.vlan = around.vlan(config, request.vlan.as_deref());
    settings.profile = profile(request.pxe.as_ref(), around, &nodes)?;
    let (cluster, target) = (cluster.name.clone(), Some(target));
    Ok(Order { cluster, nodes, settings, target, wish, notes, begins: BTreeMap::new() })
}

/// A reboot of the nodes of one cluster; into `environment`, where it is recorded.
pub(crate) fn reboot(
    config: &Config,
    cluster: &Cluster,
    nodes: Vec<Arc<Node>>,
    request: &RebootRequest,
    environment: Option<&Environment>,
    around: &Around,
) -> Result<Order, Problem> {
    let kind = request.kind.ok_or_else(|| {
        Problem::parameter(Code::MissingOption, "kind", "mandatory")
            .hint("simple, set_pxe, deploy_env or recorded_env")
    })?;
    let instance = match kind {
        RebootKind::Simple => "Simple",
        RebootKind::DeployEnv => "DeployEnv",
        RebootKind::SetPxe => "SetPXE",
        RebootKind::RecordedEnv => "RecordedEnv",
    };
    let profile = profile(request.pxe.as_ref(), around, &nodes)?;
    if kind == RebootKind::SetPxe && profile.is_none() {
        return Err(Problem::parameter(
            Code::MissingOption,
            "pxe",
            "You must specify a PXE profile",
        )
        .hint("give its text as pxe/profile"));
    }
    let target = match kind {
        RebootKind::RecordedEnv => Some(recorded(cluster, request, environment)?),
        _ => None,
    };
    let times =
        Times::of(cluster, nodes.len()).asked(request.timeout_reboot_classical.as_deref(), None)?;
    let facts = Facts {
        keys: request.ssh_authorized_keys.is_some(),
        vlan: request.vlan.is_some(),
        drivers: !cluster.boot.kernels.deploy.drivers.0.is_empty(),
        ..Facts::default()
    };
    let level = request.level.unwrap_or(Level::Soft);
    let positions = vec![vec![ways::single(instance)]];
    let wish = wish(positions, facts, &times, level, (Kind::Reboot, &request.common))?;
    let mut settings = settings(config, cluster, around, times.reboot()?);
    settings.vlan = around.vlan(config, request.vlan.as_deref());
    let own = matches!(kind, RebootKind::SetPxe | RebootKind::RecordedEnv);
    settings.profile = profile.filter(|_| own);
    let notes = wish.idle_breakpoint().into_iter().collect();
    let (cluster, begins) = (cluster.name.clone(), BTreeMap::new());
    Ok(Order { cluster, nodes, settings, target, wish, notes, begins })
}

/// A power operation on the nodes of one cluster.
pub(crate) fn power(
    config: &Config,
    cluster: &Cluster,
    nodes: Vec<Arc<Node>>,
    request: &PowerRequest,
) -> Result<Order, Problem> {
    let instance = match request.status.as_deref() {
        Some("on") => "On",
        Some("off") => "Off",
        Some("status") => "Status",
        None => return Err(Problem::parameter(Code::MissingOption, "status", "mandatory")),
        Some(_) => {
            let why = "must have a value in (on,off,status)";
            return Err(Problem::parameter(Code::InvalidOption, "status", why));
        }
    };
    let times = Times::of(cluster, nodes.len());
    let level = request.level.unwrap_or(Level::Soft);
    let positions = vec![vec![ways::single(instance)]];
    let custom = (Kind::Power, &request.common);
    let wish = wish(positions, Facts::default(), &times, level, custom)?;
    let settings = settings(config, cluster, &Around::default(), times.reboot()?);
    let notes = wish.idle_breakpoint().into_iter().collect();
    let (cluster, begins) = (cluster.name.clone(), BTreeMap::new());
    Ok(Order { cluster, nodes, settings, target: None, wish, notes, begins })
}

/// Bounds of boots, for so many nodes.
struct Times {
    nodes: usize,
    reboot: Timeout,
    kexec: Timeout,
}

impl Times {
    /// Those of the cluster's file.
    fn of(cluster: &Cluster, nodes: usize) -> Self {
        let (reboot, kexec) = (cluster.timeouts.reboot.clone(), cluster.timeouts.kexec.clone());
        Self { nodes, reboot, kexec }
    }

    /// Those of a request, where it has any.
    fn asked(mut self, reboot: Option<&str>, kexec: Option<&str>) -> Result<Self, Problem> {
        let asked = [
            ("timeout_reboot_classical", reboot, &mut self.reboot),
            ("timeout_reboot_kexec", kexec, &mut self.kexec),
        ];
        for (name, text, timeout) in asked {
            let Some(text) = text else { continue };
            let parsed =
                Timeout::parse(text).and_then(|parsed| parsed.of(self.nodes).map(|_| parsed));
            *timeout = parsed.map_err(|bad| Problem::parameter(Code::InvalidOption, name, bad))?;
        }
        Ok(self)
    }

    fn reboot(&self) -> Result<Duration, Problem> {
        evaluated("timeouts/reboot", &self.reboot, self.nodes)
    }

    fn kexec(&self) -> Result<Duration, Problem> {
        evaluated("timeouts/kexec", &self.kexec, self.nodes)
    }
}

fn evaluated(key: &str, timeout: &Timeout, nodes: usize) -> Result<Duration, Problem> {
    timeout.of(nodes).map_err(|bad| Problem::new(Code::BadConfiguration, format!("{key}: {bad}")))
}

/// The user's own boot profile, whose singularities are of nodes that take part.
fn profile(
    wanted: Option<&PxeChoice>,
    around: &Around,
    nodes: &[Arc<Node>],
) -> Result<Option<UserProfile>, Problem> {
    let Some(PxeChoice { profile, singularities, .. }) = wanted else { return Ok(None) };
    if profile.is_empty() {
        return Err(Problem::parameter(Code::MissingOption, "pxe/profile", "mandatory"));
    }
    let singularities = around.singularities(singularities)?;
    let ours = |name: &str| nodes.iter().any(|node| node.name == name);
    // Where there are any, a node without one gets none: they must not all go.
    let mut own: BTreeMap<String, String> = singularities
        .iter()
        .filter(|(name, _)| ours(name))
        .map(|(a, b)| (a.clone(), b.clone()))
        .collect();
    if own.is_empty() && !singularities.is_empty() {
        own.insert(String::new(), String::new());
    }
    let (text, user) = (profile.clone(), around.user.clone());
    Ok(Some(UserProfile { text, user, singularities: own }))
}

fn wish(
    positions: Vec<Vec<Instance>>,
    facts: Facts,
    times: &Times,
    level: Level,
    (kind, common): (Kind, &Common),
) -> Result<Wish, Problem> {
    let unknown = positions.iter().flatten().find(|one| !known_instance(&one.name));
    if let Some(one) = unknown {
        return Err(Problem::new(
            Code::InvalidOption,
            format!("The macro-step {} is not yet supported", one.name),
        ));
    }
    let breakpoint = common.breakpoint.as_deref().map(Breakpoint::parse).transpose();
    let breakpoint = breakpoint.map_err(|error| {
        let way_out = format!("Macro or Macro:micro, where Macro is one of {}", names(&positions));
        Problem::parameter(Code::InvalidOption, "breakpoint", error).hint(way_out)
    })?;
    let custom = custom::requested(kind, common.custom_operations.as_ref())?;
    let (reboot, kexec) = (times.reboot()?, times.kexec()?);
    let wish = Wish { positions, facts, reboot, kexec, level, breakpoint, custom };
    // A request whose plan cannot be made is refused now, by a dry run as well.
    workflows::outline(wish.clone()).map_err(|error| unplannable(&error))?;
    Ok(wish)
}

/// The error of a plan that cannot be made.
pub(crate) fn unplannable(error: &Unplannable) -> Problem {
    Problem::new(Code::InvalidOption, error.to_string())
}

fn names(positions: &[Vec<Instance>]) -> String {
    let names: Vec<&str> = positions.iter().flatten().map(|one| one.name.as_str()).collect();
    names.join(", ")
}
