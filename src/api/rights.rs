//! Who may deploy where.

use super::{Api, reply::Reply, request::Request};
use crate::{
    operations::rights::{ALL, Changed, Wanted},
    types::{Nodes, Problem},
};
use std::sync::Arc;

type Answer = Result<Reply, Problem>;

/// Rights as they are recorded: user → node → partitions, `*` for all.
#[utoipa::path(get, path = "/rights/{user}/{node}", tag = "rights",
    params(("user" = String, Path, description = "May be left out"), ("node" = String, Path, description = "May be left out"),
    ("nodes" = Option<Vec<String>>, Query)),
    responses((status = 200, description = "user → node → partitions"), (status = 404, description = "There are none")))]
pub(super) async fn list(api: Arc<Api>, request: Request) -> Answer {
    let mut nodes = nodes(&api, &request)?;
    administrator(&request)?;
    nodes.extend(request.segments.get(1).cloned());
    nodes.retain(|node| node != ALL);
    let user = request.segments.first().map(String::as_str);
    Reply::of(&api.operations.rights().list(user, &nodes).await?)
}

/// Gives a user rights on nodes (all, where none is named) and partitions (the same).
#[utoipa::path(post, path = "/rights", tag = "rights",
    responses((status = 200, description = "What was added"), (status = 400, description = "11: others have rights there; 14: nothing to add")))]
pub(super) async fn add(api: Arc<Api>, request: Request) -> Answer {
    let nodes = nodes(&api, &request)?;
    let user = request.text("username")?.unwrap_or(&request.viewer.user).to_owned();
    let wanted = Wanted { user, nodes, partitions: request.texts("partitions")? };
    administrator(&request)?;
    let overwrite = request.toggle("overwrite")?;
    let changed = api.operations.rights().add(&wanted, overwrite, request.dry_run()?).await?;
    told(&api, &request, &changed)
}

/// Takes rights back. Operations of the user on nodes where nothing is left to him are ended.
#[utoipa::path(delete, path = "/rights/{user}/{node}", tag = "rights",
    params(("user" = String, Path), ("node" = String, Path, description = "May be left out")),
    responses((status = 200, description = "What was taken"), (status = 400, description = "11: he has rights on all; 14: nothing to take")))]
pub(super) async fn remove(api: Arc<Api>, request: Request) -> Answer {
    let mut nodes = nodes(&api, &request)?;
    nodes.extend(request.segments.get(1).cloned());
    let user = request.segment(0).to_owned();
    let wanted = Wanted { user, nodes, partitions: request.texts("partitions")? };
    administrator(&request)?;
    let changed = api.operations.rights().take(&wanted, request.dry_run()?).await?;
    told(&api, &request, &changed)
}

/// What was changed, after whoever lost something was stopped.
fn told(api: &Api, request: &Request, changed: &Changed) -> Answer {
    if request.dry_run()? {
        return Ok(Reply::Text(String::new()));
    }
    for (user, left) in &changed.losers {
        api.operations.withdraw(user, left);
        if !api.operations.rights().is_dummy() {
            api.consoles.withdraw(user, left);
        }
    }
    Reply::of(&changed.told)
}

fn administrator(request: &Request) -> Result<(), Problem> {
    if request.viewer.almighty {
        return Ok(());
    }
    Err(Problem::Forbidden("Only administrators are allowed to manage rights".into()))
}

/// The full names of the nodes in the request.
fn nodes(api: &Api, request: &Request) -> Result<Vec<String>, Problem> {
    let named = request.decode::<Nodes>()?.nodes;
    if named.is_empty() || named.iter().any(|name| name == ALL) {
        return Ok(Vec::new());
    }
    let chosen = api.operations.means().site().inventory.select(&named)?.nodes;
    Ok(chosen.iter().map(|node| node.name.clone()).collect())
}
