//! What the steps of one workflow share.

use super::ledger::{Ledger, Memory};
use crate::{
    environments::Environment,
    nodes::Node,
    platform::{Ports, Reach},
};
use automata::NodeId;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tokio::sync::Semaphore;

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
    /// What is remembered of the nodes.
    pub(super) memory: Mutex<Memory>,
}

/// What the steps take from the configuration of the server and of the cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// The administrator's post-install archives, on the server.
    pub post_installs: Vec<crate::environments::Archive>,
    /// Kernel of the deployment system, below the boot repository.
    pub deploy_kernel: String,
    /// Its initial ramdisk.
    pub deploy_initrd: String,
    /// Its command line.
    pub deploy_params: String,
    /// Command line of installed systems.
    pub user_params: String,
    /// Partition numbers; `none` where there is no swap.
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
}

impl Target {
    /// The name of partition `number` of `device`: `/dev/sda3`, `/dev/nvme0n1p3`.
    pub fn partition_of(device: &str, number: impl std::fmt::Display) -> String {
        let p = if device.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
        format!("{device}{p}{number}")
    }
}

/// Files of one operation, as they lie on the server.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The image.
    pub image: PathBuf,
    /// The environment's post-install archives, in its order.
    pub post_installs: Vec<PathBuf>,
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
        let memory = Mutex::default();
        Self { wid, nodes, ports, settings, target, files, windows, journalist, ledger, memory }
    }

    /// The files of the operation; none before they are grabbed.
    pub(super) fn files(&self) -> Files {
        self.files.get().cloned().unwrap_or_default()
    }

    /// The node behind an id.
    pub(super) fn node(&self, id: NodeId) -> &Arc<Node> {
        &self.nodes[id.index()]
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
