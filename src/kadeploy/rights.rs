//! `karights3`: who may do what on which nodes.

use super::{
    failure::Failure,
    http::{Server, encode, query},
    options::{Line, Opt},
    session::Session,
    table,
};
use reqwest::Method;
use serde_json::{Map, Value, json};

/// Options of its own.
pub(super) const OPTIONS: &[Opt] = &[
    Opt::flag("add", "Give rights").short('a'),
    Opt::flag("delete", "Take rights away").short('d'),
    Opt::flag("list", "List rights").short('l'),
    Opt::value("machine", "MACHINE", "A node or a range of nodes, * for all").short('m'),
    Opt::value("file", "FILE", "A file with a node on each line, - for standard input").short('f'),
    Opt::value("part", "PARTITION", "A partition, * for all").short('p'),
    Opt::value("user", "USERNAME", "Whose rights").short('u'),
    Opt::flag("overwrite-rights", "Take them away from other users").short('o'),
];

/// Stands for all nodes, or for all partitions.
const ALL: &str = "*";

/// What can be said without a server.
pub(super) fn check(line: &Line) -> Result<(), Failure> {
    match ["add", "delete", "list"].into_iter().filter(|action| line.has(action)).count() {
        1 => {}
        0 => return Err(Failure::usage("You must choose an action")),
        _ => return Err(Failure::usage("You can only choose one action")),
    }
    if !line.has("list") && !line.has("user") {
        return Err(Failure::usage("You must choose a user: use -u"));
    }
    let named = ["machine", "file", "part"].into_iter().any(|option| line.has(option));
    if line.has("list") && named {
        return Err(Failure::usage("Nodes and partitions cannot be used with -l"));
    }
    Ok(())
}

/// Does what the command line says.
pub(super) async fn run(session: Session) -> Result<(), Failure> {
    let line = &session.line;
    let user = line.value("user");
    if line.has("list") {
        for server in &session.servers {
            table::say_lines(&session.prefix(server), &list(server, user).await?);
        }
        return Ok(());
    }
    let user = user.unwrap_or_default();
    let everywhere = line.values("machine").any(|name| name == ALL);
    let dealt = if everywhere {
        session.servers.iter().map(|server| (server.clone(), Vec::new())).collect()
    } else {
        session.dealt().await?
    };
    for (server, nodes) in dealt {
        let mut body = Map::new();
        if line.has("add") {
            if line.has("overwrite-rights") {
                body.insert("overwrite".into(), true.into());
            }
            body.insert("username".into(), user.into());
        }
        let partitions: Vec<_> = line.values("part").collect();
        if !partitions.is_empty() && !partitions.contains(&ALL) {
            body.insert("partitions".into(), json!(partitions));
        }
        if !nodes.is_empty() {
            body.insert("nodes".into(), json!(nodes));
        }
        let (method, path) = if line.has("add") {
            (Method::POST, "/rights/".to_owned())
        } else {
            (Method::DELETE, format!("/rights/{}", encode(user)))
        };
        server.send(method, &path, body).await?;
    }
    Ok(())
}

async fn list(server: &Server, user: Option<&str>) -> Result<String, Failure> {
    let path = match user {
        Some(user) => format!("/rights/{}", encode(user)),
        None => "/rights".to_owned(),
    };
    let rights = server.get(&query(&path, &[])).await?;
    let mut rows = Vec::new();
    for (user, nodes) in rights.as_object().into_iter().flatten() {
        for (node, partitions) in nodes.as_object().into_iter().flatten() {
            let partitions = partitions.as_array().into_iter().flatten();
            let partitions: Vec<_> = partitions.filter_map(Value::as_str).collect();
            rows.push([user.clone(), node.clone(), partitions.join(",")]);
        }
    }
    Ok(table::table(["User", "Node", "Partitions"], [15, 41], rows.into_iter()))
}
