//! Where an environment goes, or is.

use crate::{
    environments::{Environment, ImageKind},
    steps::Target,
    types::{Code, DeployRequest, Problem, RebootRequest},
};
use config::{Cluster, model::partitioning::is_label};
use std::path::Path;

/// A partition, as nodes know it, and its number; 0 where only they know that.
type Named = (String, u32);

/// The disk and the partition that a request means, those of the cluster where it names none;
/// those of the environment where its image holds several.
///
/// # Errors
/// They are no names of such things, or do not go with the image.
pub(super) fn target(
    cluster: &Cluster,
    request: &DeployRequest,
    environment: &Environment,
) -> Result<Target, Problem> {
    let environment = &named(cluster, environment)?;
    let boot = &environment.boot;
    let own = environment.multipart.then_some((boot.block_device.as_str(), boot.partition));
    let asked = request.block_device.as_deref().filter(|device| !device.is_empty());
    let device = disk(cluster, own.map(|(disk, _)| disk).or(asked))?;
    let partition = request.deploy_partition.as_deref().filter(|number| !number.is_empty());
    // Old clients send an empty partition where none was named.
    let whole_disk = own.is_none() && asked.is_some() && partition.is_none();
    let (device, (partition, number)) = match (own, partition) {
        (Some((_, number)), _) => (device.clone(), (Target::partition_of(&device, number), number)),
        (None, Some(text)) => named_partition(cluster, &device, text)?,
        (None, None) => match deploy_partition(cluster, &device)? {
            (_, named) if whole_disk => (device.clone(), named),
            found => found,
        },
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
    let partition = if whole_disk { device.clone() } else { partition };
    Ok(Target {
        environment: environment.clone(),
        also: also(cluster, &device, &partition),
        partition,
        device,
        partition_number: number,
        boot_partition: request.boot_partition.unwrap_or(number),
        reformat_tmp: request.reformat_tmp_partition.clone(),
    })
}

/// Where the recorded environment of a reboot is.
///
/// # Errors
/// 12 for what is missing.
pub(super) fn recorded(
    cluster: &Cluster,
    request: &RebootRequest,
    environment: Option<&Environment>,
) -> Result<Target, Problem> {
    let missing = |name: &str, why: &str| Problem::parameter(Code::MissingOption, name, why);
    let environment = environment.ok_or_else(|| {
        missing("environment", "You must specify a recorded environment to reboot on")
    })?;
    let partition = request.deploy_partition.as_deref().filter(|text| !text.is_empty());
    let partition = partition.ok_or_else(|| {
        missing(
            "deploy_partition",
            "You must specify the partition of the environment to reboot on",
        )
    })?;
    let asked = request.block_device.as_deref().filter(|device| !device.is_empty());
    let (device, (partition, number)) =
        named_partition(cluster, &disk(cluster, asked)?, partition)?;
    Ok(Target {
        environment: environment.clone(),
        also: Vec::new(),
        device,
        partition,
        partition_number: number,
        boot_partition: number,
        reformat_tmp: None,
    })
}

/// What else files and requests call a partition of `device`: the ids of the disk with its number
/// or label behind them and, on the disk of the cluster, the label alone.
fn also(cluster: &Cluster, device: &str, partition: &str) -> Vec<String> {
    let disks: Vec<&str> = cluster.partitioning.ids(device).chain([device]).collect();
    if partition == device {
        return disks.into_iter().map(str::to_owned).collect();
    }
    if let Some((label, _)) = partition.split_once('@') {
        let own = disk(cluster, None).is_ok_and(|own| own == device);
        let on = disks.into_iter().map(|disk| format!("{disk}/{label}"));
        return on.chain(own.then(|| label.to_owned())).collect();
    }
    let number = partition.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    disks.into_iter().map(|disk| format!("{disk}{number}")).collect()
}

/// What nodes call the partition that the administrator calls `text`, if it is one.
pub(super) fn known_as(cluster: &Cluster, text: &str) -> Option<String> {
    let device = disk(cluster, None).ok()?;
    if Path::new(text).is_absolute() {
        return Some(text.to_owned());
    }
    named_partition(cluster, &device, text).ok().map(|(_, (partition, _))| partition)
}

/// What nodes call a disk.
fn disk(cluster: &Cluster, asked: Option<&str>) -> Result<String, Problem> {
    let name = asked.unwrap_or(&cluster.partitioning.block_device);
    let known = cluster.partitioning.disk(name).filter(|device| is_plain(device));
    known.ok_or_else(|| {
        let why = format!(
            "'{name}' is not the path of a disk, such as /dev/sda, or its id, such as disk0"
        );
        Problem::parameter(Code::InvalidOption, "block_device", why)
    })
}

/// What goes into commands as it is.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "/._:-".contains(c))
}

/// A partition that is named by its number, its label, or disk and label.
fn named_partition(
    cluster: &Cluster,
    device: &str,
    text: &str,
) -> Result<(String, Named), Problem> {
    if let Ok(number) = text.parse::<u32>() {
        return Ok((device.to_owned(), (Target::partition_of(device, number), number)));
    }
    let (device, label) = match text.rsplit_once('/') {
        Some((on, label)) => (disk(cluster, Some(on))?, label),
        None => (device.to_owned(), text),
    };
    if !is_label(label) {
        let why = format!("'{text}' is not the number of a partition, its label, or DISK/LABEL");
        return Err(Problem::parameter(Code::InvalidOption, "deploy_partition", why));
    }
    Ok((device.clone(), (format!("{label}@{device}"), 0)))
}

/// The partition that a cluster deploys to.
fn deploy_partition(cluster: &Cluster, device: &str) -> Result<(String, Named), Problem> {
    let partitioning = &cluster.partitioning;
    if let Some(label) = &partitioning.deploy_label {
        return Ok((device.to_owned(), (format!("{label}@{device}"), 0)));
    }
    let part = partitioning.partitions.as_ref().and_then(|all| all.deploy.as_ref());
    let part = part.filter(|part| part.exists()).ok_or_else(|| {
        Problem::new(
            Code::MissingOption,
            format!(
                "the cluster {} has no deploy partition: name one with deploy_partition",
                cluster.name
            ),
        )
    })?;
    named_partition(cluster, device, &part.to_string())
}

/// An environment whose disks and partitions are called what the nodes call them.
fn named(cluster: &Cluster, environment: &Environment) -> Result<Environment, Problem> {
    let mut environment = environment.clone();
    for part in &mut environment.partitions {
        if Path::new(&part.device).is_absolute() {
            continue;
        }
        let device = disk(cluster, None)?;
        part.device = named_partition(cluster, &device, &part.device)?.1.0;
    }
    Ok(environment)
}
