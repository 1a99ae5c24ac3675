//! Operations: accepted, carried out, told about, kept.
//!
//! [`Operations`] is what the API talks to. What is `asked` is made precise by `order`
//! (all checks that need no machine; `settings` is its view of the configuration, `target` where
//! the environment goes, `ways` and `facts` which steps there are, `custom` what is put beside
//! them, `around` what it depends on besides), its nodes are taken by `reservation`, and
//! it is written to the store before the answer goes out. `run` then grabs the
//! files and drives one automaton per cluster, its `part`; `solo` does the same for a
//! single cluster with neither store nor cache; `watch` turns what happens into
//! the node states of `board`, the messages of `log` and the events of `feed`;
//! `archive` is what goes to the store at the beginning and at the end, as `record` has it,
//! `journal` what goes there meanwhile. From that, and from the `plans` that were made at
//! the beginning, `resume` takes up after a restart what was under way. `rights` tells who may
//! do what, `withdraw` ends what may not go on, `clean` forgets what is old, `stop` ends
//! the service, `readers` get what was said and printed, `hook` is the site's command at the end,
//! `statistics` tells what was done, `logfiles` writes it where the site wants it.

mod archive;
mod around;
mod asked;
mod board;
mod clean;
mod create;
mod custom;
pub mod environments;
mod explain;
mod facts;
mod feed;
mod hook;
mod journal;
mod left;
mod log;
mod logfiles;
mod means;
pub mod nodes;
mod operation;
mod order;
mod outline;
mod part;
mod plans;
mod premises;
mod quiet;
mod readers;
mod record;
mod reservation;
mod resume;
mod retry;
pub mod rights;
mod run;
mod settings;
mod solo;
pub mod statistics;
mod stop;
mod target;
#[cfg(test)]
mod tests;
mod undo;
mod userfiles;
mod viewer;
mod watch;
mod ways;
mod withdraw;

#[cfg(test)]
pub(crate) use around::Around;
pub use asked::{Asked, Request};
pub use feed::{Stream, Told};
pub use journal::Clock;
pub(crate) use journal::time_since;
pub use log::Line;
pub use means::Means;
#[cfg(test)]
pub(crate) use order::deploy as deployment;
pub use outline::outline;
pub(crate) use outline::typical;
pub use premises::{Premises, Site};
pub use solo::{Column, End, Solo};
pub(crate) use solo::{pages, tell};
pub use viewer::Viewer;

use crate::types::{Code, Created, Explanation, Kind, NodeStatus, Poll, Problem, StatusTree};
use operation::Operation;
use reservation::Reservations;
use rights::Rights;
use run::Job;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use userfiles::Userfiles;

/// All operations of the service. Cheap to clone.
#[derive(Clone)]
pub struct Operations(Arc<Inner>);

impl Inner {
    /// Who may deploy where, as it is configured now.
    fn rights(&self) -> &Rights {
        self.rights.refresh(&self.means.site().config.server.rights);
        &self.rights
    }
}

struct Inner {
    means: Means,
    table: RwLock<BTreeMap<String, Arc<Operation>>>,
    reservations: Reservations,
    userfiles: Userfiles,
    rights: Rights,
    tasks: TaskTracker,
    /// Operations of before a restart, until they go on.
    waiting: Mutex<Vec<(Arc<Operation>, Job)>>,
    /// No request is taken any more.
    stop: CancellationToken,
    /// What runs is not to go on after the stop.
    abort: CancellationToken,
}

/// How long whoever ends an operation waits for its end: tasks that are stopped have seconds,
/// and only a disk that does not let us write it down takes longer.
const END_LIMIT: Duration = Duration::from_secs(60);

impl Operations {
    /// The operations that the store knows. Those that were under way when the service was
    /// stopped hold their nodes and wait for [`Operations::go_on`]; one that cannot go on
    /// ends with the reason. Of a damaged state none goes on, and nothing is written.
    pub async fn open(means: Means) -> Result<Self, crate::store::StoreError> {
        let (table, unfinished) = archive::load(&*means.store).await?;
        means.stream.metrics().state_damaged(means.damage.is_some());
        let rights = Rights::new(&means.site().config.server.rights, Arc::clone(&means.store));
        let inner = Arc::new(Inner {
            userfiles: Userfiles::new(&means.site().config),
            rights,
            means,
            table: RwLock::new(table),
            reservations: Reservations::default(),
            tasks: TaskTracker::new(),
            waiting: Mutex::default(),
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
        });
        for one in unfinished {
            resume::take_up(&inner, one).await?;
        }
        Ok(Self(inner))
    }

    /// Lets the operations go on that were under way when the service was stopped, and tidies
    /// the cache when they have their files.
    pub fn go_on(&self) {
        if self.writable().is_ok() {
            resume::go_on(&self.0);
        }
    }

    /// Whether something may be changed.
    ///
    /// # Errors
    /// The state is damaged: what was found, and the way out.
    pub fn writable(&self) -> Result<(), Problem> {
        match &self.0.means.damage {
            Some(damage) => Err(Problem::Unavailable(damage.to_string())),
            None => Ok(()),
        }
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

    /// Why a node is where it is: looks at the node, and at what is being done to it.
    ///
    /// # Errors
    /// 2 if there is no such node, 6 if `viewer` has no right on it.
    pub async fn explain(&self, node: &str, viewer: &Viewer) -> Result<Explanation, Problem> {
        explain::explain(&self.0, node, viewer).await
    }

    /// How one operation stands.
    pub fn poll(&self, kind: Kind, wid: &str, viewer: &Viewer) -> Result<Poll, Problem> {
        Ok(self.get(kind, wid)?.poll(viewer))
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

    /// Lets the nodes that wait at a breakpoint go on, or gives them up. An error where
    /// none waits: whoever asks for it expects something to happen.
    pub fn resume(
        &self,
        kind: Kind,
        wid: &str,
        viewer: &Viewer,
        go_on: bool,
    ) -> Result<(), Problem> {
        let operation = self.open_to(kind, wid, viewer)?;
        if !operation.has_paused() {
            return Err(operation.nobody_waits());
        }
        for control in operation.controls() {
            if go_on {
                control.continue_paused();
            } else {
                control.abort_paused(format!("given up at the breakpoint by {}", viewer.user));
            }
        }
        Ok(())
    }

    /// Starts an operation that has ended anew, on the nodes that failed.
    ///
    /// # Errors
    /// 14 if it has not ended, no node failed, or all of those are busy.
    pub async fn retry(
        &self,
        kind: Kind,
        wid: &str,
        viewer: &Viewer,
    ) -> Result<Option<Created>, Problem> {
        let first = self.open_to(kind, wid, viewer)?;
        self.accepting()?;
        let (inner, viewer) = (Arc::clone(&self.0), viewer.clone());
        let created =
            self.0.tasks.spawn(async move { retry::retry(&inner, &first, &viewer).await });
        created.await.map_err(Problem::internal)?
    }

    /// Whether something new may be begun or changed.
    ///
    /// # Errors
    /// The service stops, or the state is damaged.
    pub fn accepting(&self) -> Result<(), Problem> {
        if self.0.stop.is_cancelled() {
            let text = "The service is being shutdown, please try again later";
            return Err(Problem::Unavailable(text.into()));
        }
        self.writable()
    }

    /// Ends an operation that runs, forgets one that has ended. One whose nodes are brought
    /// into a known state meanwhile is kept, so that they can be looked at.
    pub async fn delete(&self, kind: Kind, wid: &str, viewer: &Viewer) -> Result<(), Problem> {
        let operation = self.open_to(kind, wid, viewer)?;
        if !operation.ended() {
            tracing::info!(wid, by = viewer.user, "cancelled");
        }
        operation.cancel.cancel();
        for control in operation.controls() {
            control.kill(format!("cancelled by {}", viewer.user));
        }
        // What is left to be done to its nodes may take minutes: it is seen from outside.
        tokio::select! {
            biased;
            () = operation.finished() => {}
            () = operation.undoing.cancelled(), if !operation.ended() => return Ok(()),
            () = sleep(END_LIMIT) => {
                let text = format!("{wid} is ended, but its end cannot be written down yet");
                return Err(Problem::new(Code::DatabaseError, text)
                    .hint("look at the disk of the state directory, and end the operation again"));
            }
        }
        if !operation.ended() {
            let text = "The service is being stopped: end the operation when it is back";
            return Err(Problem::Unavailable(text.into()));
        }
        archive::forget(&*self.0.means.store, wid).await?;
        self.0.table.write().unwrap_or_else(PoisonError::into_inner).remove(wid);
        Ok(())
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
        self.accepting()?;
        // In a task of its own: a client that leaves does not leave half an operation behind.
        let inner = Arc::clone(&self.0);
        let created = self.0.tasks.spawn(async move { create::create(&inner, asked).await });
        created.await.map_err(Problem::internal)?
    }
}
