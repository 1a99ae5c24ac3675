//! One command on one node, with its limits.

use super::Run;
use crate::platform::{Command, Errand, Input, Output};
use automata::{Context, NodeId, Reason};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Bound of a command of a step that has no deadline of its own.
const COMMAND_LIMIT: Duration = Duration::from_secs(3600);

/// Bytes of a command's standard error that a reason quotes: its end says most.
const QUOTED: usize = 600;

/// Does `errand` on a node; anything but exit status 0 is the reason it failed.
pub(super) fn command(
    run: &Run,
    cx: &Context,
    id: NodeId,
    errand: impl Into<Arc<Errand>>,
    input: Input,
) -> impl Future<Output = Result<Output, Reason>> {
    within(run, id, errand, input, time_left(cx))
}

/// How long the step may still take.
pub(super) fn time_left(cx: &Context) -> Duration {
    cx.deadline().map_or(COMMAND_LIMIT, |at| at.saturating_duration_since(Instant::now()))
}

/// The same with a bound of its own.
pub(super) fn within(
    run: &Run,
    id: NodeId,
    errand: impl Into<Arc<Errand>>,
    input: Input,
    deadline: Duration,
) -> impl Future<Output = Result<Output, Reason>> {
    let output_limit = run.settings.output_limit;
    let command = Command { errand: errand.into(), input, deadline, output_limit };
    async move {
        let output = run.ports.shell.run(&run.node_now(id), &command).await;
        let output = output.map_err(|error| Reason::from(error.to_string()))?;
        let text = command.errand.text();
        run.journalist.command(id, &text, output.status, &output.stdout, &output.stderr);
        if output.status == 0 { Ok(output) } else { Err(complaint(&output)) }
    }
}

/// What a failed command said, or its status where it said nothing.
fn complaint(output: &Output) -> Reason {
    let said =
        [&output.stderr, &output.stdout].into_iter().find(|text| !text.trim_ascii().is_empty());
    let Some(said) = said else {
        return format!("the command ended with status {}", output.status).into();
    };
    let text = String::from_utf8_lossy(said);
    let text = text.trim();
    let mut from = text.len().saturating_sub(QUOTED);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].into()
}
