//! The service and its client, run in the namespace as a user would.

use super::super::{LabError, Place, error::Context, inside, process::not_started};
use crate::{client::Outcome, types::Poll};
use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};

/// The service answers within a second; on a busy machine later.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Pause between two questions whether it answers yet.
const READY_PAUSE: Duration = Duration::from_millis(300);
/// An operation ends within this time: all timeouts of the lab's configuration, with their retries,
/// are three hours together.
const OPERATION_LIMIT: Duration = Duration::from_secs(180 * 60);
/// Lines of the service's log that are told when it does not start.
const LAST_WORDS: usize = 5;

/// Where the service's log is.
pub(super) fn service_log(place: &Place) -> PathBuf {
    place.at("config/service.log")
}

/// `kadence WORDS` in the namespace. It has a process group of its own: Ctrl-C is for us, and we
/// end it in order.
fn kadence(place: &Place, words: &[OsString]) -> Command {
    let mut argv: Vec<OsString> = vec!["kadence".into(), "--user".into(), "root".into()];
    argv.extend_from_slice(words);
    let mut command = Command::from(inside::command(place, &argv));
    command.env_remove("KADENCE_SERVER").process_group(0).stdin(Stdio::null());
    command
}

/// Starts `kadence serve` and waits until it answers. It outlives this process: whoever takes the
/// lab down ends it with all else in the namespace.
pub(super) async fn serve(place: &Place, config: &Path) -> Result<Child, LabError> {
    let log = service_log(place);
    // One that is started again adds to what the first one said.
    let file = File::options().create(true).append(true).open(&log);
    let file = file.context(|| format!("writing {}", log.display()))?;
    let words = ["serve".into(), "--config-dir".into(), config.into()];
    let mut service = kadence(place, &words)
        .stdout(file.try_clone().context(|| format!("writing {}", log.display()))?)
        .stderr(file)
        .spawn()
        .map_err(|e| not_started("kadence serve", e))?;
    let ready = tokio::select! {
        ready = timeout(READY_LIMIT, answers(place)) => ready,
        _ = service.wait() => Ok(Err(LabError::Service { said: last_words(&log), log: log.clone() })),
    };
    let late =
        |_| LabError::Deadline { what: "the start of the service".into(), limit: READY_LIMIT };
    ready.map_err(late)??;
    Ok(service)
}

/// `kill -9` of the service once its deployment is in `step`, and another start.
pub(super) async fn kill_in(
    place: &Place,
    config: &Path,
    mut service: Child,
    step: &str,
) -> Result<(), LabError> {
    until_in(place, step).await?;
    service.kill().await.context(|| "killing the service".into())?;
    serve(place, config).await.map(drop)
}

/// Waits until the messages of the deployment name `step`.
async fn until_in(place: &Place, step: &str) -> Result<(), LabError> {
    let wid = loop {
        let mut asking = kadence(place, &["operations".into(), "--json".into()]);
        let asked = asking.stderr(Stdio::null()).output().await;
        let asked = asked.map_err(|e| not_started("kadence operations", e))?;
        let polls: Vec<Poll> = serde_json::from_slice(&asked.stdout).unwrap_or_default();
        match polls.into_iter().map(|poll| poll.wid).find(|wid| wid.starts_with('D')) {
            Some(wid) => break wid,
            None => sleep(READY_PAUSE).await,
        }
    };
    let mut reading = kadence(place, &["logs".into(), wid.into(), "--follow".into()]);
    let mut reader = reading
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| not_started("kadence logs", e))?;
    let unread = || std::io::Error::other("it has no output");
    let stdout = reader.stdout.take().ok_or_else(unread).context(|| "reading messages".into())?;
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.context(|| "reading messages".into())? {
        if line.contains(step) {
            return Ok(());
        }
    }
    Err(LabError::Argument {
        what: "step to kill the service in",
        value: step.into(),
        reason: "the deployment was never in it".into(),
    })
}

/// Waits until the service answers.
async fn answers(place: &Place) -> Result<(), LabError> {
    loop {
        let mut asking = kadence(place, &["nodes".into(), "--list".into()]);
        let asked = asking.kill_on_drop(true).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if asked.await.map_err(|e| not_started("kadence nodes", e))?.success() {
            return Ok(());
        }
        sleep(READY_PAUSE).await;
    }
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_WORDS)..].join(" / ")
}

/// Runs `kadence WORDS --json` on `nodes`; its progress goes to our standard error.
/// Fails where it tells no outcome.
pub(super) async fn operate(
    place: &Place,
    words: &[OsString],
    nodes: &[String],
) -> Result<Outcome, LabError> {
    let mut all = words.to_vec();
    for node in nodes {
        all.extend(["-m".into(), node.into()]);
    }
    all.push("--json".into());
    let what =
        format!("kadence {}", words.first().map(|word| word.to_string_lossy()).unwrap_or_default());
    let client: Child = kadence(place, &all)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| not_started(&what, e))?;
    let output = timeout(OPERATION_LIMIT, client.wait_with_output())
        .await
        .map_err(|_| LabError::Deadline { what: format!("`{what}`"), limit: OPERATION_LIMIT })?
        .context(|| format!("running `{what}`"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| LabError::NoOutcome { command: what, status: output.status })
}
