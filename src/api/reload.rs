//! The configuration loaded anew.

use super::{Api, reply::Reply, request::Request};
use crate::types::{Problem, Reloaded};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Asks whoever can load the configuration anew.
#[derive(Clone)]
pub struct Reload(mpsc::Sender<Asked>);

type Asked = oneshot::Sender<Result<Reloaded, Problem>>;

/// What is asked: an answer is owed to each.
pub type ReloadRequests = mpsc::Receiver<Asked>;

/// How many may wait for their turn.
const WAITING: usize = 64;

impl Reload {
    /// The two ends.
    pub fn new() -> (Self, ReloadRequests) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }

    /// Has the configuration loaded anew.
    ///
    /// # Errors
    /// 0: it has mistakes, or needs a restart; 503: the service is being stopped.
    async fn ask(&self) -> Result<Reloaded, Problem> {
        let (answer, done) = oneshot::channel();
        let stopping = || Problem::Unavailable("The service is being stopped".into());
        self.0.send(answer).await.map_err(|_| stopping())?;
        done.await.map_err(|_| stopping())?
    }
}

/// Loads the configuration anew: all of it takes effect, or nothing does. What runs keeps what it
/// began with.
#[utoipa::path(post, path = "/reload", tag = "service", responses(
    (status = 200, body = Reloaded),
    (status = 400, description = "0: mistakes, each with its place; or keys whose change needs a restart"),
    (status = 403, description = "Administrators only")))]
pub(super) async fn reload(api: Arc<Api>, request: Request) -> Result<Reply, Problem> {
    if !request.viewer.almighty {
        let text = "Only administrators are allowed to reload the configuration";
        return Err(Problem::Forbidden(text.into()));
    }
    request.not_dry()?;
    Reply::of(&api.reload.ask().await?)
}
