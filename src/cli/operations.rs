//! `kadence operations`: deployments, reboots and power operations.

use super::{Failure, control::followed, table::table};
use crate::{
    client::{Client, Printer},
    types::{Kind, NodeLists, NodeStatus, Poll},
};
use clap::Args;
use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, SystemTime},
};

/// Arguments of `operations`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kadence operations --json\n  kadence operations D-6a1f7e52-0a4c-4c1e-9d5e-7f3a1f0b9c11"
)]
pub(super) struct OperationsArgs {
    /// Id of one operation: where each of its nodes is, and why those failed that did.
    wid: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl OperationsArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        if let Some(wid) = &self.wid {
            let followed = followed(wid)?;
            let path = format!("/{}/{wid}/state", followed.kind.path());
            let state: BTreeMap<String, NodeStatus> = client.get(&path, &[]).await?;
            Printer { json: self.json }.answer(&state, || places(&state))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut all: Vec<Poll> = Vec::new();
        for kind in [Kind::Deploy, Kind::Reboot, Kind::Power] {
            all.extend(client.get::<Vec<Poll>>(&format!("/{}", kind.path()), &[]).await?);
        }
        all.sort_by(|a, b| (a.start_time, &a.wid).cmp(&(b.start_time, &b.wid)));
        Printer { json: self.json }.answer(&all, || text(&all))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn text(all: &[Poll]) -> String {
    let mut rows = vec![["ID", "USER", "STARTED", "STATE", "NODES"].map(str::to_owned).to_vec()];
    for poll in all {
        let started = SystemTime::UNIX_EPOCH + Duration::from_secs(poll.start_time);
        let state = match (poll.done, poll.error) {
            (_, true) => "broken off",
            (true, false) => "ended",
            (false, false) => "running",
        };
        rows.push(vec![
            poll.wid.clone(),
            poll.user.clone(),
            humantime::format_rfc3339_seconds(started).to_string(),
            state.into(),
            poll.nodes.as_ref().map(counts).unwrap_or_default(),
        ]);
    }
    table(&rows)
}

fn places(state: &BTreeMap<String, NodeStatus>) -> String {
    let mut rows = vec![["NODE", "STATE", "STEP", "ERROR"].map(str::to_owned).to_vec()];
    for (node, status) in state {
        let step = [&status.macro_step, &status.micro].into_iter().flatten().cloned();
        let step = step.collect::<Vec<_>>().join("/");
        let error = status.error.clone().unwrap_or_default().replace('\n', " ");
        rows.push(vec![node.clone(), status.state.clone(), step, error]);
    }
    table(&rows)
}

fn counts(nodes: &NodeLists) -> String {
    match nodes {
        NodeLists::Names(names) => names.len().to_string(),
        NodeLists::Sorted { ok, ko, processing } => {
            let under_way = processing.as_ref().map_or(0, Vec::len);
            let parts = [(ok.len(), "ok"), (ko.len(), "failed"), (under_way, "under way")];
            let parts = parts.iter().filter(|(count, _)| *count > 0);
            parts.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_the_nodes_stand() {
        let node = || vec!["n".to_owned()];
        let lists = NodeLists::Sorted { ok: node(), ko: vec![], processing: Some(node()) };
        assert_eq!(counts(&lists), "1 ok, 1 under way");
        assert_eq!(counts(&NodeLists::Names(node())), "1");
    }
}
