//! The description of the interface, made from the handlers and the table of routes.
//!
//! A handler that serves several routes is described once: `{operation}` and `{order}` stand
//! for words of the path, and a last segment "may be left out". The table says which paths
//! there are in truth, and who may use them.

use super::{
    consoles, environments, nodes, operations, reload, rights, routes::Permission, routes::routes,
    service, stats, tokens,
};
use crate::types::{Event, NodeInfo, NodeStatus, Poll};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

/// How the description of a parameter starts that some routes of its handler do not have.
const OPTIONAL: &str = "May be left out";

#[derive(OpenApi)]
#[openapi(
    info(title = "Kadence", description = "Bare-metal provisioning"),
    paths(
        service::version,
        service::headers_prefix,
        service::info,
        service::clusters,
        service::openapi,
        service::metrics,
        service::events,
        reload::reload,
        nodes::list,
        nodes::one,
        nodes::explain,
        environments::list,
        environments::record,
        environments::remove,
        environments::update,
        environments::move_files,
        rights::list,
        rights::add,
        rights::remove,
        stats::list,
        consoles::open,
        consoles::list,
        consoles::one,
        consoles::error,
        consoles::close,
        consoles::recorded,
        tokens::list,
        tokens::create,
        tokens::revoke,
        operations::deploy,
        operations::reboot,
        operations::power,
        operations::power_list_or_status,
        operations::list,
        operations::poll,
        operations::logs,
        operations::debugs,
        operations::state,
        operations::status,
        operations::error,
        operations::resume,
        operations::retry,
        operations::delete,
    ),
    components(schemas(Event, Poll, NodeStatus, NodeInfo))
)]
struct Document;

/// The `OpenAPI` document, JSON.
pub fn document() -> String {
    // Everything in it is text and numbers: writing it cannot fail.
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    let handlers = document["paths"].take();
    let mut paths = Map::new();
    for (method, path, permission) in routes() {
        let method = method.as_str().to_lowercase();
        let Some(handler) = handler(&handlers, &method, path) else { continue };
        let of_path = paths.entry(path).or_insert_with(|| json!({}));
        of_path[&method] = described(handler.clone(), &method, path, permission);
    }
    document["paths"] = Value::Object(paths);
    document["components"]["securitySchemes"] = json!({"user": {
        "type": "apiKey", "in": "header", "name": "X-Kadeploy-User",
        "description": "The name of the user, believed of the hosts that the configuration trusts. There are also HTTP Basic, client certificates, the ident protocol, and tokens (`Authorization: Bearer`).",
    }});
    // So that a change of the code changes no more of it than it must.
    document.sort_all_objects();
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

/// The description of the handler that serves `path`: one of that very path rather than one
/// that stands for several.
fn handler<'a>(handlers: &'a Value, method: &str, path: &str) -> Option<&'a Value> {
    let serves = |template: &str, handler: &Value| {
        let (given, wanted) =
            (path.split('/').collect::<Vec<_>>(), template.split('/').collect::<Vec<_>>());
        let fits = given
            .iter()
            .zip(&wanted)
            .all(|(given, wanted)| given == wanted || stands_for(wanted).contains(given));
        let optional = parameters(handler).filter(|one| {
            one["description"].as_str().is_some_and(|text| text.starts_with(OPTIONAL))
        });
        let most = given.len() + optional.count();
        fits && (given.len()..=most).contains(&wanted.len())
    };
    let exact = handlers.get(path).and_then(|one| one.get(method));
    exact.or_else(|| {
        let all = handlers.as_object().into_iter().flatten();
        all.filter_map(|(template, methods)| Some((template, methods.get(method)?)))
            .find_map(|(template, handler)| serves(template, handler).then_some(handler))
    })
}

/// The words of paths that a word of a description stands for.
fn stands_for(word: &str) -> &'static [&'static str] {
    match word {
        "{operation}" => &["deployment", "reboot", "power"],
        "{order}" => &["continue", "abort"],
        _ => &[],
    }
}

fn parameters(handler: &Value) -> impl Iterator<Item = &Value> {
    handler["parameters"].as_array().into_iter().flatten()
}

/// A handler's description as that of one route.
fn described(mut handler: Value, method: &str, path: &str, permission: Permission) -> Value {
    let there = |one: &&Value| {
        let name = one["name"].as_str().unwrap_or_default();
        one["in"] != "path" || path.contains(&format!("{{{name}}}"))
    };
    let here: Vec<Value> = parameters(&handler).filter(there).cloned().collect();
    handler["parameters"] = here.into();
    let words = path.split(['/', '{', '}']).filter(|word| !word.is_empty());
    handler["operationId"] = [method].into_iter().chain(words).collect::<Vec<_>>().join("_").into();
    if permission != Permission::Anyone {
        handler["security"] = json!([{"user": []}]);
        handler["responses"]["401"] = json!({"description": "The user is not told"});
    }
    if permission == Permission::Owner {
        let text = "The operation is another user's";
        handler["responses"]["403"] = json!({"description": text});
    }
    if permission == Permission::Almighty {
        handler["responses"]["403"] = json!({"description": "Only for administrators"});
    }
    handler
}
