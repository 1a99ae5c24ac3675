//! What the filters look at, and what a cluster cannot do at all.

use super::{settings::partition, ways::PREINSTALL};
use crate::{
    environments::{Environment, ImageKind, OsKind},
    nodes::{Firmware, Node},
    steps::{Micro, Target},
    types::{Code, DeployRequest, Problem},
    workflows::{Beside, Facts, Instance, Wish},
};
use config::{
    Cluster, Config,
    model::{Method, partitioning::Part},
};
use std::sync::Arc;

/// Whether the nodes of a cluster can run an environment at all.
///
/// # Errors
/// 7: it is for another architecture.
pub(super) fn fits(cluster: &Cluster, environment: &Environment) -> Result<(), Problem> {
    let supported = &cluster.arch.supported;
    let arch = environment.arch.as_deref().unwrap_or(&cluster.arch.default);
    if environment.arch.is_none() || supported.contains(arch) {
        return Ok(());
    }
    Err(Problem::new(
        Code::InvalidEnvironment,
        format!(
            "the environment {} is for {arch}, the cluster {} runs {}",
            environment.name,
            cluster.name,
            supported.0.join(", ")
        ),
    ))
}

/// Whether the cluster's file has what the instances need.
///
/// # Errors
/// 4 with the key that is missing.
pub(super) fn possible(cluster: &Cluster, positions: &[Vec<Instance>]) -> Result<(), Problem> {
    let named = |name: &str| positions.iter().flatten().any(|one| one.name == name);
    let prod = cluster.partitioning.partitions.as_ref().is_some_and(|all| all.prod.exists());
    let needs = [
        (
            "SetDeploymentEnvNfsroot",
            cluster.boot.kernels.nfsroot.vmlinuz.is_some(),
            "boot/kernels/nfsroot/vmlinuz",
        ),
        ("SetDeploymentEnvProd", prod, "partitioning/partitions/prod"),
        ("SetDeploymentEnvTrusted", cluster.trusted_deployment.is_some(), "trusted_deployment"),
    ];
    match needs.into_iter().find(|(name, has, _)| named(name) && !has) {
        None => Ok(()),
        Some((name, _, key)) => {
            let text = format!("{name} needs {key}, which the cluster {} has not", cluster.name);
            Err(Problem::new(Code::InvalidOption, text).hint("name other instances with automata"))
        }
    }
}

fn unsupported(cluster: &Cluster, filesystem: &str) -> String {
    format!(
        "The filesystem '{filesystem}' is not supported by the deployment system of the cluster {} (supported: {})",
        cluster.name,
        cluster.boot.kernels.deploy.supported_fs.0.join(", ")
    )
}

/// Whether there is a filesystem for the files of an image to go to: one that the deployment
/// system knows, or one that something of the site's or of the user's makes and mounts.
///
/// # Errors
/// 7: nobody makes it.
pub(super) fn has_place(
    cluster: &Cluster,
    environment: &Environment,
    wish: &Wish,
) -> Result<(), Problem> {
    let known = &cluster.boot.kernels.deploy.supported_fs;
    if environment.image.kind != ImageKind::Tar || known.contains(&environment.filesystem) {
        return Ok(());
    }
    let instead = |micro: &str, beside: &Beside| {
        micro == Micro::FormatDeployPart.name() && !beside.instead.is_empty()
    };
    let makes = |way: &Instance| {
        let mut micro = way.micro.iter();
        way.name == PREINSTALL || micro.any(|(name, limits)| instead(name, &limits.beside))
    };
    let made = wish.positions.iter().flatten().any(makes)
        || wish.custom.iter().any(|one| instead(&one.micro, &one.beside));
    if made {
        return Ok(());
    }
    let why = unsupported(cluster, &environment.filesystem);
    Err(Problem::new(Code::InvalidEnvironment, why))
}

/// What the filters look at.
pub(super) fn facts(
    cluster: &Cluster,
    request: &DeployRequest,
    target: &Target,
    notes: &mut Vec<String>,
) -> Result<Facts, Problem> {
    let environment = &target.environment;
    let supported = &cluster.boot.kernels.deploy.supported_fs;
    let kind = environment.image.kind;
    let known = |filesystem: &str| supported.contains(filesystem);
    let mountable = known(&environment.filesystem);
    if let Some(filesystem) = target.reformat_tmp.as_deref().filter(|name| !known(name)) {
        return Err(Problem::new(Code::ConflictingOptions, unsupported(cluster, filesystem)));
    }
    let whole_disk = target.partition == target.device;
    if !mountable {
        notes.push("Disable some micro-steps since the filesystem is not supported by the deployment environment".into());
    }
    if whole_disk {
        notes.push("Deploying on block device, disable format micro-steps".into());
    }
    let partitions = cluster.partitioning.partitions.as_ref();
    let swap = partitions.and_then(|all| all.swap.as_ref()).filter(|_| !cluster.disables_swap());
    let other = |part: &Part| match part {
        Part::Number(number) => *number > 0 && *number != i64::from(target.partition_number),
        Part::Label(_) => {
            Target::partition_of(&target.device, partition(cluster, part)) != target.partition
        }
    };
    Ok(Facts {
        image: Some(kind),
        whole_disk,
        mountable,
        keys: request.ssh_authorized_keys.is_some(),
        no_partitioning: request.disable_disk_partitioning,
        tmp: target.reformat_tmp.is_some() && partitions.is_some_and(|all| other(&all.tmp)),
        swap: environment.os == OsKind::Linux && swap.is_some_and(other),
        no_bootloader: request.disable_bootloader_install,
        multipart: environment.multipart,
        store_first: !cluster.localops.broadcastenv.decompress,
        vlan: request.vlan.is_some(),
        drivers: !cluster.boot.kernels.deploy.drivers.0.is_empty(),
        pre_install: environment.preinstall.is_some() || !cluster.preinstall.files.is_empty(),
        admin_post_install: !cluster.postinstall.files.is_empty(),
        user_post_install: environment.postinstalls.is_some(),
    })
}

/// Whether the network loader starts installed kernels itself, so that the disks of a cluster
/// and of these nodes of it need none: GRUB does, but for UEFI nodes, where it goes on to the
/// loader of the disk.
pub(super) fn starts_kernels(config: &Config, cluster: &Cluster, nodes: &[Arc<Node>]) -> bool {
    config.server.pxe.localboot.method == Method::GrubPxe
        && cluster.nodes.iter().all(|node| node.firmware == config::Firmware::Bios)
        && nodes.iter().all(|node| node.firmware == Firmware::Bios)
}
