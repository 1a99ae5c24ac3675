//! The machines.

use super::{Api, reply::Reply, request::Request};
use crate::{
    operations::nodes,
    types::{Explanation, NodeInfo, Nodes, Problem},
};
use serde_json::{Map, Value};
use std::sync::Arc;

/// What became of the nodes: of all, or of those named; with `list` only their names.
#[utoipa::path(get, path = "/nodes", tag = "nodes",
    params(("nodes" = Option<Vec<String>>, Query), ("list" = Option<bool>, Query)),
    responses((status = 200, description = "Node → what became of it, null for one that was never used")))]
pub(super) async fn list(api: Arc<Api>, request: Request) -> Result<Reply, Problem> {
    let means = api.operations.means();
    let named = request.decode::<Nodes>()?.nodes;
    let chosen = if named.is_empty() {
        means.site().inventory.all().to_vec()
    } else {
        means.site().inventory.select(&named)?.nodes
    };
    if request.toggle("list")? {
        return Reply::of(&chosen.iter().map(|node| &node.name).collect::<Vec<_>>());
    }
    let mut known = nodes::infos(&*means.store).await?;
    let mut map = Map::new();
    // Those that were used, by name; then the others, in the order of the site.
    let (mut used, fresh): (Vec<_>, Vec<_>) =
        chosen.into_iter().partition(|node| known.contains_key(&node.name));
    used.sort_by(|a, b| a.name.cmp(&b.name));
    for node in used.into_iter().chain(fresh) {
        let info = known.remove(&node.name);
        if named.is_empty() || info.is_some() {
            map.insert(node.name.clone(), serde_json::to_value(info).map_err(Problem::internal)?);
        }
    }
    if map.is_empty() {
        return Err(Problem::NotFound("none of these nodes was ever used".into()));
    }
    Ok(Reply::plain(Value::Object(map)))
}

/// What became of one node.
#[utoipa::path(get, path = "/nodes/{node}", tag = "nodes", params(("node" = String, Path)),
    responses((status = 200, body = NodeInfo), (status = 404, description = "Unknown, or never used")))]
pub(super) async fn one(api: Arc<Api>, request: Request) -> Result<Reply, Problem> {
    let name = request.segment(0);
    match nodes::info_of(&*api.operations.means().store, name).await? {
        Some(info) => Reply::of(&info),
        None => Err(Problem::NotFound(format!("nothing is known of {name}"))),
    }
}

/// Why a node is where it is: what it waits for, since when, until when, what was seen of it, the
/// likely cause and what to do next. The node is looked at for that: it may take ten seconds.
#[utoipa::path(get, path = "/nodes/{node}/explain", tag = "nodes", params(("node" = String, Path)),
    responses((status = 200, body = Explanation), (status = 400, description = "2: no such node")))]
pub(super) async fn explain(api: Arc<Api>, request: Request) -> Result<Reply, Problem> {
    Reply::of(&api.operations.explain(request.segment(0), &request.viewer).await?)
}
