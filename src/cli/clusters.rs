//! `kadence clusters`: what the site's clusters are called.

use super::{Failure, table::lines};
use crate::client::{Client, Printer};
use clap::Args;
use std::process::ExitCode;

/// Arguments of `clusters`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence clusters --json\n\n\
        `kadence info` tells the steps and filesystems of each, `kadence nodes` its nodes.")]
pub(super) struct ClustersArgs {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl ClustersArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        let clusters: Vec<String> = client.get("/clusters", &[]).await?;
        Printer { json: self.json }.answer(&clusters, || lines(&clusters))?;
        Ok(ExitCode::SUCCESS)
    }
}
