//! `kadence reload`: the configuration takes effect as it is now.

use super::Failure;
use crate::{
    client::{Client, Printer, tell},
    types::Reloaded,
};
use automata::ranges;
use clap::Args;
use reqwest::Method;
use serde_json::json;
use std::process::ExitCode;

/// Arguments of `reload`.
#[derive(Debug, Args)]
#[command(
    after_help = "All of it takes effect, or nothing does: a mistake and a key whose change needs a restart are \
told, and nothing changes. Operations that run keep what they began with. \
A file that has changed is loaded by itself after half a second, as SIGHUP does.\n\nExample:\n  kadence reload"
)]
pub(super) struct ReloadArgs {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl ReloadArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        let done: Reloaded = client.send(Method::POST, "/reload", &json!({})).await?;
        done.notices.iter().for_each(|notice| tell(notice));
        Printer { json: self.json }.answer(&done, || text(&done))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn text(done: &Reloaded) -> String {
    let Reloaded { changed, nodes, added, removed, .. } = done;
    if !changed {
        return format!("nothing has changed: {nodes} nodes\n");
    }
    let list = |what: &str, names: &[String]| match names {
        [] => String::new(),
        names => format!(", {what} {}", ranges::fold(names.iter().map(String::as_str))),
    };
    format!("in effect: {nodes} nodes{}{}\n", list("new:", added), list("gone:", removed))
}
