//! What is told and written when an operation has ended.

use super::Order;
use crate::kadeploy::{channels::say, failure::Failure, http::Server};
use serde_json::Value;
use std::{
    fs::OpenOptions,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// The nodes of a list of the last poll.
fn nodes<'a>(poll: &'a Value, list: &str) -> Vec<&'a str> {
    poll["nodes"][list].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Tells which nodes are well and which failed, and writes them down.
pub(super) fn tell(
    order: &Order,
    server: &Server,
    poll: &Value,
    state: &Value,
) -> Result<(), Failure> {
    let (ok, ko) = (nodes(poll, "ok"), nodes(poll, "ko"));
    let title = order.workflow.title.to_lowercase();
    if !ok.is_empty() {
        let text = format!("The {title} is successful on nodes\n{}", ok.join("\n"));
        order.say(server, &text);
    }
    if !ko.is_empty() {
        let failed = ko.iter().map(|node| match state[*node]["error"].as_str() {
            Some(error) => format!("{node} ({error})"),
            None => (*node).to_owned(),
        });
        let failed: Vec<_> = failed.collect();
        order.say(server, &format!("The {title} failed on nodes\n{}", failed.join("\n")));
    }
    for (name, nodes) in [("output-ok-nodes", ok), ("output-ko-nodes", ko)] {
        if let Some(path) = order.session.line.value(name) {
            append(path, &nodes).map_err(|error| Failure::file(path, error))?;
        }
    }
    Ok(())
}

/// Other servers write to the same file.
fn append(path: &str, nodes: &[&str]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let text: String = nodes.iter().map(|node| format!("{node}\n")).collect();
    file.write_all(text.as_bytes())
}

/// What nodes that were asked for their power said.
pub(super) fn powers(state: &Value) -> String {
    let mut text = "---\n".to_owned();
    for (node, state) in state.as_object().into_iter().flatten() {
        if let Some(out) = state["out"].as_str() {
            text += &format!("{node}: {}\n", out.lines().next().unwrap_or_default().trim());
        }
    }
    text + "---"
}

/// Runs the program of `--script`.
pub(super) fn run_script(script: &str) {
    say(&format!("Running {script}"));
    let path = Path::new(script);
    // A bare name would be looked for in the PATH.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let ran = Command::new(path).stdin(Stdio::inherit()).status();
    say(if ran.is_ok_and(|status| status.success()) { "Success !" } else { "Fail !" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_power_of_each_node_is_its_first_line() {
        let state = json!({
            "a": {"state": "ok", "out": "on\nmore"}, "b": {"state": "ko", "error": "x"},
        });
        assert_eq!(powers(&state), "---\na: on\n---");
    }
}
