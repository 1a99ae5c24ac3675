//! A request made precise: for each cluster, what is done to which nodes, and how.
//!
//! All checks that need no machine and no file are made here, before anything is
//! started or changed.

use super::settings::settings;
use crate::{
    environments::{Environment, ImageKind, OsKind},
    nodes::Node,
    platform::Level,
    steps::{Settings, Target},
    types::{
        AutomataOverride, Code, Common, DeployRequest, PowerRequest, Problem, RebootKind,
        RebootRequest,
    },
    workflows::{Breakpoint, Facts, Instance, Limits, MACRO_STEPS, Wish, known_instance},
};
use config::{Cluster, Config};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

/// What a macro-step gets beyond the boot's own bound when kexec is replaced by a reboot.
const CLASSICAL_MARGIN: Duration = Duration::from_secs(200);

/// One cluster's part of an operation.
#[derive(Clone, Debug)]
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
    let facts = facts(cluster, request, &target, &mut notes)?;
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
    let settings = settings(config, cluster, deploy_key);
    Ok(Order { cluster: cluster.name.clone(), nodes, settings, target: Some(target), wish, notes })
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
    Ok(Order { cluster: cluster.name.clone(), nodes, settings, target: None, wish, notes: vec![] })
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
    Ok(Order { cluster: cluster.name.clone(), nodes, settings, target: None, wish, notes: vec![] })
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
    Ok(Wish { positions, facts, reboot, kexec, level, breakpoint })
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

/// The disk and the partition.
fn target(
    cluster: &Cluster,
    request: &DeployRequest,
    environment: &Environment,
) -> Result<Target, Problem> {
    let asked = request.block_device.as_deref().filter(|device| !device.is_empty());
    let device = asked.unwrap_or(&cluster.partitioning.block_device);
    if !Path::new(device).is_absolute()
        || !device.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    {
        return Err(Problem::parameter(
            Code::InvalidOption,
            "block_device",
            format!("'{device}' is not the path of a disk, such as /dev/sda"),
        ));
    }
    let partition = request.deploy_partition.as_deref().filter(|number| !number.is_empty());
    let whole_disk = asked.is_some() && request.deploy_partition.is_none();
    let number = match partition {
        Some(text) => text.parse().map_err(|_| {
            let why = format!("'{text}' is not the number of a partition");
            Problem::parameter(Code::InvalidOption, "deploy_partition", why)
        })?,
        None => deploy_number(cluster)?,
    };
    if whole_disk && environment.image.kind != ImageKind::Dd {
        return Err(Problem::new(
            Code::ConflictingOptions,
            "Only a 'dd' image can be deployed directly on a block device: name a partition with deploy_partition",
        ));
    }
    if whole_disk && request.boot_partition.is_none() {
        return Err(Problem::new(
            Code::MissingOption,
            "You must specify the partition to boot on when deploying directly on block device",
        )
        .hint("name it with boot_partition"));
    }
    Ok(Target {
        environment: environment.clone(),
        device: device.to_owned(),
        partition: if whole_disk {
            device.to_owned()
        } else {
            Target::partition_of(device, number)
        },
        partition_number: number,
        boot_partition: request.boot_partition.unwrap_or(number),
        reformat_tmp: request.reformat_tmp_partition.clone(),
    })
}

fn deploy_number(cluster: &Cluster) -> Result<u32, Problem> {
    let number = cluster.partitioning.partitions.as_ref().map(|all| all.deploy);
    number.and_then(|number| u32::try_from(number).ok()).ok_or_else(|| {
        Problem::new(
            Code::MissingOption,
            format!(
                "the cluster {} has no deploy partition: name one with deploy_partition",
                cluster.name
            ),
        )
    })
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
