//! `kanodes3`: the state of nodes, and what runs.

use super::{
    channels::say_raw,
    description,
    failure::Failure,
    http::{Server, encode, query},
    options::{Line, Opt},
    session::Session,
};
use serde_json::Value;

/// Options of its own.
pub(super) const OPTIONS: &[Opt] = &[
    Opt::flag("get-nodes-state", "Show the state of the nodes").short('s'),
    Opt::flag("get-deployments-status", "Show the deployments").short('d'),
    Opt::flag("get-reboots-status", "Show the reboots").short('r'),
    Opt::flag("get-powers-status", "Show the power operations").short('p'),
    Opt::flag("get-consoles-status", "Show the consoles").short('c'),
    Opt::flag("get-all-status", "Show all of these").short('a'),
    Opt::value("workflow-id", "WID", "Only this one").short('w'),
];

/// What is listed, by option.
const LISTS: [(&str, &str); 4] = [
    ("get-deployments-status", "/deployment"),
    ("get-reboots-status", "/reboot"),
    ("get-powers-status", "/power"),
    ("get-consoles-status", "/console"),
];

/// What can be said without a server.
pub(super) fn check(line: &Line) -> Result<(), Failure> {
    let actions = LISTS.map(|(option, _)| option);
    let actions = actions.into_iter().chain(["get-nodes-state", "get-all-status"]);
    match actions.filter(|action| line.has(action)).count() {
        1 => {}
        0 => return Err(Failure::usage("You must choose an action")),
        _ => return Err(Failure::usage("You can only choose one action")),
    }
    let nodes = super::nodes::asked_for(line);
    if line.has("get-nodes-state") && line.has("workflow-id") {
        return Err(Failure::usage("-w cannot be used with -s"));
    }
    if !line.has("get-nodes-state") && nodes {
        return Err(Failure::usage("Nodes can only be used with -s"));
    }
    Ok(())
}

/// Does what the command line says, on every server.
pub(super) async fn run(session: Session) -> Result<(), Failure> {
    let line = &session.line;
    for (server, nodes) in session.dealt().await? {
        let text = if line.has("get-nodes-state") {
            let nodes: Vec<_> = nodes.iter().map(|node| ("nodes", node.as_str())).collect();
            let path = if nodes.is_empty() { "/nodes".to_owned() } else { query("/nodes", &nodes) };
            server.yaml(&path).await?
        } else if line.has("get-all-status") {
            all(&server, line.value("workflow-id")).await?
        } else {
            let path = LISTS.iter().find(|(option, _)| line.has(option)).map(|(_, path)| *path);
            let path = path.unwrap_or_default();
            server.yaml(&of(path, line.value("workflow-id"))).await?
        };
        let prefix = session.prefix(&server);
        let ended = if text.ends_with('\n') { "" } else { "\n" };
        if prefix.is_empty() {
            say_raw(&format!("{text}{ended}"));
        } else {
            super::table::say_lines(&prefix, text.trim_end());
        }
    }
    Ok(())
}

/// The path of a list, or of one of its elements.
fn of(path: &str, wid: Option<&str>) -> String {
    match wid {
        Some(wid) => query(&format!("{path}/{}", encode(wid)), &[]),
        None => query(path, &[]),
    }
}

/// The four lists as one. An operation of that id is in one of them only.
async fn all(server: &Server, wid: Option<&str>) -> Result<String, Failure> {
    let mut everything = Vec::new();
    let mut missing = None;
    for (_, path) in LISTS {
        match server.get(&of(path, wid)).await {
            Ok(Value::Array(list)) => everything.extend(list),
            Ok(one) => everything.push(one),
            Err(failure) if wid.is_some() => missing = Some(failure),
            Err(failure) => return Err(failure),
        }
    }
    match missing {
        Some(failure) if everything.is_empty() => Err(failure),
        _ => Ok(description::yaml(&Value::Array(everything))),
    }
}
