//! `kadence reboot`: nodes booted anew.

use super::{
    Failure,
    deploy::keys,
    operation::{NodeArgs, RunArgs, Started},
    power::LevelArg,
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
#[command(after_help = "Example:\n  kadence reboot -m node-1 -r deploy_env -k")]
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
    run: RunArgs,
}

/// What a reboot boots.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum KindArg {
    /// Whatever the node boots now.
    Simple,
    /// The deployment system.
    DeployEnv,
}

impl RebootArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        let (kind, method, args) = (Kind::Reboot, Method::POST, &self.run);
        let mut files = Export::default();
        let mut request = RebootRequest {
            common: args.common(&self.nodes)?,
            kind: Some(match self.reboot_kind {
                KindArg::Simple => RebootKind::Simple,
                KindArg::DeployEnv => RebootKind::DeployEnv,
            }),
            level: self.level.map(Into::into),
            ssh_authorized_keys: keys(self.key.as_deref(), &mut files)?,
            timeout_reboot_classical: self.reboot_classical_timeout.clone(),
            ..RebootRequest::default()
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
