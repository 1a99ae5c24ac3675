//! `kadence nodes`: the machines and what became of them.

use super::{
    Failure,
    table::{lines, table},
};
use crate::{
    client::{Client, Printer},
    types::NodeInfo,
};
use clap::Args;
use std::{collections::BTreeMap, process::ExitCode};

/// Arguments of `nodes`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence nodes -m 'node-[1-3]'")]
pub(super) struct NodesArgs {
    /// Only these: names and ranges.
    #[arg(short = 'm', long = "machine", value_name = "NODES", num_args = 1..)]
    machines: Vec<String>,
    /// Only their names.
    #[arg(long)]
    list: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl NodesArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        let printer = Printer { json: self.json };
        let mut query = vec![("list", "true")];
        query.extend(self.machines.iter().map(|name| ("nodes", name.as_str())));
        let names: Vec<String> = client.get("/nodes", &query).await?;
        if self.list {
            printer.answer(&names, || lines(&names))?;
            return Ok(ExitCode::SUCCESS);
        }
        // Nodes that were never used are told as well, so the service is asked for all.
        let mut known: BTreeMap<String, Option<NodeInfo>> = client.get("/nodes", &[]).await?;
        let infos: Vec<(String, Option<NodeInfo>)> = names
            .into_iter()
            .map(|name| {
                let info = known.remove(&name).flatten();
                (name, info)
            })
            .collect();
        let document: BTreeMap<_, _> = infos.iter().cloned().collect();
        printer.answer(&document, || text(&infos))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn text(infos: &[(String, Option<NodeInfo>)]) -> String {
    let mut rows = vec![["NODE", "STATE", "USER", "ENVIRONMENT"].map(str::to_owned).to_vec()];
    for (name, info) in infos {
        let mut row = vec![name.clone()];
        match info {
            None => row.push("never used".into()),
            Some(info) => row.extend([
                info.state.clone(),
                info.user.clone().unwrap_or_default(),
                environment(info),
            ]),
        }
        rows.push(row);
    }
    table(&rows)
}

fn environment(info: &NodeInfo) -> String {
    let Some(environment) = &info.environment else { return String::new() };
    let (Some(name), Some(version)) = (&environment.name, environment.version) else {
        return String::new();
    };
    let user = environment.user.as_deref().map(|user| format!(" of {user}"));
    format!("{name} {version}{}", user.unwrap_or_default())
}
