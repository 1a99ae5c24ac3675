//! A broadcast by a command of the site's (`localops/broadcastenv/cmd`).
//!
//! It brings the image to all nodes in its own way, and there into the standard input of the
//! command that it is told. It knows nothing of disk tickets: each node uses its own up before,
//! and one that refuses it is not named to the command.

use crate::platform::{
    Command, Errand, Input, Receiver, Shell, SiteCommand, TransferError, TransferJob,
    fill::{fill, is_plain},
    real::power::process,
};
use futures_util::future::join_all;
use std::{collections::BTreeMap, io::Write, time::Duration};
use tempfile::NamedTempFile;
use tokio::time::Instant;

/// Bytes that a node may print when it uses its ticket up.
const OUTPUT: usize = 16 << 10;

type Results = BTreeMap<String, Result<(), TransferError>>;

/// Runs the broadcast; one result per node.
pub(super) async fn broadcast(shell: &dyn Shell, job: &TransferJob, site: &SiteCommand) -> Results {
    let until = Instant::now() + job.deadline;
    let ready = job
        .receivers
        .iter()
        .map(|one| async move { (one, use_ticket(shell, one, job.deadline).await) });
    let (mut results, mut well) = (Results::new(), Vec::new());
    for (one, ready) in join_all(ready).await {
        match ready {
            Ok(()) => well.push(one),
            Err(error) => drop(results.insert(one.node.name.clone(), Err(error))),
        }
    }
    let left = until.saturating_duration_since(Instant::now());
    let all = if well.is_empty() { Ok(()) } else { run(job, site, &well, left).await };
    results.extend(well.iter().map(|one| (one.node.name.clone(), all.clone())));
    results
}

/// The node uses the ticket of its errand up, when what still changes its disks has ended.
async fn use_ticket(
    shell: &dyn Shell,
    one: &Receiver,
    deadline: Duration,
) -> Result<(), TransferError> {
    let Errand::Ticketed { ticket, .. } = &one.errand else { return Ok(()) };
    let errand = Errand::Ticketed { ticket: ticket.clone(), errand: Errand::Sync.into() };
    let command =
        Command { errand: errand.into(), input: Input::Empty, deadline, output_limit: OUTPUT };
    let output = shell.run(&one.node, &command).await;
    let output = output.map_err(|error| TransferError::Start(error.to_string()))?;
    if output.status == 0 {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let command = command.errand.bare().text();
    Err(TransferError::Command { command, status: output.status, stderr })
}

async fn run(
    job: &TransferJob,
    site: &SiteCommand,
    well: &[&Receiver],
    left: Duration,
) -> Result<(), TransferError> {
    let cannot = |why: String| TransferError::Start(format!("localops/broadcastenv/cmd: {why}"));
    let decompress = well.first().map_or(Ok(String::new()), |one| one.errand.simple());
    let decompress = decompress.map_err(|why| cannot(format!("DECOMPRESS: {why}")))?;
    let nodes = node_file(site, well).map_err(|why| cannot(format!("NODEFILE: {why}")))?;
    let (image, list) = (job.file.display().to_string(), nodes.path().display().to_string());
    if let Some(path) = [&image, &list].into_iter().find(|path| !is_plain(path)) {
        return Err(cannot(format!("{path:?} cannot stand in a command: use other directories")));
    }
    let places = [
        ("ENVFILE", image.as_str()),
        ("NODEFILE", &list),
        ("DECOMPRESS", &decompress),
        ("TAKTUK_CONNECTOR", &site.connector),
    ];
    let text = fill(&site.command, &places);
    match process::tied(&text, left).await {
        Ok(Some(ended)) if ended.status == 0 => Ok(()),
        Ok(Some(ended)) => Err(TransferError::Stream(
            format!(
                "Error while processing to the file broadcast with {text} (exited with status {}) {}",
                ended.status, ended.stderr
            )
            .trim()
            .to_owned(),
        )),
        Ok(None) => Err(TransferError::Deadline(job.deadline)),
        Err(error) => Err(cannot(format!("it did not start: {error}"))),
    }
}

/// The nodes, one a line. The file is gone when it is dropped.
fn node_file(site: &SiteCommand, well: &[&Receiver]) -> std::io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("kadence-nodes-").tempfile()?;
    for one in well {
        if site.by_address {
            writeln!(file, "{}", one.node.address)?;
        } else {
            writeln!(file, "{}", one.node.name)?;
        }
    }
    file.flush()?;
    Ok(file)
}

#[cfg(test)]
mod tests;
