//! Consoles of nodes.

use super::{Api, reply::Reply, request::Request};
use crate::{
    consoles::Wanted,
    types::{Code, Problem},
};
use config::model::{Level, RemoteAction};
use serde_json::{Value, json};
use std::{net::IpAddr, sync::Arc};

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
    let configured = site.config.node(&node.name);
    let command = configured.and_then(|(cluster, own)| {
        let command = cluster.command(own, RemoteAction::Console, Level::Soft)?;
        Some(command.text.clone())
    });
    let command = command.ok_or_else(|| {
        Problem::Forbidden(format!("the cluster {} has no console command", node.cluster))
    })?;
    let command = config::substitute(&command, &node.name).map_err(Problem::internal)?;
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
