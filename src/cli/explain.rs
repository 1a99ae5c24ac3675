//! `kadence explain`: why a node is where it is.

use super::{Failure, table::lines};
use crate::{
    client::{Client, Printer},
    types::{Explanation, Seen},
};
use clap::Args;
use std::{process::ExitCode, time::Duration};
use url::form_urlencoded::byte_serialize;

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(
    after_help = "The node is looked at for that: its BMC and its ports are asked.\n\nExample:\n  kadence explain node-1"
)]
pub(super) struct ExplainArgs {
    /// The node.
    node: String,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl ExplainArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        let node: String = byte_serialize(self.node.as_bytes()).collect();
        let path = format!("/nodes/{node}/explain");
        let told: Explanation = client.get(&path, &[]).await?;
        Printer { json: self.json }.answer(&told, || text(&told))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn text(told: &Explanation) -> String {
    let Explanation { node, operation, waits_for, seen, error, cause, next, .. } = told;
    let mut facts = vec![node.clone()];
    let mut fact = |what: &str, text: String| facts.push(format!("  {what:<14} {text}"));
    if let Some(operation) = operation {
        let state = if operation.done { "has ended" } else { "runs" };
        fact("operation", format!("{} of {}, {state}", operation.wid, operation.user));
    }
    if let Some(waits_for) = waits_for {
        fact("waits for", waits_for.clone());
        fact("since", ago(told.since.unwrap_or_default()));
        let left = told.until.map_or("no limit of its own".to_owned(), |left| time(left) + " left");
        fact("until", left);
    }
    let Seen { power, ssh, deployment_system, request } = seen;
    fact("power", power.clone());
    fact("ports", format!("ssh {ssh}, deployment system {deployment_system}"));
    let request = request
        .as_ref()
        .map(|asked| format!("{} {}, {}", asked.server.to_uppercase(), asked.what, ago(asked.ago)));
    fact("last request", request.unwrap_or("none since the service was started".to_owned()));
    if let Some(error) = error {
        fact("last error", error.clone());
    }
    fact("likely cause", cause.clone());
    for (index, step) in next.iter().enumerate() {
        fact(if index == 0 { "next" } else { "" }, step.clone());
    }
    lines(facts)
}

fn time(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

fn ago(seconds: u64) -> String {
    time(seconds) + " ago"
}
