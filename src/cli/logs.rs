//! `kadence logs`: the messages of an operation.

use super::{Failure, control::followed, table::lines};
use crate::client::{Client, DataLines, Printer, follow};
use clap::Args;
use serde_json::json;
use std::process::ExitCode;

/// Arguments of `logs`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence logs D-6a1f7e52-0a4c-4c1e-9d5e-7f3a1f0b9c11 --follow")]
pub(super) struct LogsArgs {
    /// Id of the operation.
    wid: String,
    /// Go on until it has ended.
    #[arg(long)]
    follow: bool,
    /// Print one JSON document (with --follow at the end).
    #[arg(long)]
    json: bool,
}

impl LogsArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        let followed = followed(&self.wid)?;
        if self.follow && self.json {
            follow(client, &followed, &mut Silent).await?;
        } else if self.follow {
            follow(client, &followed, &mut DataLines).await?;
            return Ok(ExitCode::SUCCESS);
        }
        let page = client.logs(followed.kind, &followed.wid, 0).await?;
        let document = || page.lines.iter().map(|(at, text)| json!({"at": at, "text": text}));
        let text = || lines(page.lines.iter().map(|(_, text)| text));
        Printer { json: self.json }.answer(&document().collect::<Vec<_>>(), text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Only waits.
struct Silent;

impl crate::client::View for Silent {
    fn line(&mut self, _text: &str) {}
}
