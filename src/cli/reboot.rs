//! `kadence reboot`: nodes booted anew.

use super::{
    Failure,
    deploy::keys,
    operation::{NodeArgs, RunArgs, Started},
    power::LevelArg,
    profile::ProfileArgs,
    recorded::RecordedArgs,
};
use crate::{
    client::{Client, Export},
    types::{Kind, RebootKind, RebootRequest},
};
use clap::{Args, ValueEnum};
use reqwest::Method;
use std::process::ExitCode;

/// Arguments of `reboot`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence reboot -m node-1 -r deploy_env -k\n  \
        kadence reboot -m node-1 -r recorded_env -e debian -p 3\n  \
        kadence reboot -m node-1 -r set_pxe -w my.profile")]
pub(super) struct RebootArgs {
    #[command(flatten)]
    nodes: NodeArgs,
    /// What to boot.
    #[arg(short = 'r', long, value_enum, default_value_t = KindArg::Simple)]
    reboot_kind: KindArg,
    /// How hard to begin.
    #[arg(short = 'l', long = "op-level", value_enum)]
    level: Option<LevelArg>,
    /// Public keys that may log in to the deployment system; without a value
    /// your `~/.ssh/authorized_keys`.
    #[arg(short = 'k', long, value_name = "KEYFILE", num_args = 0..=1, default_missing_value = "")]
    key: Option<String>,
    /// Bound of the reboot, seconds.
    #[arg(long, value_name = "SECONDS")]
    reboot_classical_timeout: Option<String>,
    #[command(flatten)]
    installed: InstalledArgs,
    #[command(flatten)]
    profile: ProfileArgs,
    #[command(flatten)]
    run: RunArgs,
}

/// What is installed on the nodes, for `recorded_env`.
#[derive(Debug, Args)]
struct InstalledArgs {
    #[command(flatten)]
    environment: RecordedArgs,
    /// The partition where it is, for `recorded_env`.
    #[arg(short = 'p', long, value_name = "PARTITION")]
    partition_number: Option<String>,
    /// The disk where it is, instead of the cluster's.
    #[arg(short = 'b', long, value_name = "DEVICE")]
    block_device: Option<String>,
    /// Leave out nodes on which an environment is that must not be booted again.
    #[arg(short = 'c', long)]
    check_destructive: bool,
}

/// What a reboot boots.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum KindArg {
    /// Whatever the node boots now.
    Simple,
    /// The deployment system.
    DeployEnv,
    /// A boot profile of your own: -w.
    SetPxe,
    /// An environment that is installed already: -e and -p.
    RecordedEnv,
}

impl From<KindArg> for RebootKind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Simple => Self::Simple,
            KindArg::DeployEnv => Self::DeployEnv,
            KindArg::SetPxe => Self::SetPxe,
            KindArg::RecordedEnv => Self::RecordedEnv,
        }
    }
}

impl RebootArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        let (kind, method, args) = (Kind::Reboot, Method::POST, &self.run);
        let mut files = Export::default();
        let mut request = RebootRequest {
            common: args.common(&self.nodes, &mut files)?,
            kind: Some(self.reboot_kind.into()),
            level: self.level.map(Into::into),
            ssh_authorized_keys: keys(self.key.as_deref(), &mut files)?,
            timeout_reboot_classical: self.reboot_classical_timeout.clone(),
            pxe: self.profile.choice(&mut files)?,
            vlan: self.profile.vlan.clone(),
            environment: self.installed.environment.choice(),
            block_device: self.installed.block_device.clone(),
            deploy_partition: self.installed.partition_number.clone(),
            check_destructive: self.installed.check_destructive,
        };
        // Within reach of the service until this function ends.
        let _export = args.serve(files, &mut request.common).await?;
        let request = &request;
        Box::pin(Started { client, args, kind, method, request }.run()).await
    }
}
