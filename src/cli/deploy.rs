//! `kadence deploy`: an environment on nodes.

mod automata;
pub(super) mod environment;

pub(crate) use automata::parse as forced_steps;

use super::{
    Failure,
    operation::{NodeArgs, RunArgs, Started},
    profile::ProfileArgs,
};
use crate::{
    client::{Client, Export, tell},
    environments::FileRef,
    types::{DeployRequest, Kind},
};
use clap::Args;
use environment::EnvironmentArgs;
use reqwest::Method;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Arguments of `deploy`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kadence deploy -a debian.yaml -m 'node-[1-3]' -k ~/.ssh/id_ed25519.pub"
)]
pub(super) struct DeployArgs {
    #[command(flatten)]
    environment: EnvironmentArgs,
    #[command(flatten)]
    nodes: NodeArgs,
    /// Public keys that may log in as root; without a value your `~/.ssh/authorized_keys`.
    #[arg(short = 'k', long, value_name = "KEYFILE", num_args = 0..=1, default_missing_value = "")]
    key: Option<String>,
    /// Partition to install on, instead of the cluster's.
    #[arg(short = 'p', long, value_name = "PARTITION")]
    partition_number: Option<String>,
    /// Disk to install on, instead of the cluster's; without -p the whole disk is written.
    #[arg(short = 'b', long, value_name = "DEVICE")]
    block_device: Option<String>,
    /// Partition to boot, where a whole disk is written; 0 is its boot sector.
    #[arg(short = 'c', long, value_name = "BOOT_PARTITION")]
    boot_partition: Option<u32>,
    /// Boot through the firmware, not from kernel to kernel.
    #[arg(long)]
    no_kexec: bool,
    /// Leave the boot loader alone.
    #[arg(long)]
    disable_bootloader_install: bool,
    /// Leave the partition table alone.
    #[arg(long)]
    disable_disk_partitioning: bool,
    /// Make this filesystem on the tmp partition.
    #[arg(short = 'r', long, value_name = "FSTYPE")]
    reformat_tmp: Option<String>,
    /// Bound of a boot through the firmware, seconds.
    #[arg(long, value_name = "SECONDS")]
    reboot_classical_timeout: Option<String>,
    /// Bound of a boot from kernel to kernel, seconds.
    #[arg(long, value_name = "SECONDS")]
    reboot_kexec_timeout: Option<String>,
    /// Ways instead of the cluster's:
    /// 'SetDeploymentEnv|Untrusted:RETRIES:TIMEOUT,...&BroadcastEnv|...&BootNewEnv|...'.
    #[arg(long, value_name = "STRING", value_parser = automata::parse)]
    force_steps: Option<crate::types::AutomataOverride>,
    /// Stop before this step, `Macro` or `Macro:micro`; the nodes wait there.
    #[arg(long, value_name = "STEP")]
    breakpoint: Option<String>,
    #[command(flatten)]
    profile: ProfileArgs,
    #[command(flatten)]
    run: RunArgs,
}

impl DeployArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        let mut export = Export::default();
        let mut request = self.request(client, &mut export).await?;
        // Within reach of the service until this function ends.
        let _export = self.run.serve(export, &mut request.common).await?;
        if self.breakpoint.is_some() {
            tell(
                "nodes that reach the breakpoint wait there: `kadence continue WID` lets them go on, `kadence abort WID` gives them up",
            );
        }
        let (kind, method, request, args) = (Kind::Deploy, Method::POST, &request, &self.run);
        Box::pin(Started { client, args, kind, method, request }.run()).await
    }

    async fn request(
        &self,
        client: &Client,
        export: &mut Export,
    ) -> Result<DeployRequest, Failure> {
        let mut common = self.run.common(&self.nodes, export)?;
        common.breakpoint.clone_from(&self.breakpoint);
        common.keep = true;
        Ok(DeployRequest {
            common,
            environment: Some(self.environment.choice(client, export).await?),
            ssh_authorized_keys: keys(self.key.as_deref(), export)?,
            block_device: self.block_device.clone(),
            deploy_partition: self.partition_number.clone(),
            boot_partition: self.boot_partition,
            disable_bootloader_install: self.disable_bootloader_install,
            disable_disk_partitioning: self.disable_disk_partitioning,
            disable_kexec: self.no_kexec,
            reformat_tmp_partition: self.reformat_tmp.clone(),
            timeout_reboot_classical: self.reboot_classical_timeout.clone(),
            timeout_reboot_kexec: self.reboot_kexec_timeout.clone(),
            automata: self.force_steps.clone(),
            pxe: self.profile.choice(export)?,
            vlan: self.profile.vlan.clone(),
        })
    }
}

/// The file of public keys as the request names it; empty means the user's own.
pub(super) fn keys(given: Option<&str>, export: &mut Export) -> Result<Option<String>, Failure> {
    let path: PathBuf = match given {
        None => return Ok(None),
        Some("") => {
            let home = std::env::home_dir().ok_or_else(|| {
                Failure::usage("where your keys are is not known", "name the file: -k KEYFILE")
            })?;
            home.join(".ssh/authorized_keys")
        }
        Some(text) => match FileRef::parse(text)? {
            FileRef::Client(path) => Path::new(&path).to_owned(),
            other => return Ok(Some(other.to_string())),
        },
    };
    Ok(Some(export.add(&path)?))
}
