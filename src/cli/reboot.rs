//! `kadence reboot`: nodes booted anew.

use super::{
    Failure,
    deploy::keys,
    operation::{NodeArgs, RunArgs, Started},
    power::LevelArg,
    profile::ProfileArgs,
};
use crate::{
    client::{Client, Export},
    types::{EnvironmentChoice, Kind, RebootKind, RebootRequest},
};
use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value};
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
    recorded: RecordedArgs,
    #[command(flatten)]
    profile: ProfileArgs,
    #[command(flatten)]
    run: RunArgs,
}

/// What is installed on the nodes, for `recorded_env`.
#[derive(Debug, Args)]
struct RecordedArgs {
    /// The recorded environment that is installed, for `recorded_env`.
    #[arg(short = 'e', long, value_name = "NAME")]
    env_name: Option<String>,
    /// Its version; without it the newest.
    #[arg(long, value_name = "N", requires = "env_name")]
    env_version: Option<u32>,
    /// Its owner; without it you, or anybody who made it public.
    #[arg(short = 'u', long, value_name = "USER", requires = "env_name")]
    env_user: Option<String>,
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

impl RecordedArgs {
    fn choice(&self) -> Option<EnvironmentChoice> {
        let name = self.env_name.clone()?;
        let mut fields = Map::from_iter([("name".to_owned(), Value::from(name))]);
        fields.extend(self.env_version.map(|version| ("version".to_owned(), version.into())));
        Some(EnvironmentChoice {
            kind: Some("database".into()),
            user: self.env_user.clone(),
            fields,
        })
    }
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
            common: args.common(&self.nodes)?,
            kind: Some(self.reboot_kind.into()),
            level: self.level.map(Into::into),
            ssh_authorized_keys: keys(self.key.as_deref(), &mut files)?,
            timeout_reboot_classical: self.reboot_classical_timeout.clone(),
            pxe: self.profile.choice(&mut files)?,
            vlan: self.profile.vlan.clone(),
            environment: self.recorded.choice(),
            block_device: self.recorded.block_device.clone(),
            deploy_partition: self.recorded.partition_number.clone(),
            check_destructive: self.recorded.check_destructive,
        };
        // Within reach of the service until this function ends.
        let export = if files.is_empty() {
            None
        } else {
            args.may_export()?;
            Some(files.serve().await?)
        };
        request.common.client = export.as_ref().map(|export| export.url.clone());
        let request = &request;
        Box::pin(Started { client, args, kind, method, request }.run()).await
    }
}
