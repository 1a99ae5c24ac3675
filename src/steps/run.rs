//! What the steps of one workflow share.

use super::ledger::{Ledger, Memory};
use crate::{
    environments::{Archive, Environment},
    nodes::Node,
    platform::{Ports, Reach, SiteCommand, Torrent},
};
use automata::NodeId;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// One cluster's part of an operation, as its steps see it.
pub struct Run {
    /// Id of the operation.
    pub wid: String,
    /// Its nodes; a [`NodeId`] is an index.
    pub nodes: Vec<Arc<Node>>,
    /// The machines.
    pub ports: Ports,
    /// What the configuration says, taken once at the start.
    pub settings: Settings,
    /// What is installed; none for reboots and power.
    pub target: Option<Target>,
    /// Files of this operation, on the server; known once they are grabbed.
    pub files: Arc<OnceLock<Files>>,
    /// Server-wide limits.
    pub windows: Arc<Windows>,
    /// Where messages, progress and outputs go.
    pub journalist: Arc<dyn Journalist>,
    /// Where notes are kept that must survive a restart.
    pub ledger: Arc<dyn Ledger>,
    /// Cancelled when the service stops and the operation goes on when it is started again.
    pub suspended: CancellationToken,
    /// What is remembered of the nodes.
    pub(super) memory: Mutex<Memory>,
}

/// What the steps take from the configuration of the server and of the cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Name of the cluster.
    pub cluster: String,
    /// Port of ssh.
    pub ssh_port: u16,
    /// Port that is open only in the deployment system.
    pub marker_port: u16,
    /// A node without any proof of its reboot fails.
    pub require_reboot_proof: bool,
    /// Upper bound of the pause before the first liveness test.
    pub sleep_before_ping: Duration,
    /// Where the image is mounted and unpacked in the deployment system.
    pub extraction_dir: String,
    /// Where archives are unpacked there.
    pub rambin_dir: String,
    /// Further options of every `tar`.
    pub tar_options: String,
    /// Further options of `mkfs`, by filesystem.
    pub mkfs_options: HashMap<String, String>,
    /// Bytes a command may print on each stream.
    pub output_limit: usize,
    /// The administrator's partitioning script, on the server.
    pub partition_script: PathBuf,
    /// The administrator's boot loader script, on the server.
    pub bootloader_script: PathBuf,
    /// The administrator's pre-install archives, on the server.
    pub pre_installs: Vec<Archive>,
    /// The administrator's post-install archives, on the server.
    pub post_installs: Vec<Archive>,
    /// Program that makes the filesystem of the deploy partition, on the server.
    pub format_script: Option<PathBuf>,
    /// Program run on nodes that came into the deployment system, on the server.
    pub startup_script: Option<PathBuf>,
    /// Modules that the deployment system loads.
    pub drivers: Vec<String>,
    /// Images are stored on the nodes before they are unpacked.
    pub store_first: bool,
    /// The site's own broadcast.
    pub broadcast: SiteCommand,
    /// How torrents are used, where they are.
    pub torrent: Option<Torrent>,
    /// Further variables of every script.
    pub variables: BTreeMap<String, String>,
    /// Kernel of the deployment system, below the boot repository.
    pub deploy_kernel: String,
    /// Its initial ramdisk.
    pub deploy_initrd: String,
    /// Its command line.
    pub deploy_params: String,
    /// Both, as they lie on the server.
    pub deploy_files: [PathBuf; 2],
    /// Kernel of the system whose root is on a file server, below the boot repository.
    pub nfsroot_kernel: String,
    /// Its command line.
    pub nfsroot_params: String,
    /// How kernels are started from others.
    pub kexec: KexecSettings,
    /// The network that nodes are moved to.
    pub vlan: Option<Vlan>,
    /// The user's own boot profile.
    pub profile: Option<UserProfile>,
    /// Names of the nodes that may go to the deployment system without their firmware.
    pub trusted: BTreeSet<String>,
    /// The partition whose system is trusted with [`Micro::CheckNodes`](super::Micro).
    pub prod_partition: String,
    /// Command line of installed systems.
    pub user_params: String,
    /// Numbers that loaders know disks by which nodes know by their places.
    pub disk_numbers: BTreeMap<String, u32>,
    /// Partitions by number or label, or `LABEL@disk`; `none` where there is no swap.
    pub swap: String,
    /// The production system's.
    pub prod: String,
    /// The tmp partition's.
    pub tmp: String,
    /// Bound of a boot through the firmware.
    pub boot_limit: Duration,
    /// A node whose disk was written to is switched off when its deployment is cancelled.
    pub off_after_cancel: bool,
}

/// How kernels are started from others.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KexecSettings {
    /// Where nodes keep the kernel of the deployment system.
    pub repository: String,
    /// Program run on nodes in place of ours, on the server.
    pub script: Option<PathBuf>,
    /// Command of the server before; `true` is none.
    pub before: String,
}

/// A network that nodes are moved to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Vlan {
    /// Its id.
    pub id: String,
    /// Who asks.
    pub user: String,
    /// The site's command.
    pub command: String,
    /// Where nodes answer there, by name.
    pub addresses: BTreeMap<String, Ipv4Addr>,
}

/// A boot profile of a user's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UserProfile {
    /// Its text.
    pub text: String,
    /// Whose it is.
    pub user: String,
    /// What `NODE_SINGULARITY` stands for, by node; nothing is put in where there are none.
    pub singularities: BTreeMap<String, String>,
}

/// What goes where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// What is installed.
    pub environment: Environment,
    /// The disk, `/dev/sda`.
    pub device: String,
    /// The partition written to, `/dev/sda3`; the disk itself for whole-disk images.
    pub partition: String,
    /// Its number.
    pub partition_number: u32,
    /// The partition to boot; 0: the disk's boot sector.
    pub boot_partition: u32,
    /// Filesystem to make on the tmp partition.
    pub reformat_tmp: Option<String>,
    /// What else a right on the partition may call it, as files and requests name it.
    #[serde(default)]
    pub also: Vec<String>,
}

impl Target {
    /// The filesystems of an fsarchiver archive by number, with the partitions they go to.
    pub(super) fn parts(&self) -> Vec<(i64, String)> {
        let parts = &self.environment.partitions;
        if self.environment.multipart {
            return parts.iter().map(|one| (one.id, one.device.clone())).collect();
        }
        vec![(parts.first().map_or(0, |one| one.id), self.partition.clone())]
    }

    /// What a kernel is told that its root filesystem is on; none where only what runs on the node
    /// knows that: of a label, of a disk id, and without a ramdisk of a place on a bus.
    pub fn root(&self) -> Option<String> {
        let place = self.device.starts_with("/dev/disk/");
        let known =
            self.device.starts_with('/') && (!place || !self.environment.boot.initrd.is_empty());
        (known && self.partition_number > 0)
            .then(|| Self::partition_of(&self.device, self.partition_number))
    }

    /// The name of a partition of `device` by number or label: `/dev/sda3`, `/dev/nvme0n1p3`,
    /// `disk0#3`, `PROD@/dev/sda`; one that names its disk is that.
    pub fn partition_of(device: &str, part: impl std::fmt::Display) -> String {
        let number = part.to_string();
        if number.contains('@') {
            return number;
        }
        if number.parse::<i64>().is_err() {
            return format!("{number}@{device}");
        }
        if !device.starts_with('/') {
            return format!("{device}#{number}");
        }
        if device.starts_with("/dev/disk/by-path/") {
            return format!("{device}-part{number}");
        }
        let p = if device.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
        format!("{device}{p}{number}")
    }
}

/// Files of one operation, as they lie on the server.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The image.
    pub image: PathBuf,
    /// The environment's pre-install archive.
    pub pre_install: Option<PathBuf>,
    /// The environment's post-install archives, in its order.
    pub post_installs: Vec<PathBuf>,
    /// Files of the user's own operations, by reference.
    pub custom: BTreeMap<String, PathBuf>,
    /// The user's public keys.
    pub key: Option<PathBuf>,
}

/// Server-wide limits on what happens at once.
#[derive(Debug)]
pub struct Windows {
    /// Reboot and power orders.
    pub reboot: Semaphore,
    /// Turns and rest of each node and BMC.
    pub turns: super::Turns,
    /// Liveness tests.
    pub check: Semaphore,
}

/// Takes note of what happens inside steps.
pub trait Journalist: Send + Sync + 'static {
    /// A message for people; `level` 0 (always) to 5 (every detail).
    fn message(&self, level: u8, text: String);

    /// `written` of `total` bytes of the image are on a node.
    fn progress(&self, node: NodeId, written: u64, total: u64);

    /// A stream between nodes broke while the image came, by `cause`, a word of few.
    fn broken_stream(&self, cause: &'static str, what: &str);

    /// What a node was asked for (power status).
    fn answer(&self, node: NodeId, text: String);

    /// A node is `reboot_in_progress` or `rebooted`.
    fn boot_state(&self, node: NodeId, state: &'static str);

    /// A command ran on a node.
    fn command(&self, node: NodeId, text: &str, status: i32, stdout: &[u8], stderr: &[u8]);
}

impl Run {
    /// A run at its start: nothing is remembered of its nodes.
    #[expect(clippy::too_many_arguments, reason = "one field each; a builder would say it twice")]
    pub fn new(
        wid: String,
        nodes: Vec<Arc<Node>>,
        ports: Ports,
        settings: Settings,
        target: Option<Target>,
        files: Arc<OnceLock<Files>>,
        windows: Arc<Windows>,
        (journalist, ledger): (Arc<dyn Journalist>, Arc<dyn Ledger>),
    ) -> Self {
        let (memory, suspended) = (Mutex::default(), CancellationToken::new());
        Self {
            wid,
            nodes,
            ports,
            settings,
            target,
            files,
            windows,
            journalist,
            ledger,
            suspended,
            memory,
        }
    }

    /// The files of the operation; none before they are grabbed.
    pub(super) fn files(&self) -> Files {
        self.files.get().cloned().unwrap_or_default()
    }

    /// The node behind an id.
    pub(super) fn node(&self, id: NodeId) -> &Arc<Node> {
        &self.nodes[id.index()]
    }

    /// The node behind an id, in the network that it is moved to if `moved`.
    pub(super) fn node_in(&self, id: NodeId, moved: bool) -> Arc<Node> {
        let node = self.node(id);
        let address = self.settings.vlan.as_ref().and_then(|vlan| vlan.addresses.get(&node.name));
        match address.filter(|address| moved && **address != node.address) {
            Some(address) => Arc::new(Node { address: *address, ..Node::clone(node) }),
            None => Arc::clone(node),
        }
    }

    /// The nodes behind a set in the network that they are moved to, if that is another.
    pub(super) fn moved(&self, set: &automata::NodeSet) -> Vec<Arc<Node>> {
        let moved = set.iter().map(|id| self.node_in(id, true));
        moved
            .zip(set.iter())
            .filter(|(node, id)| node.address != self.node(*id).address)
            .map(|(node, _)| node)
            .collect()
    }

    /// The nodes behind a set.
    pub(super) fn members(&self, set: &automata::NodeSet) -> Vec<Arc<Node>> {
        set.iter().map(|id| Arc::clone(self.node(id))).collect()
    }

    /// Tries a port of a node, when there is room for one more test of liveness.
    pub(super) async fn probe(&self, node: &Node, port: u16, within: Duration) -> Reach {
        let _slot = self.windows.check.acquire().await;
        let address = SocketAddr::new(IpAddr::V4(node.address), port);
        self.ports.presence.probe(address, within).await
    }

    /// The names in a set, folded for a message.
    pub(super) fn names(&self, set: &automata::NodeSet) -> String {
        automata::ranges::fold(set.iter().map(|id| self.node(id).name.as_str()))
    }
}
