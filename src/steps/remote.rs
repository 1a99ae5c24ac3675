//! One command on one node, with its limits.

use super::Run;
use crate::platform::{Command, Input, Output};
use automata::{Context, NodeId, Reason};
use std::{path::Path, time::Duration};
use tokio::time::Instant;

/// Bound of a command of a step that has no deadline of its own.
const COMMAND_LIMIT: Duration = Duration::from_secs(3600);

/// Bytes of a command's standard error that a reason quotes: its end says most.
const QUOTED: usize = 600;

/// Runs `text` on a node; anything but exit status 0 is the reason it failed.
pub(super) async fn command(
    run: &Run,
    cx: &Context,
    id: NodeId,
    text: &str,
    input: Input,
) -> Result<Output, Reason> {
    within(run, id, text, input, time_left(cx)).await
}

/// How long the step may still take.
pub(super) fn time_left(cx: &Context) -> Duration {
    cx.deadline().map_or(COMMAND_LIMIT, |at| at.saturating_duration_since(Instant::now()))
}

/// The same with a bound of its own.
pub(super) async fn within(
    run: &Run,
    id: NodeId,
    text: &str,
    input: Input,
    deadline: Duration,
) -> Result<Output, Reason> {
    let output_limit = run.settings.output_limit;
    let command = Command { text: text.to_owned(), input, deadline, output_limit };
    let output = run.ports.shell.run(run.node(id), &command).await;
    let output = output.map_err(|error| Reason::from(error.to_string()))?;
    run.journalist.command(id, text, output.status, &output.stdout, &output.stderr);
    if output.status == 0 { Ok(output) } else { Err(complaint(&output)) }
}

/// Streams a script of the server to a node and runs it there with the variables of
/// the run (and `arguments`, shell text).
pub(super) async fn script(
    run: &Run,
    cx: &Context,
    id: NodeId,
    file: &Path,
    arguments: &str,
) -> Result<Output, Reason> {
    let variables = super::variables::assignments(run);
    let text = format!(
        "t=$(mktemp) && cat >\"$t\" && chmod 755 \"$t\" && env {variables} \"$t\" {arguments}; s=$?; rm -f \"$t\"; exit $s"
    );
    command(run, cx, id, &text, Input::File(file.to_owned())).await
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
