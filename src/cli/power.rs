//! `kadence power`: nodes switched on or off, or asked.

use super::{
    Failure,
    operation::{NodeArgs, RunArgs, Started},
};
use crate::{
    client::{Client, Export},
    platform::Level,
    types::{Kind, PowerRequest},
};
use clap::{Args, ValueEnum};
use reqwest::Method;
use std::process::ExitCode;

/// Arguments of `power`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence power status -m 'node-[1-3]'")]
pub(super) struct PowerArgs {
    /// What to do.
    #[arg(value_enum)]
    action: Action,
    #[command(flatten)]
    nodes: NodeArgs,
    /// How hard to begin.
    #[arg(short = 'l', long = "op-level", value_enum)]
    level: Option<LevelArg>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Switch on.
    On,
    /// Switch off.
    Off,
    /// Ask.
    Status,
}

/// How hard an operation begins.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum LevelArg {
    /// Ask the running system.
    Soft,
    /// Ask the BMC.
    Hard,
    /// Cut the power.
    VeryHard,
}

impl From<LevelArg> for Level {
    fn from(level: LevelArg) -> Self {
        match level {
            LevelArg::Soft => Self::Soft,
            LevelArg::Hard => Self::Hard,
            LevelArg::VeryHard => Self::VeryHard,
        }
    }
}

impl PowerArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        if self.action == Action::Status && self.level.is_some() {
            let text = "asking has no level of force";
            return Err(Failure::usage(text, "leave --op-level out, or use on or off"));
        }
        let status = match self.action {
            Action::On => "on",
            Action::Off => "off",
            Action::Status => "status",
        };
        let (kind, method, args) = (Kind::Power, Method::PUT, &self.run);
        let mut files = Export::default();
        let mut request = PowerRequest {
            common: args.common(&self.nodes, &mut files)?,
            status: Some(status.into()),
            level: self.level.map(Into::into),
        };
        // Within reach of the service until this function ends.
        let _export = args.serve(files, &mut request.common).await?;
        let request = &request;
        Box::pin(Started { client, args, kind, method, request }.run()).await
    }
}
