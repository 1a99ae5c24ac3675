//! The service itself: what it is, what it offers, how it does.

use super::{Api, document, reply::Reply, request::Request, yaml::Keys};
use crate::{
    operations::{Stream, Told, Viewer},
    types::{Event, Problem},
};
use futures_util::stream;
use serde_json::{Value, json};
use std::{collections::BTreeMap, convert::Infallible, pin::Pin, sync::Arc, time::Duration};
use tokio::sync::broadcast::error::RecvError;
use warp::{Reply as _, sse};

type Answer = Result<Reply, Problem>;

/// Silence on an event stream after which a comment is sent, so that both ends know the
/// other is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Variables that every script is told.
const VARIABLES: [&str; 16] = [
    "KADEPLOY_BLOCK_DEVICE",
    "KADEPLOY_CLUSTER",
    "KADEPLOY_DEPLOY_PART",
    "KADEPLOY_DEPLOY_PART_NUM",
    "KADEPLOY_ENV",
    "KADEPLOY_ENV_HYPERVISOR",
    "KADEPLOY_ENV_HYPERVISOR_PARAMS",
    "KADEPLOY_ENV_INITRD",
    "KADEPLOY_ENV_KERNEL",
    "KADEPLOY_ENV_KERNEL_PARAMS",
    "KADEPLOY_OS_KIND",
    "KADEPLOY_PREPOST_EXTRACTION_DIR",
    "KADEPLOY_PROD_PART_NUM",
    "KADEPLOY_SWAP_PART_NUM",
    "KADEPLOY_TMP_DIR",
    "KADEPLOY_TMP_PART_NUM",
];

/// What the version file of the configuration says.
#[utoipa::path(get, path = "/version", tag = "service", responses((status = 200, body = String)))]
pub(super) async fn version(api: Arc<Api>, _: Request) -> Answer {
    Ok(Reply::Text(api.operations.means().site().config.version.clone()))
}

/// What the names of the headers that tell the user start with.
#[utoipa::path(get, path = "/auth_headers_prefix", tag = "service", responses((status = 200, body = String)))]
pub(super) async fn headers_prefix(api: Arc<Api>, _: Request) -> Answer {
    let authentication = &api.operations.means().site().config.server.authentication;
    Ok(Reply::Text(authentication.global.headers_prefix.clone()))
}

/// Ways of the macro-steps, filesystems and variables; and whether something may be changed:
/// `damage` tells why not.
#[utoipa::path(get, path = "/info", tag = "service", responses((status = 200, description = "pxe, automata, supported_fs, vars, damage")))]
pub(super) async fn info(api: Arc<Api>, _: Request) -> Answer {
    let site = api.operations.means().site();
    let config = &site.config;
    let way = |name: &str, one: &config::model::Instance| json!({"name": format!("{name}{}", one.kind), "retries": one.retries, "timeout": one.timeout.as_secs()});
    let clusters = || config.clusters.iter().map(|cluster| (cluster.name.clone(), cluster));
    let automata: BTreeMap<_, _> = clusters()
        .map(|(name, cluster)| {
            let steps = cluster.automata.macrosteps().map(|(step, list)| {
                let ways: Vec<Value> = list.iter().map(|one| way(step, one)).collect();
                (step.to_owned(), Value::Array(ways))
            });
            (name, serde_json::Map::from_iter(steps))
        })
        .collect();
    let filesystems: BTreeMap<_, _> = clusters()
        .map(|(name, cluster)| (name, cluster.boot.kernels.deploy.supported_fs.0.clone()))
        .collect();
    let mut info = json!({
        "pxe": config.server.pxe.dhcp.method.to_string(),
        "automata": automata,
        "supported_fs": filesystems,
        "vars": VARIABLES,
    });
    if let Some(damage) = api.operations.means().damage.as_deref() {
        info["damage"] = damage.into();
    }
    Ok(Reply::Structure(info, Keys::Outer))
}

/// Names of the clusters.
#[utoipa::path(get, path = "/clusters", tag = "service", responses((status = 200, body = Vec<String>)))]
pub(super) async fn clusters(api: Arc<Api>, _: Request) -> Answer {
    let site = api.operations.means().site();
    let config = &site.config;
    Reply::of(&config.clusters.iter().map(|cluster| &cluster.name).collect::<Vec<_>>())
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "service", responses((status = 200, description = "OpenAPI 3.1")))]
pub(super) async fn openapi(_: Arc<Api>, _: Request) -> Answer {
    Ok(Reply::Raw("application/json", document()))
}

/// Counters and times in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "service", responses((status = 200, body = String)))]
pub(super) async fn metrics(api: Arc<Api>, _: Request) -> Answer {
    let text = api.operations.means().stream.metrics().text();
    Ok(Reply::Raw("text/plain; version=0.0.4; charset=utf-8", text))
}

/// Events as they happen (server-sent events), of all operations the client may see, or of
/// the one that `wid` names. A client that falls behind gets an event `lost` with how many.
#[utoipa::path(get, path = "/events", tag = "service", params(("wid" = Option<String>, Query)),
    responses((status = 200, description = "text/event-stream", body = Event)))]
pub(super) async fn events(api: Arc<Api>, request: Request) -> Answer {
    let wid = request.text("wid")?.map(str::to_owned);
    let visible = Visible { viewer: request.viewer, wid };
    let events = listen(&api.operations.means().stream, visible);
    let reply = sse::reply(sse::keep_alive().interval(KEEP_ALIVE).stream(events));
    Ok(Reply::Events(reply.into_response()))
}

/// Which events a listener gets.
struct Visible {
    viewer: Viewer,
    wid: Option<String>,
}

impl Visible {
    fn shows(&self, told: &Told) -> bool {
        let Viewer { user, almighty, .. } = &self.viewer;
        (*almighty || **user == *told.owner)
            && self.wid.as_ref().is_none_or(|wid| *wid == told.event.wid)
    }
}

type Events =
    Pin<Box<dyn futures_util::Stream<Item = Result<sse::Event, Infallible>> + Send + Sync>>;

fn listen(stream: &Stream, visible: Visible) -> Events {
    let events = stream::unfold((stream.listen(), visible), |(mut receiver, visible)| async {
        loop {
            let made = match receiver.recv().await {
                Ok(told) if visible.shows(&told) => {
                    let event = told.event;
                    // An event that cannot be written is left out rather than ending the stream.
                    let Ok(made) = sse::Event::default().json_data(&event) else { continue };
                    made.id(event.id.to_string())
                }
                Ok(_) => continue,
                Err(RecvError::Lagged(lost)) => {
                    sse::Event::default().event("lost").data(lost.to_string())
                }
                Err(RecvError::Closed) => return None,
            };
            return Some((Ok(made), (receiver, visible)));
        }
    });
    Box::pin(events)
}
