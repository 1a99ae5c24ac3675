//! Recorded environments.

use super::{Api, reply::Reply, request::Request, shape::decode};
use crate::{
    operations::environments,
    types::{Code, Problem},
};
use serde_json::Value;
use std::sync::Arc;

/// Recorded environments: own ones and public ones, or those of `username`; by `name`
/// and `version`, or with `last` only the newest of each.
#[utoipa::path(get, path = "/environments", tag = "environments",
    params(("username" = Option<String>, Query), ("name" = Option<String>, Query), ("version" = Option<i64>, Query), ("last" = Option<bool>, Query)),
    responses((status = 200, description = "Descriptions, each with its user")))]
pub(super) async fn list(api: Arc<Api>, request: Request) -> Result<Reply, Problem> {
    let version = request.fields.get("version").map(|version| {
        version.as_i64().ok_or_else(|| {
            Problem::parameter(Code::InvalidOption, "version", "should be an Integer")
        })
    });
    let wanted = environments::Wanted {
        user: request.text("username").map(str::to_owned),
        name: request.text("name").map(str::to_owned),
        version: version.transpose()?,
        last: request.toggle("last"),
    };
    let named = wanted.name.is_some() || wanted.version.is_some();
    let store = &*api.operations.means().store;
    let mut found = environments::list(store, &request.viewer, &wanted).await?;
    if let (true, Some(name)) = (found.is_empty(), &wanted.name) {
        // Old clients encode the name twice.
        let wanted = environments::Wanted { name: Some(decode(name)), ..wanted };
        found = environments::list(store, &request.viewer, &wanted).await?;
    }
    if found.is_empty() && named {
        return Err(Problem::NotFound("no such environment".into()));
    }
    Ok(Reply::Structure(Value::Array(found)))
}

/// Records an environment.
#[utoipa::path(post, path = "/environments", tag = "environments",
    responses((status = 200, description = "The description"), (status = 400, description = "7: a mistake in it; 10: it exists")))]
pub(super) async fn record(api: Arc<Api>, request: Request) -> Result<Reply, Problem> {
    let Some(Value::Object(description)) = request.fields.get("environment") else {
        return Err(Problem::parameter(Code::InvalidEnvironment, "environment", "mandatory"));
    };
    let store = &*api.operations.means().store;
    environments::record(store, &request.viewer, description.clone()).await.map(Reply::Structure)
}

/// Deletes one version of an environment; with `last` the newest, without either all.
#[utoipa::path(delete, path = "/environments/{user}/{name}/{version}", tag = "environments",
    params(("user" = String, Path), ("name" = String, Path), ("version" = i64, Path, description = "May be left out")),
    responses((status = 200, description = "What was deleted")))]
pub(super) async fn remove(api: Arc<Api>, request: Request) -> Result<Reply, Problem> {
    let version = request.segments.get(2).map(|text| text.parse::<i64>());
    let version = version
        .transpose()
        .map_err(|_| Problem::parameter(Code::InvalidOption, "version", "should be an Integer"))?;
    let wanted = environments::Wanted {
        user: Some(request.segment(0).to_owned()),
        name: Some(request.segment(1).to_owned()),
        version,
        last: request.toggle("last"),
    };
    let store = &*api.operations.means().store;
    let gone = environments::remove(store, &request.viewer, &wanted).await?;
    Ok(Reply::Structure(Value::Array(gone)))
}
