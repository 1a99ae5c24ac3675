//! Recorded environments.

use super::{Api, operations::secure_client, reply::Reply, request::Request, shape::decode};
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
            Problem::parameter(Code::InvalidOption, "version", "should be a Integer")
        })
    });
    let wanted = environments::Wanted {
        user: request.text("username")?.map(str::to_owned),
        name: request.text("name")?.map(str::to_owned),
        version: version.transpose()?,
        last: request.toggle("last")?,
    };
    let named = wanted.name.is_some() || wanted.version.is_some();
    let store = &*api.operations.means().store;
    let mut found = environments::list(store, &request.viewer, &wanted).await?;
    // Old clients encode the name twice.
    if let (true, Some(name)) = (found.is_empty(), &wanted.name) {
        let wanted = environments::Wanted { name: Some(decode(name)), ..wanted };
        found = environments::list(store, &request.viewer, &wanted).await?;
    }
    if found.is_empty() && named {
        return Err(Problem::NotFound("no such environment".into()));
    }
    Ok(Reply::plain(Value::Array(found)))
}

/// Records an environment.
#[utoipa::path(post, path = "/environments", tag = "environments",
    responses((status = 200, description = "The description"), (status = 400, description = "7: a mistake in it; 10: it exists")))]
pub(super) async fn record(api: Arc<Api>, request: Request) -> Result<Reply, Problem> {
    let description = request.hash("environment", Code::InvalidEnvironment)?;
    let store = &*api.operations.means().store;
    let (client, dry) = (secure_client(&api, &request)?, request.dry_run()?);
    let rights = api.operations.rights();
    let (viewer, how) = (&request.viewer, (client, dry));
    let made = environments::record(store, rights, viewer, description.clone(), how).await?;
    Ok(if dry { Reply::Text(String::new()) } else { Reply::plain(made) })
}

/// Deletes one version of an environment; with `last` the newest, without either all.
#[utoipa::path(delete, path = "/environments/{user}/{name}/{version}", tag = "environments",
    params(("user" = String, Path), ("name" = String, Path), ("version" = i64, Path, description = "May be left out")),
    responses((status = 200, description = "What was deleted")))]
pub(super) async fn remove(api: Arc<Api>, request: Request) -> Result<Reply, Problem> {
    let wanted = named(&request)?;
    let store = &*api.operations.means().store;
    let (viewer, dry) = (&request.viewer, request.dry_run()?);
    let gone = match environments::remove(store, viewer, &wanted, dry).await {
        Err(Problem::NotFound(_)) => {
            environments::remove(store, viewer, &twice(wanted), dry).await?
        }
        other => other?,
    };
    if dry {
        return Ok(Reply::Text(String::new()));
    }
    Ok(Reply::plain(Value::Array(gone)))
}

/// Changes one environment: its version is named, or `last` asks for the newest.
#[utoipa::path(put, path = "/environments/{user}/{name}/{version}", tag = "environments",
    params(("user" = String, Path), ("name" = String, Path), ("version" = i64, Path, description = "May be left out")),
    responses((status = 200, description = "The new description"), (status = 400, description = "14: it is so already")))]
pub(super) async fn update(api: Arc<Api>, request: Request) -> Result<Reply, Problem> {
    let wanted = named(&request)?;
    let dry = request.dry_run()?;
    let changes = environments::Changes {
        visibility: request.text("visibility")?.map(str::to_owned),
        toggle_destructive: request.toggle("toggle_destructive")?,
        checksums: environments::Which {
            image: request.toggle("update_image_checksum")?,
            preinstall: request.toggle("update_preinstall_checksum")?,
            postinstalls: request.toggle("update_postinstalls_checksum")?,
        },
        client: secure_client(&api, &request)?.map(str::to_owned),
        dry,
    };
    let store = &*api.operations.means().store;
    let (rights, viewer) = (api.operations.rights(), &request.viewer);
    let changed = match environments::update(store, rights, viewer, &wanted, &changes).await {
        Err(Problem::NotFound(_)) => {
            environments::update(store, rights, viewer, &twice(wanted), &changes).await?
        }
        other => other?,
    };
    Ok(if dry { Reply::Text(String::new()) } else { Reply::plain(changed) })
}

/// Puts other prefixes (`update_files`: old → new) before the files of all environments, or of
/// those of one user.
#[utoipa::path(put, path = "/environments/{user}", tag = "environments",
    params(("user" = String, Path, description = "May be left out")),
    responses((status = 200, description = "The new descriptions"), (status = 400, description = "14: no file begins so")))]
pub(super) async fn move_files(api: Arc<Api>, request: Request) -> Result<Reply, Problem> {
    let prefixes = request.hash("update_files", Code::InvalidOption)?;
    let (owner, dry) = (request.segments.first().map(String::as_str), request.dry_run()?);
    let store = &*api.operations.means().store;
    let moved = environments::move_files(store, &request.viewer, owner, prefixes, dry).await?;
    Ok(if dry { Reply::Text(String::new()) } else { Reply::plain(Value::Array(moved)) })
}

/// The environment that a path names.
fn named(request: &Request) -> Result<environments::Wanted, Problem> {
    let version = request.segments.get(2).map(|text| text.parse::<i64>());
    let version = version
        .transpose()
        .map_err(|_| Problem::parameter(Code::InvalidOption, "version", "should be a Integer"))?;
    Ok(environments::Wanted {
        user: Some(request.segment(0).to_owned()),
        name: Some(request.segment(1).to_owned()),
        version,
        last: request.toggle("last")?,
    })
}

/// The same with the name decoded once more: old clients encode it twice.
fn twice(wanted: environments::Wanted) -> environments::Wanted {
    environments::Wanted { name: wanted.name.as_deref().map(decode), ..wanted }
}
