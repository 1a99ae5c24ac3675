//! The one table of routes, and the way of a request through it.

use super::{
    Api, consoles, environments, nodes, operations, reload,
    reply::{Format, Reply, refuse},
    request::{Raw, Request},
    rights, service, shape, stats, tokens,
};
use crate::{
    access::Identity,
    operations::Viewer,
    types::{Kind, Problem},
};
use futures_util::FutureExt;
use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, LazyLock},
    time::Duration,
};
use warp::{
    http::{HeaderValue, Method, header},
    hyper::body::Body as _,
};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Everyone, unnamed.
    Anyone,
    /// Everyone who says who he is.
    User,
    /// The owner of the operation, or an almighty user.
    Owner,
    /// Almighty users.
    Almighty,
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
    use Permission::{Almighty, Anyone, User};
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
        route(get.clone(), "/nodes/{node}/explain", User, nodes::explain),
        route(get.clone(), "/nodes/{node}/console", User, consoles::recorded),
        route(get.clone(), "/environments", User, environments::list),
        route(post.clone(), "/environments", User, environments::record),
        route(delete.clone(), "/environments/{user}/{name}", User, environments::remove),
        route(delete, "/environments/{user}/{name}/{version}", User, environments::remove),
        route(put.clone(), "/environments", Almighty, environments::move_files),
        route(put.clone(), "/environments/{user}", Almighty, environments::move_files),
        route(put.clone(), "/environments/{user}/{name}", User, environments::update),
        route(put.clone(), "/environments/{user}/{name}/{version}", User, environments::update),
        route(post.clone(), "/deployment", User, operations::deploy),
        route(post.clone(), "/reboot", User, operations::reboot),
        route(post, "/power", User, operations::power),
        route(put, "/power", User, operations::power),
        route(get, "/power", User, operations::power_list_or_status),
    ];
    table.extend(of_people());
    table.extend([Kind::Deploy, Kind::Reboot, Kind::Power].into_iter().flat_map(of_operation));
    table
}

/// Rights, tokens, consoles, and what was done.
fn of_people() -> Vec<Route> {
    use Permission::{Almighty, Owner, User};
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    vec![
        route(post.clone(), "/rights", Almighty, rights::add),
        route(get.clone(), "/rights", Almighty, rights::list),
        route(get.clone(), "/rights/{user}", Almighty, rights::list),
        route(get.clone(), "/rights/{user}/{node}", Almighty, rights::list),
        route(delete.clone(), "/rights/{user}", Almighty, rights::remove),
        route(delete.clone(), "/rights/{user}/{node}", Almighty, rights::remove),
        route(post.clone(), "/console", User, consoles::open),
        route(get.clone(), "/console", User, consoles::list),
        route(get.clone(), "/console/{wid}", User, consoles::one),
        route(get.clone(), "/console/{wid}/error", Owner, consoles::error),
        route(delete.clone(), "/console/{wid}", Owner, consoles::close),
        route(get.clone(), "/stats", User, stats::list),
        route(get.clone(), "/stats/{operation}", User, stats::list),
        route(get, "/tokens", User, tokens::list),
        route(post, "/tokens", User, tokens::create),
        route(delete, "/tokens/{id}", User, tokens::revoke),
    ]
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

/// Longest time a request may take.
const LIMIT: Duration = Duration::from_secs(600);

/// Paths of our own whose answers have one form, whatever the client takes: monitors and
/// browsers ask for them.
const ONE_FORM: [&str; 3] = ["/events", "/metrics", "/openapi.json"];

/// Answers one request.
pub(super) async fn answer(api: Arc<Api>, raw: Raw) -> warp::reply::Response {
    let (headers, peer) = (raw.headers.clone(), raw.peer.address.ip());
    let (method, path) = (raw.method.clone(), raw.path.clone());
    let answered = tokio::time::timeout(LIMIT, guarded(dispatch(Arc::clone(&api), raw))).await;
    let answered = answered.unwrap_or_else(|_| {
        let text = format!("this took more than {} seconds", LIMIT.as_secs());
        Err(Problem::Unavailable(text))
    });
    let response = match answered {
        Ok(reply) => reply.into_response(&headers),
        Err(problem) => challenge(&api, &problem, refuse(&problem)),
    };
    let status = response.status().as_u16();
    api.operations.means().stream.metrics().request(status);
    // Streams have no length.
    let bytes = response.body().size_hint().exact();
    tracing::debug!(%peer, %method, path, status, bytes, "answered");
    response
}

/// The answer, or an internal error where our own code panics: the client gets an id, and the log
/// has the reason with it.
async fn guarded(answer: impl Future<Output = Result<Reply, Problem>>) -> Result<Reply, Problem> {
    // What it worked with may be half done, but is not looked at again: each request has its own,
    // and what is shared is changed by the store alone.
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Problem::internal(said.unwrap_or("a panic without a word")))
    })
}

/// How to say who one is, where that was not clear and passwords are taken.
fn challenge(
    api: &Api,
    problem: &Problem,
    mut response: warp::reply::Response,
) -> warp::reply::Response {
    let challenge = api.access.challenge().filter(|_| problem.status() == 401);
    if let Some(value) = challenge.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

async fn dispatch(api: Arc<Api>, raw: Raw) -> Result<Reply, Problem> {
    raw.check()?;
    let (route, segments) = find(&raw)?;
    let changes = raw.method != Method::GET;
    // Told before anything is looked at: it will not be done whoever asks for it.
    if changes {
        api.operations.accepting()?;
    }
    let viewer = match route.permission {
        Permission::Anyone => {
            Viewer { user: String::new(), from: raw.peer.address.ip().to_string(), almighty: false }
        }
        Permission::User | Permission::Owner | Permission::Almighty => viewer(&api, &raw).await?,
    };
    // Told before anything is done: the answer could not be given.
    if !ONE_FORM.contains(&route.path.as_str()) {
        Format::wanted(&raw.headers)?;
    }
    // Held until the answer is there.
    let _place = raw.room.values(&raw.body).await?;
    let fields = raw.fields()?;
    let request = Request { segments, fields, viewer };
    let dry = !changes && route.permission != Permission::Anyone && request.dry_run()?;
    let reply = (route.handler)(api, request).await?;
    // What changes something sees to it by itself.
    Ok(if dry { Reply::Text(String::new()) } else { reply })
}

/// The route of a request and the segments it leaves open. 404 where there is none, 405 where
/// there is one of other methods only.
fn find(raw: &Raw) -> Result<(&'static Route, Vec<String>), Problem> {
    let given: Vec<&str> = raw.path.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut allowed = Vec::new();
    for route in ROUTES.iter() {
        let Some(segments) = matches(&route.path, &given) else { continue };
        if route.method == raw.method {
            return Ok((route, segments));
        }
        allowed.push(route.method.as_str());
    }
    // Where the method is known it is the path that is not: too long, or too short.
    let known = ROUTES.iter().any(|route| {
        route.method == raw.method && route.path.split('/').nth(1) == given.first().copied()
    });
    if allowed.is_empty() || known {
        Err(Problem::NotFound(raw.path.clone()))
    } else {
        Err(Problem::MethodNotAllowed(allowed.join(",")))
    }
}

/// Who asks. 403 where his token is not good for this.
async fn viewer(api: &Api, raw: &Raw) -> Result<Viewer, Problem> {
    let means = api.operations.means();
    let Identity { user, scope } = api.access.user(&raw.peer, &raw.headers).await?;
    let mut almighty = means.site().config.server.rights.almighty().any(|one| one == user);
    if let Some(scope) = scope {
        let starts = shape::query(&raw.query).contains_key("nodes") && raw.path.contains("power");
        if !scope.admits(&raw.method, &raw.path, starts) {
            return Err(Problem::Forbidden("this token is not good for that".into()));
        }
        almighty &= scope.is_admin();
    }
    Ok(Viewer { user, from: raw.peer.address.ip().to_string(), almighty })
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

    #[derive(Clone, Default)]
    struct Said(Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Said {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_fault_of_ours_has_an_id_for_the_client_and_its_reason_in_the_log() {
        let said = Said::default();
        let writer = said.clone();
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        let _log = tracing::subscriber::set_default(log);
        let answered = guarded(async { panic!("the password is hunter2") }).await;
        let problem = answered.err().unwrap();
        let Problem::Internal { id } = &problem else { panic!("{problem:?}") };
        let response = refuse(&problem);
        assert_eq!(response.status(), 500);
        let text = problem.to_string();
        assert!(text.contains(id.as_str()) && !text.contains("hunter2"), "{text}");
        let log = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains(id.as_str()) && log.contains("the password is hunter2"), "{log}");
    }

    #[test]
    fn paths_are_matched_by_segment() {
        assert_eq!(matches("/a/{b}/c", &["a", "x+y", "c"]), Some(vec!["x y".into()]));
        assert_eq!(matches("/a/{b}", &["a"]), None);
    }
}
