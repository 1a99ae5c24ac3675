//! The steps of a typical deployment, for people to look at.

use super::{around::Around, order};
use crate::{
    environments::{Boot, Compression, Environment, Image, ImageKind, OsKind, Visibility},
    types::{DeployRequest, Problem},
    workflows,
};
use automata::Plan;
use config::{Cluster, Config};

/// The plan of deploying a tar image with the user's keys on `cluster`; its steps do nothing.
///
/// # Errors
/// What a request would get as well: steps that do not exist yet, no deploy partition.
pub fn outline(config: &Config, cluster: &Cluster) -> Result<Plan, Problem> {
    let request =
        DeployRequest { ssh_authorized_keys: Some(String::new()), ..DeployRequest::default() };
    let environment = typical(cluster);
    let around = Around::default();
    let order = order::deploy(config, cluster, Vec::new(), &request, &environment, &around)?;
    workflows::outline(order.wish).map_err(|error| order::unplannable(&error))
}

/// A Linux in a tar archive, on a filesystem that the cluster's deployment system knows.
pub(crate) fn typical(cluster: &Cluster) -> Environment {
    let filesystem = cluster.boot.kernels.deploy.supported_fs.0.first();
    Environment {
        name: "typical".into(),
        version: 1,
        description: String::new(),
        author: String::new(),
        visibility: Visibility::Private,
        destructive: false,
        os: OsKind::Linux,
        image: Image {
            file: String::new(),
            kind: ImageKind::Tar,
            compression: Compression::Gzip,
            sha256: None,
        },
        preinstall: None,
        postinstalls: None,
        boot: Boot::default(),
        filesystem: filesystem.cloned().unwrap_or_default(),
        partition_type: 0x83,
        multipart: false,
        partitions: Vec::new(),
        arch: None,
        unused: Vec::new(),
    }
}
