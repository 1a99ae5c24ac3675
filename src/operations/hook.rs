//! The site's command at the end of an operation.

use super::operation::Operation;
use crate::types::Kind;
use config::model::server::Hooks;
use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{process::Command, time::timeout};

/// What stands for the id of the operation.
const WORD: &str = "WORKFLOW_ID";

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs the hook of an operation that has ended, if it was asked for and there is one. What
/// goes wrong with it is logged: the operation has ended all the same.
pub(super) async fn run(hooks: &Hooks, operation: &Operation) {
    let command = match operation.kind {
        Kind::Deploy => &hooks.end_of_deployment,
        Kind::Reboot => &hooks.end_of_reboot,
        Kind::Power => &hooks.end_of_power,
    };
    let Some(command) = command.as_ref().filter(|_| operation.hook) else { return };
    // Our own id: letters, digits and dashes.
    let text = command.replace(WORD, &operation.wid);
    let mut child = Command::new("/bin/sh");
    child.arg("-c").arg(&text).kill_on_drop(true);
    child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let wid = &operation.wid;
    match timeout(LIMIT, child.status()).await {
        Ok(Ok(status)) if status.success() => tracing::debug!(wid, "the hook has run"),
        Ok(Ok(status)) => failed(wid, status),
        Ok(Err(error)) => tracing::error!(wid, %error, "the hook cannot be run"),
        Err(_) => {
            tracing::error!(wid, "the hook took more than {} s and was ended", LIMIT.as_secs());
        }
    }
}

fn failed(wid: &str, status: ExitStatus) {
    tracing::error!(wid, %status, "the hook failed");
}
