//! `kadence serve`: the service.

use super::{ConfigDir, Failure, store::DAMAGED};
use crate::server::{AtStop, Served};
use clap::Args;
use config::Mistakes;
use std::process::ExitCode;

/// Arguments of `serve`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence serve --config-dir /etc/kadeploy3\n\n\
        A damaged state is served as far as it can be read: every change is refused until it was\n\
        repaired. Exit code: 0 it was stopped; 2 it was stopped, and its state is damaged; 1 it could\n\
        not run.")]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigDir,
    /// Write the log as JSON, one object a line.
    #[arg(long)]
    pub(super) log_json: bool,
    /// End the operations that run when the service is stopped, their nodes aborted; otherwise
    /// they go on when it is started again.
    #[arg(long)]
    abort_on_stop: bool,
}

impl ServeArgs {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let at_stop = if self.abort_on_stop { AtStop::Abort } else { AtStop::Suspend };
        match Box::pin(crate::server::run(&self.config.config_dir, at_stop)).await {
            Ok(Served::All) => Ok(ExitCode::SUCCESS),
            Ok(Served::Rest) => Ok(ExitCode::from(DAMAGED)),
            Err(error) => Err(match error.downcast::<Mistakes>() {
                Ok(mistakes) => Failure::Mistakes(mistakes),
                Err(error) => Failure::Service(error),
            }),
        }
    }
}
