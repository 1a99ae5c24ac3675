//! A request made precise: for each cluster, what is done to which nodes, and how.
//!
//! All checks that need no machine and no file are made here, before anything is
//! started or changed.

use super::{settings::settings, target::target};
use crate::{
    environments::{Environment, ImageKind, OsKind},
    nodes::{Firmware, Node},
    platform::Level,
    steps::{Begin, Settings, Target},
    types::{
        AutomataOverride, Code, Common, DeployRequest, PowerRequest, Problem, RebootKind,
        RebootRequest,
    },
    workflows::{
        self, Breakpoint, Facts, Instance, Limits, MACRO_STEPS, Unplannable, Wish, known_instance,
    },
};
use config::{Cluster, Config, model::Method};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What a macro-step gets beyond the boot's own bound when kexec is replaced by a reboot.
const CLASSICAL_MARGIN: Duration = Duration::from_secs(200);

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
    deploy_key: &str,
) -> Result<Order, Problem> {
    not_yet(request)?;
    let target = target(cluster, request, environment)?;
    let mut notes = Vec::new();
    let mut facts = facts(cluster, request, &target, &mut notes)?;
    facts.no_bootloader |= starts_kernels(config, cluster, &nodes);
    let times = times(cluster, request)?;
    let mut positions = match &request.automata {
        Some(wanted) => overridden(wanted)?,
        None => configured(cluster),
    };
    let no_kexec = request.disable_kexec || environment.os != OsKind::Linux || !facts.mountable;
    if no_kexec {
        let limit = times.0 + CLASSICAL_MARGIN;
        for instance in positions.iter_mut().flatten() {
            if instance.name == "BootNewEnvKexec" {
                *instance = Instance {
                    name: "BootNewEnvClassical".into(),
                    retries: 0,
                    timeout: Some(limit),
                    ..instance.clone()
                };
            }
        }
    }
    let wish = wish(positions, facts, times, Level::Soft, &request.common)?;
    notes.extend(wish.idle_breakpoint());
    let settings = settings(config, cluster, deploy_key);
    let (cluster, target) = (cluster.name.clone(), Some(target));
    Ok(Order { cluster, nodes, settings, target, wish, notes, begins: BTreeMap::new() })
}

/// A reboot of the nodes of one cluster.
pub(crate) fn reboot(
    config: &Config,
    cluster: &Cluster,
    nodes: Vec<Arc<Node>>,
    request: &RebootRequest,
    deploy_key: &str,
) -> Result<Order, Problem> {
    let kind = request.kind.ok_or_else(|| {
        Problem::parameter(Code::MissingOption, "kind", "mandatory").hint("simple or deploy_env")
    })?;
    let instance = match kind {
        RebootKind::Simple => "Simple",
        RebootKind::DeployEnv => "DeployEnv",
        RebootKind::SetPxe | RebootKind::RecordedEnv => {
            return Err(Problem::parameter(
                Code::InvalidOption,
                "kind",
                "set_pxe and recorded_env are not yet supported",
            ));
        }
    };
    let reboot = seconds("timeout_reboot_classical", request.timeout_reboot_classical.as_deref())?
        .unwrap_or_else(|| cluster.timeouts.reboot());
    let facts = Facts { keys: request.ssh_authorized_keys.is_some(), ..Facts::default() };
    let level = request.level.unwrap_or(Level::Soft);
    let positions = vec![vec![single(instance)]];
    let times = (reboot, cluster.timeouts.kexec());
    let wish = wish(positions, facts, times, level, &request.common)?;
    let settings = settings(config, cluster, deploy_key);
    let notes = wish.idle_breakpoint().into_iter().collect();
    let (cluster, begins) = (cluster.name.clone(), BTreeMap::new());
    Ok(Order { cluster, nodes, settings, target: None, wish, notes, begins })
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
    let times = (cluster.timeouts.reboot(), cluster.timeouts.kexec());
    let level = request.level.unwrap_or(Level::Soft);
    let positions = vec![vec![single(instance)]];
    let wish = wish(positions, Facts::default(), times, level, &request.common)?;
    let settings = settings(config, cluster, "");
    let notes = wish.idle_breakpoint().into_iter().collect();
    let (cluster, begins) = (cluster.name.clone(), BTreeMap::new());
    Ok(Order { cluster, nodes, settings, target: None, wish, notes, begins })
}

fn single(name: &str) -> Instance {
    Instance { name: name.into(), raisable: true, ..Instance::default() }
}

fn wish(
    positions: Vec<Vec<Instance>>,
    facts: Facts,
    (reboot, kexec): (Duration, Duration),
    level: Level,
    common: &Common,
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
    let wish = Wish { positions, facts, reboot, kexec, level, breakpoint };
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

/// Fields whose feature does not exist yet: refused rather than ignored.
fn not_yet(request: &DeployRequest) -> Result<(), Problem> {
    let given = [
        ("pxe", request.pxe.is_some()),
        ("vlan", request.vlan.is_some()),
        ("custom_operations", request.custom_operations.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) => {
            Err(Problem::parameter(Code::InvalidOption, name, "is not yet supported"))
        }
        None => Ok(()),
    }
}

/// What the filters look at.
fn facts(
    cluster: &Cluster,
    request: &DeployRequest,
    target: &Target,
    notes: &mut Vec<String>,
) -> Result<Facts, Problem> {
    let environment = &target.environment;
    let supported = &cluster.boot.kernels.deploy.supported_fs;
    let kind = environment.image.kind;
    let known = |filesystem: &str| supported.contains(filesystem);
    let unsupported = |filesystem: &str| {
        format!(
            "The filesystem '{filesystem}' is not supported by the deployment system of the cluster {} (supported: {})",
            cluster.name,
            supported.0.join(", ")
        )
    };
    let mountable = known(&environment.filesystem);
    if !mountable && kind == ImageKind::Tar {
        return Err(Problem::new(Code::InvalidEnvironment, unsupported(&environment.filesystem)));
    }
    if let Some(filesystem) = target.reformat_tmp.as_deref().filter(|name| !known(name)) {
        return Err(Problem::new(Code::ConflictingOptions, unsupported(filesystem)));
    }
    if kind == ImageKind::Fsa || environment.preinstall.is_some() {
        return Err(Problem::new(
            Code::InvalidEnvironment,
            "fsarchiver images and preinstalls are not yet supported",
        ));
    }
    let whole_disk = target.partition == target.device;
    if !mountable {
        notes.push("Disable some micro-steps since the filesystem is not supported by the deployment environment".into());
    }
    if whole_disk {
        notes.push("Deploying on block device, disable format micro-steps".into());
    }
    let partitions = cluster.partitioning.partitions.as_ref();
    let swap = partitions.and_then(|all| all.swap).filter(|_| !cluster.partitioning.disable_swap);
    Ok(Facts {
        image: Some(kind),
        whole_disk,
        mountable,
        keys: request.ssh_authorized_keys.is_some(),
        no_partitioning: request.disable_disk_partitioning,
        tmp: target.reformat_tmp.is_some()
            && partitions
                .is_some_and(|all| all.tmp > 0 && all.tmp != i64::from(target.partition_number)),
        swap: environment.os == OsKind::Linux
            && swap
                .is_some_and(|number| number > 0 && number != i64::from(target.partition_number)),
        no_bootloader: request.disable_bootloader_install,
        admin_post_install: !cluster.postinstall.files.is_empty(),
        user_post_install: environment.postinstalls.is_some(),
    })
}

/// Whether the network loader starts installed kernels itself, so that the disks of a cluster
/// and of these nodes of it need none: GRUB does, but for UEFI nodes, where it goes on to the
/// loader of the disk.
fn starts_kernels(config: &Config, cluster: &Cluster, nodes: &[Arc<Node>]) -> bool {
    config.server.pxe.localboot.method == Method::GrubPxe
        && cluster.nodes.iter().all(|node| node.firmware == config::Firmware::Bios)
        && nodes.iter().all(|node| node.firmware == Firmware::Bios)
}

/// Bounds of a boot through the firmware and from kernel to kernel.
fn times(cluster: &Cluster, request: &DeployRequest) -> Result<(Duration, Duration), Problem> {
    let reboot = seconds("timeout_reboot_classical", request.timeout_reboot_classical.as_deref())?;
    let kexec = seconds("timeout_reboot_kexec", request.timeout_reboot_kexec.as_deref())?;
    Ok((
        reboot.unwrap_or_else(|| cluster.timeouts.reboot()),
        kexec.unwrap_or_else(|| cluster.timeouts.kexec()),
    ))
}

fn seconds(name: &str, text: Option<&str>) -> Result<Option<Duration>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let seconds = text.trim().parse().map_err(|_| {
        let why =
            format!("'{text}' is not a number of seconds (expressions are not yet supported)");
        Problem::parameter(Code::InvalidOption, name, why)
    })?;
    Ok(Some(Duration::from_secs(seconds)))
}

/// The instances of the cluster's file.
fn configured(cluster: &Cluster) -> Vec<Vec<Instance>> {
    let instance = |name: &str, one: &config::model::Instance| Instance {
        name: format!("{name}{}", one.kind),
        retries: one.retries,
        timeout: (!one.timeout.is_zero()).then_some(one.timeout),
        raisable: one.raisable,
        breakpoint: one.breakpoint,
        micro: one.microsteps.iter().map(|micro| (micro.name.clone(), limits(micro))).collect(),
    };
    let steps = cluster.automata.macrosteps();
    steps.map(|(name, list)| list.iter().map(|one| instance(name, one)).collect()).to_vec()
}

fn limits(micro: &config::model::Microstep) -> Limits {
    Limits {
        timeout: (!micro.timeout.is_zero()).then_some(micro.timeout),
        retries: micro.retries,
        raisable: micro.raisable,
        breakpoint: micro.breakpoint,
    }
}

/// The instances of the request.
fn overridden(wanted: &AutomataOverride) -> Result<Vec<Vec<Instance>>, Problem> {
    let lists = [&wanted.set_deployment_env, &wanted.broadcast_env, &wanted.boot_new_env];
    let mut positions = Vec::new();
    for (macro_step, list) in MACRO_STEPS.into_iter().zip(lists) {
        if list.is_empty() {
            let why = format!("{macro_step} is mandatory");
            return Err(Problem::parameter(Code::InvalidOption, "automata", why));
        }
        let instance = |one: &crate::types::InstanceOverride| {
            let short = one.name.strip_prefix(macro_step).unwrap_or(&one.name);
            let name = format!("{macro_step}{short}");
            if known_instance(&name) {
                let timeout = (one.timeout > 0).then(|| Duration::from_secs(one.timeout));
                Ok(Instance { retries: one.retries, timeout, ..single(&name) })
            } else {
                let why = format!("Unknown macrostep name '{}'", one.name);
                Err(Problem::parameter(Code::InvalidOption, "automata", why))
            }
        };
        positions.push(list.iter().map(instance).collect::<Result<_, _>>()?);
    }
    Ok(positions)
}
