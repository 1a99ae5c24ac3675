//! Consoles of nodes.

use super::{Api, reply::Reply, request::Request};
use crate::{
    consoles::Wanted,
    platform::real::console::command,
    types::{Code, ConsoleLog, Problem},
};
use serde_json::{Value, json};
use std::{net::IpAddr, sync::Arc, time::Duration};

type Answer = Result<Reply, Problem>;

/// Opens the console of one node: the answer names a TCP port that is joined to it, for the
/// address that asks.
#[utoipa::path(post, path = "/console", tag = "consoles",
    responses((status = 200, description = "wid, resources"), (status = 400, description = "2: not one node; 6: no right on it"),
    (status = 403, description = "The cluster has no console command")))]
pub(super) async fn open(api: Arc<Api>, request: Request) -> Answer {
    let site = api.operations.means().site();
    let named = request
        .text("node")
        .map_err(|_| Problem::parameter(Code::InvalidNodelist, "node", "should be a String"))?
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Problem::parameter(Code::InvalidNodelist, "node", "mandatory"))?;
    let chosen = site.inventory.select(&[named.to_owned()])?.nodes;
    let [node] = chosen.as_slice() else {
        return Err(Problem::parameter(Code::InvalidNodelist, "node", "must be a single node"));
    };
    let held = api.operations.rights().of(&request.viewer.user).await?;
    held.demand(&[&node.name], "", "")?;
    let command = command(&site.config, &node.name).map_err(Problem::internal)?;
    let command = command.ok_or_else(|| {
        Problem::Forbidden(format!("the cluster {} has no console command", node.cluster))
    })?;
    let from: IpAddr = request.viewer.from.parse().map_err(Problem::internal)?;
    if request.dry_run()? {
        return Ok(Reply::Text(String::new()));
    }
    let user = request.viewer.user.clone();
    let wanted = Wanted { node: node.name.clone(), command, user, from };
    Reply::fields(&api.consoles.open(wanted).await?)
}

/// All consoles.
#[utoipa::path(get, path = "/console", tag = "consoles",
    responses((status = 200, description = "id, user, node, error, time; for the owner attached and console_uri as well")))]
pub(super) async fn list(api: Arc<Api>, request: Request) -> Answer {
    Reply::fields(&Value::Array(api.consoles.list(&request.viewer)))
}

/// One console.
#[utoipa::path(get, path = "/console/{wid}", tag = "consoles", params(("wid" = String, Path)),
    responses((status = 200, description = "id, user, node, error, time, attached, console_uri")))]
pub(super) async fn one(api: Arc<Api>, request: Request) -> Answer {
    Reply::fields(&api.consoles.one(request.segment(0), &request.viewer)?)
}

/// Nothing, or why it ended by itself, as an error response.
#[utoipa::path(get, path = "/console/{wid}/error", tag = "consoles", params(("wid" = String, Path)),
    responses((status = 200, description = "It did not"), (status = 400, description = "Why it ended")))]
pub(super) async fn error(api: Arc<Api>, request: Request) -> Answer {
    match api.consoles.error(request.segment(0), &request.viewer)? {
        Some(problem) => Err(problem),
        None => Ok(Reply::Text(String::new())),
    }
}

/// Closes a console.
#[utoipa::path(delete, path = "/console/{wid}", tag = "consoles", params(("wid" = String, Path)),
    responses((status = 200, description = "Its id")))]
pub(super) async fn close(api: Arc<Api>, request: Request) -> Answer {
    let (wid, dry) = (request.segment(0), request.dry_run()?);
    match api.consoles.close(wid, &request.viewer, dry) {
        Ok(()) if dry => Ok(Reply::Text(String::new())),
        Ok(()) => Reply::fields(&json!({"wid": wid})),
        Err(Problem::Application { code: Code::InvalidWorkflowId, .. }) => {
            Err(Problem::MethodNotAllowed("POST,PUT,GET,HEAD".into()))
        }
        Err(problem) => Err(problem),
    }
}

/// Longest time for which news are waited for.
const MOST: u64 = 60;

/// What the node printed on its console during its last deployment, or during one `back` before
/// it, for the owner of that and for administrators; from the place `since` on. Where nothing is
/// there yet and the node is still deployed it is waited for, `wait` seconds at most.
#[utoipa::path(get, path = "/nodes/{node}/console", tag = "nodes",
    params(("node" = String, Path), ("since" = Option<u64>, Query), ("back" = Option<u64>, Query), ("wait" = Option<u64>, Query)),
    responses((status = 200, body = ConsoleLog), (status = 400, description = "2: no such node"),
    (status = 403, description = "Another user's"), (status = 404, description = "Nothing was recorded")))]
pub(super) async fn recorded(api: Arc<Api>, request: Request) -> Answer {
    let number = |name: &str| match request.fields.get(name) {
        None | Some(Value::Null) => Ok(0),
        Some(Value::String(text)) => text.parse().map_err(|_| wrong(name)),
        Some(other) => other.as_u64().ok_or_else(|| wrong(name)),
    };
    let (since, back, wait) = (number("since")?, number("back")?, number("wait")?.min(MOST));
    let site = api.operations.means().site();
    let chosen = site.inventory.select(&[request.segment(0).to_owned()])?.nodes;
    let [node] = chosen.as_slice() else {
        return Err(Problem::parameter(Code::InvalidNodelist, "node", "must be a single node"));
    };
    let nothing = || {
        let text = format!("nothing was recorded of the console of {}", node.name);
        Problem::NotFound(text)
    };
    let recorder = api.recorder.as_ref().ok_or_else(nothing)?;
    let back = usize::try_from(back).map_err(|_| wrong("back"))?;
    let kept = async |wait| {
        let kept = recorder.read(&node.name, back, since, wait).await;
        let kept = kept.map_err(Problem::internal)?.ok_or_else(nothing)?;
        // A console shows what its node shows.
        if request.viewer.almighty || request.viewer.user == kept.user {
            return Ok(kept);
        }
        let text = format!("the last deployment of {} was another user's", node.name);
        Err(Problem::Forbidden(text))
    };
    // Nobody waits for what he may not read.
    let mut found = kept(Duration::ZERO).await?;
    if wait > 0 && found.live && found.next == since {
        found = kept(Duration::from_secs(wait)).await?;
    }
    Reply::of(&found)
}

fn wrong(name: &str) -> Problem {
    Problem::parameter(Code::InvalidOption, name, "should be an Integer")
}
