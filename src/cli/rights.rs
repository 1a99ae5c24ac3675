//! `kadence rights`: who may deploy where.

use super::{Failure, table::table};
use crate::{
    client::{Client, Printer},
    operations::rights::Table,
};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Arguments of `rights`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence rights add anna -m 'node-[1-3]' -p /dev/sda3")]
pub(super) struct RightsArgs {
    #[command(subcommand)]
    verb: RightsVerb,
    /// Print one JSON document.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum RightsVerb {
    /// Show the rights of a user, or of all.
    #[command(after_help = "Example:\n  kadence rights list anna")]
    List {
        /// Whose.
        #[arg(value_name = "USER")]
        whom: Option<String>,
    },
    /// Give rights: on all nodes and all partitions, unless some are named.
    #[command(after_help = "Example:\n  kadence rights add anna -m node-1 --overwrite")]
    Add {
        #[command(flatten)]
        wanted: Wanted,
        /// Others lose their rights on these nodes.
        #[arg(long)]
        overwrite: bool,
    },
    /// Take rights back. What runs on nodes where none is left is ended.
    #[command(after_help = "Example:\n  kadence rights remove anna -m node-1")]
    Remove {
        #[command(flatten)]
        wanted: Wanted,
    },
}

/// Whose rights, and on what.
#[derive(Debug, Args)]
struct Wanted {
    /// The user.
    #[arg(value_name = "USER")]
    whom: String,
    /// Nodes: names or ranges.
    #[arg(short = 'm', long = "machine", value_name = "NODES")]
    nodes: Vec<String>,
    /// Partitions, as /dev/sda3.
    #[arg(short = 'p', long = "part", value_name = "DEVICE")]
    partitions: Vec<String>,
}

impl RightsArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        let printer = Printer { json: self.json };
        let coded =
            |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let (table, head): (Table, &str) = match self.verb {
            RightsVerb::List { whom } => {
                let path = whom
                    .map_or("/rights".into(), |whom: String| format!("/rights/{}", coded(&whom)));
                (client.get(&path, &[]).await?, "")
            }
            RightsVerb::Add { wanted, overwrite } => {
                let mut body = wanted.body();
                body["username"] = json!(wanted.whom);
                body["overwrite"] = json!(overwrite);
                (client.send(Method::POST, "/rights", &body).await?, "added\n")
            }
            RightsVerb::Remove { wanted } => {
                let path = format!("/rights/{}", coded(&wanted.whom));
                (client.send(Method::DELETE, &path, &wanted.body()).await?, "removed\n")
            }
        };
        printer.answer(&table, || format!("{head}{}", text(&table)))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Wanted {
    fn body(&self) -> Value {
        let mut body = json!({});
        if !self.nodes.is_empty() {
            body["nodes"] = json!(self.nodes);
        }
        if !self.partitions.is_empty() {
            body["partitions"] = json!(self.partitions);
        }
        body
    }
}

fn text(rights: &Table) -> String {
    let mut rows = vec![["USER", "NODE", "PARTITIONS"].map(str::to_owned).to_vec()];
    for (user, nodes) in rights {
        for (node, parts) in nodes {
            rows.push(vec![user.clone(), node.clone(), parts.join(", ")]);
        }
    }
    table(&rows)
}
