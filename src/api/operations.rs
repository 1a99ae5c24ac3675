//! Deployments, reboots and power operations.
#![expect(clippy::unused_async, reason = "all handlers have one signature")]

use super::{Api, reply::Reply, request::Request};
use crate::{
    operations::{Asked, Line, Request as Wanted},
    types::{
        Code, Created, DeployRequest, Kind, NodeStatus, Nodes, Poll, PowerRequest, Problem,
        RebootRequest, StatusTree,
    },
};
use serde_json::json;
use std::sync::Arc;

type Answer = Result<Reply, Problem>;

/// Installs an environment on nodes.
#[utoipa::path(post, path = "/deployment", tag = "operations", request_body = DeployRequest,
    responses((status = 200, body = Created), (status = 400, description = "X-Application-Error-Code tells which error")))]
pub(super) async fn deploy(api: Arc<Api>, request: Request) -> Answer {
    admitted(&api, &request).await?;
    secure_client(&api, &request)?;
    let wanted = Wanted::Deploy(Box::new(request.decode::<DeployRequest>()?));
    create(api, &request, wanted).await
}

/// Boots nodes anew.
#[utoipa::path(post, path = "/reboot", tag = "operations", request_body = RebootRequest,
    responses((status = 200, body = Created), (status = 400, description = "X-Application-Error-Code tells which error")))]
pub(super) async fn reboot(api: Arc<Api>, request: Request) -> Answer {
    admitted(&api, &request).await?;
    secure_client(&api, &request)?;
    let wanted = Wanted::Reboot(Box::new(request.decode::<RebootRequest>()?));
    create(api, &request, wanted).await
}

/// Switches nodes on or off.
#[utoipa::path(method(put, post), path = "/power", tag = "operations", request_body = PowerRequest,
    responses((status = 200, body = Created), (status = 400, description = "X-Application-Error-Code tells which error")))]
pub(super) async fn power(api: Arc<Api>, request: Request) -> Answer {
    admitted(&api, &request).await?;
    let wanted = Wanted::Power(Box::new(request.decode::<PowerRequest>()?));
    create(api, &request, wanted).await
}

/// Without `nodes` the list of power operations; with them a new one that asks for their state.
#[utoipa::path(get, path = "/power", tag = "operations", params(("nodes" = Option<Vec<String>>, Query)),
    responses((status = 200, description = "A list of operations, or the one that was started")))]
pub(super) async fn power_list_or_status(api: Arc<Api>, request: Request) -> Answer {
    if !request.fields.contains_key("nodes") {
        return list(api, request, Kind::Power).await;
    }
    // Of the other fields that all operations have none is looked at.
    let mut wanted = PowerRequest { status: Some("status".into()), ..PowerRequest::default() };
    wanted.common.nodes = request.decode::<Nodes>()?.nodes;
    wanted.common.dry_run = request.dry_run()?;
    create(api, &request, Wanted::Power(Box::new(wanted))).await
}

/// The nodes, and the right on them, before anything else of a request is looked at.
async fn admitted(api: &Api, request: &Request) -> Result<(), Problem> {
    let named = request.decode::<Nodes>()?.nodes;
    let chosen = api.operations.means().site().inventory.select(&named)?.nodes;
    let names: Vec<&str> = chosen.iter().map(|node| node.name.as_str()).collect();
    api.operations.rights().of(&request.viewer.user).await?.demand(&names, "", "")
}

/// Where the client serves its files: in the clear only where the site allows that.
pub(super) fn secure_client<'r>(
    api: &Api,
    request: &'r Request,
) -> Result<Option<&'r str>, Problem> {
    let client = request.text("client")?.filter(|client| !client.is_empty());
    let forced = api.operations.means().site().config.server.security.force_secure_client;
    if forced && client.is_some_and(|client| !client.starts_with("https://")) {
        let why = "should be a https:// URL: this site takes no files in the clear";
        let way_out = "call the program with --secure (security/force_secure_client)";
        return Err(Problem::parameter(Code::InvalidClient, "client", why).hint(way_out));
    }
    Ok(client)
}

async fn create(api: Arc<Api>, request: &Request, wanted: Wanted) -> Answer {
    let asked = Asked { request: wanted, user: request.viewer.user.clone() };
    match api.operations.create(asked).await? {
        Some(created) => Reply::fields(&created),
        None => Ok(Reply::Text(String::new())),
    }
}

/// All operations of this kind that the service knows.
#[utoipa::path(get, path = "/{operation}", tag = "operations", params(("operation" = String, Path)),
    responses((status = 200, body = Vec<Poll>)))]
pub(super) async fn list(api: Arc<Api>, request: Request, kind: Kind) -> Answer {
    Reply::fields(&api.operations.list(kind, &request.viewer))
}

/// How an operation stands.
#[utoipa::path(get, path = "/{operation}/{wid}", tag = "operations",
    params(("operation" = String, Path), ("wid" = String, Path)), responses((status = 200, body = Poll)))]
pub(super) async fn poll(api: Arc<Api>, request: Request, kind: Kind) -> Answer {
    Reply::fields(&api.operations.poll(kind, request.segment(0), &request.viewer)?)
}

/// Messages, one a line, `time|text`: those this client has not read, or with `since` those
/// from a cursor on (`X-Kadence-Cursor` tells the next one) without reading them.
#[utoipa::path(get, path = "/{operation}/{wid}/logs/{cluster}", tag = "operations",
    params(("operation" = String, Path), ("wid" = String, Path), ("cluster" = String, Path, description = "May be left out"),
    ("since" = Option<usize>, Query)), responses((status = 200, body = String)))]
pub(super) async fn logs(api: Arc<Api>, request: Request, kind: Kind) -> Answer {
    let (wid, viewer) = (request.segment(0), &request.viewer);
    let cluster = request.segments.get(1).map(String::as_str);
    if let Some(since) = cursor(&request)? {
        let (lines, next) = api.operations.logs_since(kind, wid, viewer, cluster, since)?;
        return Ok(Reply::Cursor(next, text(&lines)));
    }
    if is_silent(&api, &request, kind)? {
        return Ok(Reply::Text(String::new()));
    }
    Ok(Reply::Text(text(&api.operations.logs(kind, wid, viewer, cluster)?)))
}

/// What commands printed, where `debug` was asked for; read as messages are.
#[utoipa::path(get, path = "/{operation}/{wid}/debugs/{node}", tag = "operations",
    params(("operation" = String, Path), ("wid" = String, Path), ("node" = String, Path, description = "May be left out"),
    ("since" = Option<usize>, Query)), responses((status = 200, body = String)))]
pub(super) async fn debugs(api: Arc<Api>, request: Request, kind: Kind) -> Answer {
    let (wid, viewer) = (request.segment(0), &request.viewer);
    let node = request.segments.get(1).map(String::as_str);
    if let Some(since) = cursor(&request)? {
        let (lines, next) = api.operations.debugs_since(kind, wid, viewer, node, since)?;
        return Ok(Reply::Cursor(next, text(&lines)));
    }
    if is_silent(&api, &request, kind)? {
        return Ok(Reply::Text(String::new()));
    }
    Ok(Reply::Text(text(&api.operations.debugs(kind, wid, viewer, node)?)))
}

/// The place that is asked for, where one is.
fn cursor(request: &Request) -> Result<Option<usize>, Problem> {
    let Some(since) = request.fields.get("since") else { return Ok(None) };
    let since = since.as_u64().and_then(|since| usize::try_from(since).ok());
    let wrong = || Problem::parameter(Code::InvalidOption, "since", "should be a Integer");
    since.map(Some).ok_or_else(wrong)
}

/// Whether nothing is told of an operation but its error: it broke off, and old clients expect nothing
/// in its other parts (`failed` asks for them all the same); or it is a dry run, which reads nothing
/// that counts as read.
fn is_silent(api: &Api, request: &Request, kind: Kind) -> Result<bool, Problem> {
    let broken = api.operations.error(kind, request.segment(0), &request.viewer)?.is_some();
    Ok(request.dry_run()? || (broken && !request.toggle("failed")?))
}

/// Where each node is that has begun. Nothing of an operation that broke off, unless `failed` asks for
/// it; then nodes that were left out because they were busy are there as well.
#[utoipa::path(get, path = "/{operation}/{wid}/state", tag = "operations",
    params(("operation" = String, Path), ("wid" = String, Path), ("failed" = Option<bool>, Query)), responses((status = 200, body = std::collections::BTreeMap<String, NodeStatus>)))]
pub(super) async fn state(api: Arc<Api>, request: Request, kind: Kind) -> Answer {
    if is_silent(&api, &request, kind)? {
        return Ok(Reply::Text(String::new()));
    }
    let mut state = api.operations.state(kind, request.segment(0), &request.viewer)?;
    if !request.toggle("failed")? {
        state.retain(|_, node| node.state != "discarded");
    }
    Reply::fields(&state)
}

/// Which nodes are in which step now.
#[utoipa::path(get, path = "/{operation}/{wid}/status", tag = "operations",
    params(("operation" = String, Path), ("wid" = String, Path)), responses((status = 200, body = StatusTree)))]
pub(super) async fn status(api: Arc<Api>, request: Request, kind: Kind) -> Answer {
    if is_silent(&api, &request, kind)? {
        return Ok(Reply::Text(String::new()));
    }
    Reply::fields(&api.operations.status(kind, request.segment(0), &request.viewer)?)
}

/// Nothing, or the error that broke the operation off, as an error response.
#[utoipa::path(get, path = "/{operation}/{wid}/error", tag = "operations",
    params(("operation" = String, Path), ("wid" = String, Path)),
    responses((status = 200, description = "It did not break off"), (status = 400, description = "Why it broke off")))]
pub(super) async fn error(api: Arc<Api>, request: Request, kind: Kind) -> Answer {
    match api.operations.error(kind, request.segment(0), &request.viewer)? {
        Some(problem) => Err(problem),
        None => Ok(Reply::Text(String::new())),
    }
}

/// Lets nodes that wait at a breakpoint go on (`continue`) or gives them up (`abort`).
#[utoipa::path(post, path = "/{operation}/{wid}/{order}", tag = "operations",
    params(("operation" = String, Path), ("wid" = String, Path), ("order" = String, Path, description = "`continue` or `abort`")),
    responses((status = 200, description = "Done"), (status = 400, description = "14: no node waits")))]
pub(super) async fn resume(api: Arc<Api>, request: Request, kind: Kind, go_on: bool) -> Answer {
    request.not_dry()?;
    api.operations.resume(kind, request.segment(0), &request.viewer, go_on)?;
    Reply::fields(&json!({"wid": request.segment(0)}))
}

/// Starts an operation that has ended anew, on the nodes that failed.
#[utoipa::path(post, path = "/{operation}/{wid}/retry", tag = "operations",
    params(("operation" = String, Path), ("wid" = String, Path)),
    responses((status = 200, body = Created), (status = 400, description = "It has not ended, no node failed, or all are busy")))]
pub(super) async fn retry(api: Arc<Api>, request: Request, kind: Kind) -> Answer {
    request.not_dry()?;
    match api.operations.retry(kind, request.segment(0), &request.viewer).await? {
        Some(created) => Reply::fields(&created),
        None => Ok(Reply::Text(String::new())),
    }
}

/// Ends an operation that runs; forgets one that has ended. A deployment whose nodes have to be
/// brought into a known state first is kept, so that its result can be read.
#[utoipa::path(delete, path = "/{operation}/{wid}", tag = "operations",
    params(("operation" = String, Path), ("wid" = String, Path)), responses((status = 200, description = "Its id")))]
pub(super) async fn delete(api: Arc<Api>, request: Request, kind: Kind) -> Answer {
    let wid = request.segment(0);
    let dry = request.dry_run()?;
    let deleted = if dry {
        api.operations.state(kind, wid, &request.viewer).map(drop)
    } else {
        api.operations.delete(kind, wid, &request.viewer).await
    };
    match deleted {
        Ok(()) if dry => Ok(Reply::Text(String::new())),
        Ok(()) => Reply::fields(&json!({"wid": wid})),
        // What old clients get for an operation that is not there (any more).
        Err(Problem::Application { code: Code::InvalidWorkflowId, .. }) => {
            Err(Problem::MethodNotAllowed("POST,PUT,GET,HEAD".into()))
        }
        Err(problem) => Err(problem),
    }
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| format!("{:.5}|{}\n", line.at, line.text)).collect()
}
