//! `kadence serve`: the service.

use super::{ConfigDir, Failure};
use clap::Args;
use config::Mistakes;
use std::process::ExitCode;

/// Arguments of `serve`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence serve --config-dir /etc/kadeploy3")]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigDir,
    /// Write the log as JSON, one object a line.
    #[arg(long)]
    pub(super) log_json: bool,
}

impl ServeArgs {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match Box::pin(crate::server::run(&self.config.config_dir)).await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => Err(match error.downcast::<Mistakes>() {
                Ok(mistakes) => Failure::Mistakes(mistakes),
                Err(error) => Failure::Service(error),
            }),
        }
    }
}
