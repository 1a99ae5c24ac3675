//! Where an environment goes.

use crate::{
    environments::{Environment, ImageKind},
    steps::Target,
    types::{Code, DeployRequest, Problem},
};
use config::Cluster;
use std::path::Path;

/// The disk and the partition that a request means, those of the cluster where it names none.
///
/// # Errors
/// They are no names of such things, or do not go with the image.
pub(super) fn target(
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
