//! A store whose commits pass a gate, which may let them fail, or the service end.

use crate::store::{
    Change, EmbeddedStore, EnvironmentQuery, EnvironmentRecord, JournalRecord, NodeRecord,
    OperationRecord, RightRecord, StatFilter, StatRow, Store, StoreError, TokenRecord,
};
use std::collections::BTreeMap;

/// Decides what becomes of a commit.
#[async_trait::async_trait]
pub(super) trait Gate: Send + Sync + 'static {
    /// Commits `change` to `store`, or not.
    async fn pass(&self, store: &EmbeddedStore, change: Change) -> Result<(), StoreError>;
}

/// A store behind a gate; reads pass freely.
pub(super) struct Gated<G> {
    pub(super) inner: EmbeddedStore,
    pub(super) gate: G,
}

#[async_trait::async_trait]
impl<G: Gate> Store for Gated<G> {
    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.gate.pass(&self.inner, change).await
    }

    async fn journal(
        &self,
        wid: &str,
        since: u64,
        limit: usize,
    ) -> Result<Vec<JournalRecord>, StoreError> {
        self.inner.journal(wid, since, limit).await
    }

    async fn operation(&self, id: &str) -> Result<Option<OperationRecord>, StoreError> {
        self.inner.operation(id).await
    }

    async fn operations(&self) -> Result<Vec<OperationRecord>, StoreError> {
        self.inner.operations().await
    }

    async fn node(&self, name: &str) -> Result<Option<NodeRecord>, StoreError> {
        self.inner.node(name).await
    }

    async fn nodes_called(
        &self,
        names: &[String],
    ) -> Result<BTreeMap<String, NodeRecord>, StoreError> {
        self.inner.nodes_called(names).await
    }

    async fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        self.inner.nodes().await
    }

    async fn environments(
        &self,
        query: &EnvironmentQuery,
    ) -> Result<Vec<EnvironmentRecord>, StoreError> {
        self.inner.environments(query).await
    }

    fn new_environment_id(&self) -> u64 {
        self.inner.new_environment_id()
    }

    async fn rights(&self, user: Option<&str>) -> Result<Vec<RightRecord>, StoreError> {
        self.inner.rights(user).await
    }

    async fn token(&self, id: &str) -> Result<Option<TokenRecord>, StoreError> {
        self.inner.token(id).await
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        self.inner.tokens().await
    }

    async fn statistics(&self, filter: &StatFilter) -> Result<Vec<StatRow>, StoreError> {
        self.inner.statistics(filter).await
    }
}
