//! `kadence console`: the console of a node, and what was recorded of it.

use super::{Failure, table::table};
use crate::{
    client::{Client, ClientError, Printer, attach, tell, write_out},
    types::ConsoleLog,
};
use clap::Args;
use reqwest::Method;
use rustix::termios::isatty;
use serde_json::{Value, json};
use std::{io::stdin, process::ExitCode};
use tokio::net::TcpStream;

/// Seconds for which the service waits for news.
const PATIENCE: &str = "30";

/// Arguments of `console`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kadence console node-1\n  kadence console --log node-1 --follow\n  kadence console --list\n\n\
        Ctrl-] leaves a console. What a node printed while it was deployed is recorded: its owner\n\
        and administrators read it with --log. When standard input ends, the node is only listened to."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct ConsoleArgs {
    /// The node.
    #[arg(required_unless_present = "list")]
    node: Option<String>,
    /// List the consoles that are open; `kadence cancel ID` closes one.
    #[arg(long, conflicts_with_all = ["node", "log"])]
    list: bool,
    /// Show what was recorded during its last deployment, instead of the console itself.
    #[arg(short = 'L', long)]
    log: bool,
    /// Go on until the node has ended.
    #[arg(long, requires = "log")]
    follow: bool,
    /// The recording so many deployments before the last one.
    #[arg(
        long,
        value_name = "N",
        requires = "log",
        conflicts_with = "follow",
        default_value_t = 0
    )]
    back: usize,
    /// Print one JSON document, of --list or of --log (with --follow at the end).
    #[arg(long)]
    json: bool,
}

impl ConsoleArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        if self.list {
            return self.listed(client).await;
        }
        if self.log {
            return self.recorded(client).await;
        }
        if self.json {
            let text = "a console is no document";
            return Err(Failure::usage(text, "use --json with --list or --log, or leave it out"));
        }
        let body = json!({"node": self.node});
        let created: Value = client.send(Method::POST, "/console", &body).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let resource = text(&created["resources"]["resource"]);
        let joined = join(&text(&created["resources"]["console"])).await;
        // The service may have closed it already.
        let closed = client.send::<Value>(Method::DELETE, &resource, &json!({})).await;
        joined?;
        match closed {
            Err(ClientError::Refused { status: 400 | 405, .. }) | Ok(_) => Ok(ExitCode::SUCCESS),
            Err(error) => Err(error.into()),
        }
    }

    async fn listed(&self, client: &Client) -> Result<ExitCode, Failure> {
        let all: Vec<Value> = client.get("/console", &[]).await?;
        Printer { json: self.json }.answer(&all, || rows(&all))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn ask(&self, client: &Client, since: u64, wait: bool) -> Result<ConsoleLog, Failure> {
        let node = self.node.as_deref().unwrap_or_default();
        let coded: String = url::form_urlencoded::byte_serialize(node.as_bytes()).collect();
        let (since, back) = (since.to_string(), self.back.to_string());
        let mut query = vec![("since", since.as_str()), ("back", back.as_str())];
        if wait {
            query.push(("wait", PATIENCE));
        }
        Ok(client.get(&format!("/nodes/{coded}/console"), &query).await?)
    }

    async fn recorded(&self, client: &Client) -> Result<ExitCode, Failure> {
        let mut all = self.ask(client, 0, false).await?;
        let printer = Printer { json: self.json };
        if !self.json {
            tell(&format!("{} of {} on {}", all.wid, all.user, all.node));
            write_out(&all.text)?;
        }
        while self.follow && all.live {
            let more = self.ask(client, all.next, true).await?;
            if more.wid != all.wid {
                tell(&format!("{} begins on {}", more.wid, more.node));
                break;
            }
            if !self.json {
                write_out(&more.text)?;
            }
            all = ConsoleLog { text: all.text + &more.text, ..more };
        }
        if self.json {
            printer.document(&all)?;
        } else if !all.text.ends_with('\n') {
            write_out("\n")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Whose consoles there are; those of others do not tell more.
fn rows(all: &[Value]) -> String {
    let mut rows = vec![["ID", "USER", "NODE", "STATE", "AT"].map(str::to_owned).to_vec()];
    for one in all {
        let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
        let state = match (one["error"].as_bool(), one["attached"].as_bool()) {
            (Some(true), _) => "ended",
            (_, Some(true)) => "attached",
            _ => "open",
        };
        let state = state.to_owned();
        rows.push(vec![text("id"), text("user"), text("node"), state, text("console_uri")]);
    }
    table(&rows)
}

/// Joins standard input and output to the console at `uri` until one of them has enough.
async fn join(uri: &str) -> Result<(), Failure> {
    let address = uri.strip_prefix("tcp://").unwrap_or(uri).trim_end_matches('/');
    let stream = TcpStream::connect(address).await.map_err(|error| {
        Failure::usage(
            format!("the console at {address} cannot be reached: {error}"),
            "consoles have ports of their own at the service: a firewall may be in the way",
        )
    })?;
    if isatty(stdin()) {
        tell("Ctrl-] leaves the console");
    }
    attach(stream).await?;
    write_out("\n")?;
    Ok(())
}
