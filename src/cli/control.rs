//! `kadence cancel`, `continue`, `abort`, `retry`: what becomes of an operation.

use super::{Failure, operation::cancel};
use crate::{
    client::{Client, Followed, Printer, kind_of},
    types::Created,
};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Arguments of `cancel`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence cancel D-6a1f7e52-0a4c-4c1e-9d5e-7f3a1f0b9c11\n\n\
        An id of `kadence console --list` (C-...) closes that console.")]
pub(super) struct CancelArgs {
    #[command(flatten)]
    which: Which,
}

/// Arguments of `continue`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence continue D-6a1f7e52-0a4c-4c1e-9d5e-7f3a1f0b9c11")]
pub(super) struct ContinueArgs {
    #[command(flatten)]
    which: Which,
}

/// Arguments of `abort`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence abort D-6a1f7e52-0a4c-4c1e-9d5e-7f3a1f0b9c11")]
pub(super) struct AbortArgs {
    #[command(flatten)]
    which: Which,
}

/// Arguments of `retry`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence retry D-6a1f7e52-0a4c-4c1e-9d5e-7f3a1f0b9c11")]
pub(super) struct RetryArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    /// Id of the operation.
    wid: String,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Which {
    fn done(&self, what: &str) -> Result<ExitCode, Failure> {
        let text = || format!("{}: {what}\n", self.wid);
        Printer { json: self.json }.answer(&json!({"wid": self.wid}), text)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn order(&self, client: &Client, order: &str) -> Result<(), Failure> {
        let Followed { kind, wid } = followed(&self.wid)?;
        let path = format!("/{}/{wid}/{order}", kind.path());
        client.send::<Value>(Method::POST, &path, &json!({})).await?;
        Ok(())
    }
}

impl CancelArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        if self.which.wid.starts_with("C-") {
            let path = format!("/console/{}", self.which.wid);
            client.get::<Value>(&path, &[]).await?;
            client.send::<Value>(Method::DELETE, &path, &json!({})).await?;
            return self.which.done("closed");
        }
        let followed = followed(&self.which.wid)?;
        // Asked first, because deleting what is not there has an answer made for old clients.
        let path = format!("/{}/{}", followed.kind.path(), followed.wid);
        let poll: crate::types::Poll = client.get(&path, &[]).await?;
        cancel(client, &followed).await?;
        self.which.done(if poll.done { "forgotten" } else { "cancelled" })
    }
}

impl ContinueArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        self.which.order(client, "continue").await?;
        self.which.done("the nodes at the breakpoint go on")
    }
}

impl AbortArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        self.which.order(client, "abort").await?;
        self.which.done("the nodes at the breakpoint were given up")
    }
}

impl RetryArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        let Followed { kind, wid } = followed(&self.which.wid)?;
        let path = format!("/{}/{wid}/retry", kind.path());
        let created: Created = client.send(Method::POST, &path, &json!({})).await?;
        let text = || format!("{0} began: kadence logs {0} --follow\n", created.wid);
        Printer { json: self.which.json }.answer(&created, text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The operation of that id.
pub(super) fn followed(wid: &str) -> Result<Followed, Failure> {
    let kind = kind_of(wid).ok_or_else(|| {
        let hint = "ids begin with D-, R- or P-: `kadence operations` lists them";
        Failure::usage(format!("{wid} is not the id of an operation"), hint)
    })?;
    Ok(Followed { kind, wid: wid.to_owned() })
}
