//! Secrets that stand for a user, for some things and some time.

use super::{Api, reply::Reply, request::Request};
use crate::{access::tokens, types::Problem};
use serde_json::Value;
use std::sync::Arc;

type Answer = Result<Reply, Problem>;

/// Tokens without their secrets: one's own, or everybody's for an administrator.
#[utoipa::path(get, path = "/tokens", tag = "tokens",
    responses((status = 200, description = "id, user, name, scope, created, expires of each")))]
pub(super) async fn list(api: Arc<Api>, request: Request) -> Answer {
    let store = &*api.operations.means().store;
    let tokens = tokens::list(store, owner(&request)).await?;
    Ok(Reply::plain(Value::Array(tokens)))
}

/// Makes a token. Its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/tokens", tag = "tokens",
    responses((status = 200, description = "The token"), (status = 400, description = "4: a scope or a lifetime (seconds) that cannot be")))]
pub(super) async fn create(api: Arc<Api>, request: Request) -> Answer {
    request.not_dry()?;
    let wish: tokens::Wish = request.decode()?;
    let store = &*api.operations.means().store;
    tokens::create(store, &request.viewer.user, wish).await.map(Reply::plain)
}

/// Revokes a token, at once.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens", params(("id" = String, Path)),
    responses((status = 200, description = "The token, without its secret"), (status = 404, description = "There is none")))]
pub(super) async fn revoke(api: Arc<Api>, request: Request) -> Answer {
    request.not_dry()?;
    let store = &*api.operations.means().store;
    tokens::revoke(store, owner(&request), request.segment(0)).await.map(Reply::plain)
}

/// Whose tokens are spoken of.
fn owner(request: &Request) -> Option<&str> {
    (!request.viewer.almighty).then_some(request.viewer.user.as_str())
}
