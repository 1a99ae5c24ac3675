//! The site's command at the end of an operation.
//!
//! That it is to be run is written down together with the end of the operation, and that it has run
//! when it has. A service that is stopped in between runs it at its next start: it runs once, or
//! where the service was stopped while it ran, once more.

use super::{Inner, archive, operation::Operation};
use crate::types::Kind;
use config::model::server::Hooks;
use std::{
    process::{ExitStatus, Stdio},
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{process::Command, time::timeout};

/// What stands for the id of the operation.
const WORD: &str = "WORKFLOW_ID";

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(20);

/// The hook of one operation.
#[derive(Debug)]
pub(crate) struct Hook {
    /// Whether it was asked for.
    pub(crate) asked: bool,
    due: AtomicBool,
}

impl Hook {
    /// As it is recorded.
    pub(crate) fn new(asked: bool, due: bool) -> Self {
        Self { asked, due: AtomicBool::new(due) }
    }

    /// Whether it is still to be run.
    pub(crate) fn is_due(&self) -> bool {
        self.due.load(Relaxed)
    }
}

fn command(hooks: &Hooks, kind: Kind) -> Option<&String> {
    match kind {
        Kind::Deploy => hooks.end_of_deployment.as_ref(),
        Kind::Reboot => hooks.end_of_reboot.as_ref(),
        Kind::Power => hooks.end_of_power.as_ref(),
    }
}

/// The hook of an operation that is about to end is due, if it was asked for.
pub(super) fn intend(operation: &Operation) {
    operation.hook.due.store(operation.hook.asked, Relaxed);
}

/// Runs the hook of an operation that has ended, if it is due. What goes wrong with it is logged:
/// the operation has ended all the same.
pub(super) async fn run(inner: &Inner, operation: &Operation) {
    if !operation.hook.is_due() {
        return;
    }
    let site = inner.means.site();
    if let Some(command) = command(&site.config.server.hooks, operation.kind) {
        execute(command, &operation.wid).await;
    }
    operation.hook.due.store(false, Relaxed);
    if let Err(problem) = archive::hook_done(&*inner.means.store, &operation.wid).await {
        let wid = &operation.wid;
        tracing::error!(wid, %problem, "that the hook has run cannot be recorded: it runs again at the next start");
    }
}

/// Runs the hooks that were due when the service was stopped.
pub(super) fn catch_up(inner: &Arc<Inner>) {
    let due: Vec<Arc<Operation>> = {
        let table = inner.table.read().unwrap_or_else(PoisonError::into_inner);
        table.values().filter(|one| one.ended() && one.hook.is_due()).cloned().collect()
    };
    for operation in due {
        let inner = Arc::clone(inner);
        let tasks = inner.tasks.clone();
        tasks.spawn(async move { run(&inner, &operation).await });
    }
}

async fn execute(command: &str, wid: &str) {
    // Our own id: letters, digits and dashes.
    let text = command.replace(WORD, wid);
    let mut child = Command::new("/bin/sh");
    child.arg("-c").arg(&text).kill_on_drop(true);
    child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
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
