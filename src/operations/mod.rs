//! Operations: accepted, carried out, told about, kept.
//!
//! [`Operations`] is what the API talks to. A request is made precise by `order`
//! (all checks that need no machine; `settings` is its view of the configuration), its nodes are taken by `reservation`, and
//! it is written to the store before the answer goes out. `run` then grabs the
//! files and drives one automaton per cluster; `watch` turns what happens into
//! the node states of `board`, the messages of `log` and the events of `feed`;
//! `archive` is all that goes to the store, as `record` has it.

mod archive;
mod board;
mod create;
pub mod environments;
mod feed;
mod log;
pub mod nodes;
mod operation;
mod order;
mod outline;
mod record;
mod reservation;
mod run;
mod settings;
mod watch;

pub use create::{Asked, Request};
pub use feed::{Stream, Told};
pub use log::Line;
pub use operation::Viewer;
pub use outline::outline;

use crate::{
    nodes::Inventory,
    platform::Ports,
    steps::Windows,
    store::Store,
    types::{Code, Created, Kind, NodeStatus, Poll, Problem, StatusTree},
};
use config::Config;
use operation::Operation;
use reservation::Reservations;
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What the configuration makes of the site.
pub struct Site {
    /// The configuration.
    pub config: Config,
    /// The machines.
    pub inventory: Inventory,
    /// Kernel parameter that lets us into the deployment system.
    pub deploy_key: String,
}

/// What operations work with.
pub struct Means {
    /// The site.
    pub site: Arc<Site>,
    /// The machines.
    pub ports: Ports,
    /// What is kept.
    pub store: Arc<dyn Store>,
    /// Files.
    pub cache: Arc<cache::Cache>,
    /// Server-wide limits.
    pub windows: Arc<Windows>,
    /// Where events go.
    pub stream: Stream,
}

/// All operations of the service. Cheap to clone.
#[derive(Clone)]
pub struct Operations(Arc<Inner>);

struct Inner {
    means: Means,
    table: RwLock<BTreeMap<String, Arc<Operation>>>,
    reservations: Reservations,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Operations {
    /// The operations that the store knows. Those that were under way when the service was
    /// stopped are marked as broken off.
    pub async fn open(means: Means) -> Result<Self, crate::store::StoreError> {
        let table = archive::load(&*means.store).await?;
        Ok(Self(Arc::new(Inner {
            means,
            table: RwLock::new(table),
            reservations: Reservations::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })))
    }

    /// What operations work with.
    pub fn means(&self) -> &Means {
        &self.0.means
    }

    /// All operations of one kind, oldest first, as `viewer` may see them.
    pub fn list(&self, kind: Kind, viewer: &Viewer) -> Vec<Poll> {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> =
            table.values().filter(|one| one.kind == kind).map(|one| one.poll(viewer)).collect();
        list.sort_by(|a, b| (a.start_time, &a.wid).cmp(&(b.start_time, &b.wid)));
        list
    }

    /// How one operation stands.
    pub fn poll(&self, kind: Kind, wid: &str, viewer: &Viewer) -> Result<Poll, Problem> {
        Ok(self.get(kind, wid)?.poll(viewer))
    }

    /// Messages `viewer` has not read; of one cluster or of all.
    pub fn logs(
        &self,
        kind: Kind,
        wid: &str,
        viewer: &Viewer,
        cluster: Option<&str>,
    ) -> Result<Vec<Line>, Problem> {
        let operation = self.open_to(kind, wid, viewer)?;
        if let Some(name) = cluster.filter(|name| !operation.clusters.iter().any(|c| c == name)) {
            return Err(Problem::NotFound(format!("the cluster {name} is not concerned")));
        }
        Ok(operation.unread(viewer, cluster))
    }

    /// Messages from a cursor on, and the next cursor; nothing counts as read.
    pub fn logs_since(
        &self,
        kind: Kind,
        wid: &str,
        viewer: &Viewer,
        since: usize,
    ) -> Result<(Vec<Line>, usize), Problem> {
        let operation = self.open_to(kind, wid, viewer)?;
        Ok(operation.log.since(since, operation.level, None))
    }

    /// What commands printed that `viewer` has not read; of one node or of all.
    pub fn debugs(
        &self,
        kind: Kind,
        wid: &str,
        viewer: &Viewer,
        node: Option<&str>,
    ) -> Result<Vec<Line>, Problem> {
        let operation = self.open_to(kind, wid, viewer)?;
        let known = node.is_none_or(|name| operation.nodes.iter().any(|one| one == name));
        let lines = operation.unread_debug(viewer, node).filter(|_| known);
        lines.ok_or_else(|| Problem::NotFound("no debugging output was asked for".into()))
    }

    /// Where each node is.
    pub fn state(
        &self,
        kind: Kind,
        wid: &str,
        viewer: &Viewer,
    ) -> Result<BTreeMap<String, NodeStatus>, Problem> {
        Ok(self.open_to(kind, wid, viewer)?.state())
    }

    /// Which nodes are in which step now.
    pub fn status(&self, kind: Kind, wid: &str, viewer: &Viewer) -> Result<StatusTree, Problem> {
        Ok(self.open_to(kind, wid, viewer)?.status())
    }

    /// Why it broke off, if it did.
    pub fn error(
        &self,
        kind: Kind,
        wid: &str,
        viewer: &Viewer,
    ) -> Result<Option<Problem>, Problem> {
        Ok(self.open_to(kind, wid, viewer)?.error())
    }

    /// Lets the nodes that wait at a breakpoint go on, or gives them up.
    pub fn resume(
        &self,
        kind: Kind,
        wid: &str,
        viewer: &Viewer,
        go_on: bool,
    ) -> Result<(), Problem> {
        let operation = self.open_to(kind, wid, viewer)?;
        for control in operation.controls() {
            if go_on {
                control.continue_paused();
            } else {
                control.abort_paused(format!("given up at the breakpoint by {}", viewer.user));
            }
        }
        Ok(())
    }

    /// Ends an operation that runs, forgets one that has ended.
    pub async fn delete(&self, kind: Kind, wid: &str, viewer: &Viewer) -> Result<(), Problem> {
        let operation = self.open_to(kind, wid, viewer)?;
        if !operation.ended() {
            tracing::info!(wid, by = viewer.user, "cancelled");
        }
        operation.cancel.cancel();
        for control in operation.controls() {
            control.kill(format!("cancelled by {}", viewer.user));
        }
        operation.finished().await;
        archive::forget(&*self.0.means.store, wid).await?;
        self.0.table.write().unwrap_or_else(PoisonError::into_inner).remove(wid);
        Ok(())
    }

    /// Takes no further request, ends what runs, and waits for it.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        let running: Vec<_> = {
            let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
            table.values().filter(|one| !one.ended()).cloned().collect()
        };
        for operation in running {
            operation.cancel.cancel();
            for control in operation.controls() {
                control.kill("the service was stopped".to_owned());
            }
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn get(&self, kind: Kind, wid: &str) -> Result<Arc<Operation>, Problem> {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        let found = table.get(wid).filter(|one| one.kind == kind).cloned();
        found.ok_or_else(|| {
            let way_out =
                format!("GET /{} lists the operations there are, {wid} is none", kind.path());
            Problem::new(Code::InvalidWorkflowId, "").hint(way_out)
        })
    }

    fn open_to(&self, kind: Kind, wid: &str, viewer: &Viewer) -> Result<Arc<Operation>, Problem> {
        let operation = self.get(kind, wid)?;
        if operation.open_to(viewer) {
            Ok(operation)
        } else {
            Err(Problem::Forbidden("You do not the rights to perform this operation".into()))
        }
    }

    /// Starts an operation, or with `dry_run` only checks it.
    pub async fn create(&self, asked: Asked) -> Result<Option<Created>, Problem> {
        if self.0.stop.is_cancelled() {
            let text = "The service is being shutdown, please try again later";
            return Err(Problem::Unavailable(text.into()));
        }
        // In a task of its own: a client that leaves does not leave half an operation behind.
        let inner = Arc::clone(&self.0);
        let created = self.0.tasks.spawn(async move { create::create(&inner, asked).await });
        created.await.map_err(Problem::internal)?
    }
}
