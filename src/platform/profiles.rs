//! The boot-profile port: what a node boots next.

use super::Variables;
use crate::nodes::Node;
use std::{collections::BTreeMap, sync::Arc};

/// What a node's boot loader is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootChoice {
    /// Boot a kernel from the network.
    Network {
        /// Path of the kernel in the boot repository.
        kernel: String,
        /// Path of the initial ramdisk; none for a root on NFS.
        initrd: Option<String>,
        /// Kernel command line.
        params: String,
    },
    /// Do what a user's own profile says.
    Custom {
        /// Its text.
        text: String,
        /// Whose it is: `FILES_PREFIX` stands for where that user's files are.
        user: String,
        /// What `NODE_SINGULARITY` stands for, by node.
        singularities: BTreeMap<String, String>,
    },
    /// Boot what is installed.
    Local(LocalBoot),
}

/// What is installed, for boot loaders that start it themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalBoot {
    /// `linux`, `xen` or `other`.
    pub os: &'static str,
    /// Number of the disk, from 0.
    pub disk: u32,
    /// Number of the partition to boot; 0: the disk's own boot sector.
    pub partition: u32,
    /// The partition that holds the root file system, `/dev/sda3`; empty with `other`.
    pub root: String,
    /// Path of the kernel on the partition.
    pub kernel: String,
    /// Path of the initial ramdisk on the partition; may be empty.
    pub initrd: String,
    /// Kernel command line.
    pub params: String,
    /// Path of the hypervisor on the partition; empty without one.
    pub hypervisor: String,
    /// Command line of the hypervisor.
    pub hypervisor_params: String,
}

/// A profile that could not be made or stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no boot profile for {node}: {why}")]
pub struct ProfileError {
    /// For which node.
    pub node: String,
    /// What was wrong.
    pub why: String,
}

/// Says what nodes boot next.
#[async_trait::async_trait]
pub trait BootProfiles: Send + Sync + 'static {
    /// Gives each of `nodes` a profile for `choice`; all or, at an error, the first ones. A
    /// program of the site's that does it is told `variables`.
    async fn write(
        &self,
        nodes: &[Arc<Node>],
        choice: &BootChoice,
        variables: &Variables,
    ) -> Result<(), ProfileError>;

    /// Takes the profiles of `nodes` away: they boot what is on their disks.
    async fn clear(&self, nodes: &[Arc<Node>]) -> Result<(), ProfileError>;
}
