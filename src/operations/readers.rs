//! Those who read the messages of operations, and what commands printed.

use super::{Line, Operations, Viewer, journal, log::Log, operation::Operation};
use crate::types::{Kind, Problem};
use std::sync::{Arc, PoisonError};

/// Lines, and the cursor of what follows them.
type Page = (Vec<Line>, usize);

impl Operations {
    /// Messages `viewer` has not read; of one cluster or of all.
    ///
    /// # Errors
    /// 1 if there is no such operation, 403 if it is another user's, 404 if the cluster is not
    /// concerned.
    pub fn logs(
        &self,
        kind: Kind,
        wid: &str,
        viewer: &Viewer,
        cluster: Option<&str>,
    ) -> Result<Vec<Line>, Problem> {
        let operation = self.open_to(kind, wid, viewer)?;
        concerns(&operation, cluster)?;
        Ok(operation.log.unread(&viewer.reader(), operation.level, cluster))
    }

    /// Messages from a cursor on, and the next cursor; nothing counts as read.
    ///
    /// # Errors
    /// Those of [`Self::logs`].
    pub fn logs_since(
        &self,
        kind: Kind,
        wid: &str,
        viewer: &Viewer,
        cluster: Option<&str>,
        since: usize,
    ) -> Result<Page, Problem> {
        let operation = self.open_to(kind, wid, viewer)?;
        concerns(&operation, cluster)?;
        Ok(operation.log.since(since, operation.level, cluster))
    }

    /// What commands printed that `viewer` has not read; of one node or of all.
    ///
    /// # Errors
    /// 1 if there is no such operation, 403 if it is another user's, 404 if it was not asked for or
    /// the node is not concerned.
    pub fn debugs(
        &self,
        kind: Kind,
        wid: &str,
        viewer: &Viewer,
        node: Option<&str>,
    ) -> Result<Vec<Line>, Problem> {
        let operation = self.open_to(kind, wid, viewer)?;
        Ok(printed(&operation, node)?.unread(&viewer.reader(), u8::MAX, node))
    }

    /// What commands printed from a cursor on, and the next cursor; nothing counts as read.
    ///
    /// # Errors
    /// Those of [`Self::debugs`].
    pub fn debugs_since(
        &self,
        kind: Kind,
        wid: &str,
        viewer: &Viewer,
        node: Option<&str>,
        since: usize,
    ) -> Result<Page, Problem> {
        let operation = self.open_to(kind, wid, viewer)?;
        Ok(printed(&operation, node)?.since(since, u8::MAX, node))
    }

    /// Writes down how far everybody has come. For the end of the service, when nobody reads any more:
    /// of an operation that has ended it is written nowhere else.
    pub async fn keep_places(&self) {
        if self.writable().is_err() {
            return;
        }
        let all: Vec<Arc<Operation>> = {
            let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
            table.values().cloned().collect()
        };
        if let Err(error) = journal::places(&*self.0.means.store, &all).await {
            tracing::warn!(%error, "what was read of operations will be given again");
        }
    }
}

fn concerns(operation: &Operation, cluster: Option<&str>) -> Result<(), Problem> {
    match cluster.filter(|name| !operation.clusters.iter().any(|one| one == name)) {
        Some(name) => Err(Problem::NotFound(format!("the cluster {name} is not concerned"))),
        None => Ok(()),
    }
}

/// What commands printed, where that was asked for and the node is one of the operation.
fn printed<'o>(operation: &'o Operation, node: Option<&str>) -> Result<&'o Log, Problem> {
    let known = node.is_none_or(|name| operation.nodes.iter().any(|one| one == name));
    let debug = operation.debug.as_deref().filter(|_| known);
    debug.ok_or_else(|| Problem::NotFound("no debugging output was asked for".into()))
}
