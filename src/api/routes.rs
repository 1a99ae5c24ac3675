//! The one table of routes, and the way of a request through it.

use super::{
    Api, environments, nodes, operations, reload,
    reply::{Format, Reply, refuse},
    request::{Raw, Request},
    service, shape,
};
use crate::{
    operations::Viewer,
    types::{Kind, Problem},
};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, LazyLock},
};
use warp::{http::Method, hyper::body::Body as _};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Everyone, unnamed.
    Anyone,
    /// Everyone who says who he is.
    User,
    /// The owner of the operation, or an almighty user.
    Owner,
}

type Answer = Pin<Box<dyn Future<Output = Result<Reply, Problem>> + Send>>;
type Handler = Box<dyn Fn(Arc<Api>, Request) -> Answer + Send + Sync>;

/// One route.
pub(super) struct Route {
    pub(super) method: Method,
    /// `{name}` stands for any one segment.
    pub(super) path: String,
    pub(super) permission: Permission,
    handler: Handler,
}

/// Every route.
pub(super) static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(table);

/// Every route: its method, its path and who may use it.
pub fn routes() -> impl Iterator<Item = (&'static Method, &'static str, Permission)> {
    ROUTES.iter().map(|route| (&route.method, route.path.as_str(), route.permission))
}

fn route<F>(
    method: Method,
    path: impl Into<String>,
    permission: Permission,
    handler: impl Fn(Arc<Api>, Request) -> F + Send + Sync + 'static,
) -> Route
where
    F: Future<Output = Result<Reply, Problem>> + Send + 'static,
{
    let handler: Handler = Box::new(move |api, request| Box::pin(handler(api, request)));
    Route { method, path: path.into(), permission, handler }
}

fn table() -> Vec<Route> {
    use Permission::{Anyone, User};
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    let mut table = vec![
        route(get.clone(), "/version", Anyone, service::version),
        route(get.clone(), "/auth_headers_prefix", Anyone, service::headers_prefix),
        route(get.clone(), "/info", Anyone, service::info),
        route(get.clone(), "/clusters", Anyone, service::clusters),
        route(get.clone(), "/openapi.json", Anyone, service::openapi),
        route(get.clone(), "/metrics", User, service::metrics),
        route(get.clone(), "/events", User, service::events),
        route(post.clone(), "/reload", User, reload::reload),
        route(get.clone(), "/nodes", User, nodes::list),
        route(get.clone(), "/nodes/{node}", User, nodes::one),
        route(get.clone(), "/environments", User, environments::list),
        route(post.clone(), "/environments", User, environments::record),
        route(delete.clone(), "/environments/{user}/{name}", User, environments::remove),
        route(delete, "/environments/{user}/{name}/{version}", User, environments::remove),
        route(post.clone(), "/deployment", User, operations::deploy),
        route(post.clone(), "/reboot", User, operations::reboot),
        route(post, "/power", User, operations::power),
        route(put, "/power", User, operations::power),
        route(get, "/power", User, operations::power_list_or_status),
    ];
    table.extend([Kind::Deploy, Kind::Reboot, Kind::Power].into_iter().flat_map(of_operation));
    table
}

/// What every kind of operation has.
fn of_operation(kind: Kind) -> Vec<Route> {
    use Permission::{Owner, User};
    let (get, post) = (Method::GET, Method::POST);
    let path = |rest: &str| format!("/{}{rest}", kind.path());
    let mut table = vec![
        route(get.clone(), path("/{wid}"), User, move |a, r| operations::poll(a, r, kind)),
        route(get.clone(), path("/{wid}/logs"), Owner, move |a, r| operations::logs(a, r, kind)),
        route(get.clone(), path("/{wid}/logs/{cluster}"), Owner, move |a, r| {
            operations::logs(a, r, kind)
        }),
        route(get.clone(), path("/{wid}/debugs"), Owner, move |a, r| {
            operations::debugs(a, r, kind)
        }),
        route(get.clone(), path("/{wid}/debugs/{node}"), Owner, move |a, r| {
            operations::debugs(a, r, kind)
        }),
        route(get.clone(), path("/{wid}/state"), Owner, move |a, r| operations::state(a, r, kind)),
        route(get.clone(), path("/{wid}/status"), Owner, move |a, r| {
            operations::status(a, r, kind)
        }),
        route(get.clone(), path("/{wid}/error"), Owner, move |a, r| operations::error(a, r, kind)),
        route(post.clone(), path("/{wid}/continue"), Owner, move |a, r| {
            operations::resume(a, r, kind, true)
        }),
        route(post.clone(), path("/{wid}/abort"), Owner, move |a, r| {
            operations::resume(a, r, kind, false)
        }),
        route(post, path("/{wid}/retry"), Owner, move |a, r| operations::retry(a, r, kind)),
        route(Method::DELETE, path("/{wid}"), Owner, move |a, r| operations::delete(a, r, kind)),
    ];
    // The list of power operations shares its path with the request for a power status.
    if kind != Kind::Power {
        table.push(route(get, path(""), User, move |a, r| operations::list(a, r, kind)));
    }
    table
}

/// Answers one request.
pub(super) async fn answer(api: Arc<Api>, raw: Raw) -> warp::reply::Response {
    let (headers, peer) = (raw.headers.clone(), raw.peer.ip());
    let (method, path) = (raw.method.clone(), raw.path.clone());
    let response = match dispatch(Arc::clone(&api), raw).await {
        Ok(reply) => reply.into_response(&headers),
        Err(problem) => refuse(&problem),
    };
    let status = response.status().as_u16();
    api.operations.means().stream.metrics().request(status);
    // Streams have no length.
    let bytes = response.body().size_hint().exact();
    tracing::debug!(%peer, %method, path, status, bytes, "answered");
    response
}

async fn dispatch(api: Arc<Api>, raw: Raw) -> Result<Reply, Problem> {
    raw.check()?;
    let given: Vec<&str> = raw.path.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut allowed = Vec::new();
    for route in ROUTES.iter() {
        let Some(segments) = matches(&route.path, &given) else { continue };
        if route.method != raw.method {
            allowed.push(route.method.as_str());
            continue;
        }
        let viewer = match route.permission {
            Permission::Anyone => {
                Viewer { user: String::new(), from: raw.peer.ip().to_string(), almighty: false }
            }
            Permission::User | Permission::Owner => raw.viewer(|user| almighty(&api, user))?,
        };
        // Told before anything is done: the answer could not be given.
        if raw.method != Method::GET || route.path == "/power" {
            Format::wanted(&raw.headers)?;
        }
        if raw.method != Method::GET {
            api.operations.writable()?;
        }
        let fields = raw.fields()?;
        return (route.handler)(api, Request { segments, fields, viewer }).await;
    }
    if allowed.is_empty() {
        Err(Problem::NotFound(raw.path))
    } else {
        Err(Problem::MethodNotAllowed(allowed.join(",")))
    }
}

fn almighty(api: &Api, user: &str) -> bool {
    api.operations.means().site().config.server.rights.almighty().any(|one| one == user)
}

/// The open segments, if `given` has the form of `path`.
fn matches(path: &str, given: &[&str]) -> Option<Vec<String>> {
    let wanted = path.split('/').filter(|segment| !segment.is_empty());
    if wanted.clone().count() != given.len() {
        return None;
    }
    let mut open = Vec::new();
    for (wanted, given) in wanted.zip(given) {
        if wanted.starts_with('{') {
            open.push(shape::decode(given));
        } else if wanted != *given {
            return None;
        }
    }
    Some(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_routes_answer_the_same_request() {
        let mut seen = std::collections::BTreeSet::new();
        for route in ROUTES.iter() {
            assert!(seen.insert((route.method.to_string(), route.path.clone())), "{}", route.path);
        }
    }

    #[test]
    fn paths_are_matched_by_segment() {
        assert_eq!(matches("/a/{b}/c", &["a", "x+y", "c"]), Some(vec!["x y".into()]));
        assert_eq!(matches("/a/{b}", &["a"]), None);
    }
}
