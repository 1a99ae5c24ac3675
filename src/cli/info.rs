//! `kadence info`: what the service is and offers.

use super::{Failure, table::lines};
use crate::client::{Client, Printer};
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Arguments of `info`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence info --server http://kadence.example.org:25300")]
pub(super) struct InfoArgs {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl InfoArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        let version = client.text("/version").await?;
        let info: Value = client.get("/info", &[]).await?;
        let told = json!({"version": version.trim(), "info": info});
        Printer { json: self.json }.answer(&told, || text(version.trim(), &info))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn text(version: &str, info: &Value) -> String {
    let words = |value: &Value| {
        let list = value.as_array().into_iter().flatten();
        list.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    let mut text = vec![format!("version {version}")];
    if let Some(damage) = info["damage"].as_str() {
        text.push(format!("nothing can be changed: {damage}"));
    }
    text.push(format!("boot method {}", info["pxe"].as_str().unwrap_or_default()));
    for (cluster, steps) in info["automata"].as_object().into_iter().flatten() {
        text.push(format!("cluster {cluster}"));
        for (step, ways) in steps.as_object().into_iter().flatten() {
            let ways = ways.as_array().into_iter().flatten();
            let ways = ways.filter_map(|way| way["name"].as_str()).collect::<Vec<_>>().join(", ");
            text.push(format!("  {step:<18} {ways}"));
        }
        text.push(format!("  {:<18} {}", "filesystems", words(&info["supported_fs"][cluster])));
    }
    lines(text)
}
