//! The conversation about one operation with one server.

use super::{Order, result, status};
use crate::kadeploy::{
    channels::Channels,
    failure::Failure,
    http::{Server, query},
};
use reqwest::Method;
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Between two polls, and between two looks at the status.
const BEAT: Duration = Duration::from_secs(1);

/// An operation on a server.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) server: Server,
    /// Its path.
    pub(super) resource: String,
}

/// The answer to the request that created it.
struct Created(Value);

impl Created {
    /// The path of one of its resources.
    fn resource(&self, name: &str) -> Result<&str, Failure> {
        let invalid = || Failure::usage("Invalid server response");
        self.0["resources"][name].as_str().ok_or_else(invalid)
    }

    fn wid(&self) -> Result<&str, Failure> {
        self.0["wid"].as_str().ok_or_else(|| Failure::usage("Invalid server response"))
    }
}

/// Asks `server` for the operation, and follows it to its end unless told otherwise.
pub(super) async fn follow(
    order: &Order,
    server: &Server,
    (fields, nodes): (Map<String, Value>, &[String]),
    mut presses: watch::Receiver<u64>,
) -> Result<(), Failure> {
    let line = &order.session.line;
    let created = Created(create(order, server, fields, nodes).await?);
    if line.on("dry-run") {
        return Ok(());
    }
    let (wid, resource) = (created.wid()?, created.resource("resource")?);
    let running = Running { server: server.clone(), resource: resource.to_owned() };
    order.created(running, wid)?;
    if line.off("wait") {
        order.say(server, &format!("{wid} {resource}"));
        return Ok(());
    }
    order.say(server, &format!("{} #{wid} started", order.workflow.title));
    let poll = poll(order, server, &created, &mut presses).await?;
    if poll["error"].as_bool().unwrap_or_default() {
        order.ended(resource);
        // The answer is the error. One without it ends well: so it was.
        server.text(created.resource("error")?).await?;
    }
    let state = server.get(created.resource("state")?).await.or_else(nothing)?;
    server.send(Method::DELETE, resource, Map::new()).await?;
    order.ended(resource);
    if order.power_status {
        order.say(server, &result::powers(&state));
    }
    order.say(server, &format!("{} #{wid} done\n", order.workflow.title));
    result::tell(order, server, &poll, &state)
}

/// The state of an operation that broke off is an empty text.
fn nothing(failure: Failure) -> Result<Value, Failure> {
    if failure.text == "Invalid server response" { Ok(Value::Null) } else { Err(failure) }
}

async fn create(
    order: &Order,
    server: &Server,
    fields: Map<String, Value>,
    nodes: &[String],
) -> Result<Value, Failure> {
    let (path, method) = (order.workflow.path, (order.workflow.method)());
    if method == Method::GET {
        let mut parameters: Vec<_> = nodes.iter().map(|node| ("nodes", node.as_str())).collect();
        if order.session.line.on("dry-run") {
            parameters.push(("dry_run", "true"));
            return server.text(&query(path, &parameters)).await.map(|_| Value::Null);
        }
        return server.get(&query(path, &parameters)).await;
    }
    let body = order.body(fields, nodes).await?;
    server.send(method, path, body).await
}

/// Asks every second until it has ended; the last answer.
async fn poll(
    order: &Order,
    server: &Server,
    created: &Created,
    presses: &mut watch::Receiver<u64>,
) -> Result<Value, Failure> {
    let debugs = order.session.line.on("debug-mode");
    loop {
        let beat = Instant::now() + BEAT;
        let poll = server.get(created.resource("resource")?).await?;
        let mut lines = Vec::new();
        if poll["logs"].as_bool().unwrap_or_default() {
            let text = server.text(created.resource("log")?).await?;
            lines.extend(parse(&text).into_iter().map(|(at, text)| (at, false, text)));
        }
        if debugs && poll["debugs"].as_bool().unwrap_or_default() {
            let text = server.text(created.resource("debug")?).await?;
            lines.extend(parse(&text).into_iter().map(|(at, text)| (at, true, text)));
        }
        show(order, server, lines);
        if poll["done"].as_bool().unwrap_or_default() {
            return Ok(poll);
        }
        while let Some(()) = pressed(beat, presses).await {
            let text = server.get(created.resource("status")?).await.or_else(nothing)?;
            order.say(server, &status::text(order.workflow.title, &poll, &text));
            // Not more often than that.
            sleep_until(beat).await;
        }
    }
}

/// Waits for Enter, at most until `beat`.
async fn pressed(beat: Instant, presses: &mut watch::Receiver<u64>) -> Option<()> {
    let pressed = async {
        if presses.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::time::timeout_at(beat, pressed).await.ok()
}

/// Messages in the order of their times.
fn show(order: &Order, server: &Server, mut lines: Vec<(f64, bool, String)>) {
    lines.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
    let channels: &Channels = &order.session.channels;
    let prefix = order.session.prefix(server);
    for (_, debug, text) in lines {
        if debug {
            text.split('\n').for_each(|line| channels.debug(&format!("{prefix}[dbg] {line}")));
        } else {
            order.say(server, &text);
        }
    }
}

/// `<time>|<text>` per message. What does not begin like that belongs to the one before it.
fn parse(text: &str) -> Vec<(f64, String)> {
    let mut lines: Vec<(f64, String)> = Vec::new();
    for line in text.trim_end_matches('\n').split('\n') {
        let timed = line.split_once('|').and_then(|(at, text)| Some((at.parse().ok()?, text)));
        match (timed, lines.last_mut()) {
            (Some((at, text)), _) => lines.push((at, text.to_owned())),
            (None, Some((_, before))) if !line.is_empty() => {
                before.push('\n');
                before.push_str(line);
            }
            _ => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_whole() {
        let text = "2.5|b | c\n1.5|  a\nmore\n\n3.0|\n\n";
        let read = [(2.5, "b | c".to_owned()), (1.5, "  a\nmore".to_owned()), (3.0, String::new())];
        assert_eq!(parse(text), read);
        assert_eq!(parse("\n"), []);
    }
}
