//! What the store knows of the machines.

use crate::{
    store::{NodeRecord, Store},
    types::{EnvironmentRef, NodeInfo, Problem},
};
use std::collections::BTreeMap;

/// What became of every node that was ever used, by name.
///
/// # Errors
/// The state cannot be read.
pub async fn infos(store: &dyn Store) -> Result<BTreeMap<String, NodeInfo>, Problem> {
    let all = store.nodes().await?;
    all.into_iter().map(|node| Ok((node.node.clone(), info(node)?))).collect()
}

/// What became of one node; none if it was never used.
///
/// # Errors
/// The state cannot be read.
pub async fn info_of(store: &dyn Store, name: &str) -> Result<Option<NodeInfo>, Problem> {
    store.node(name).await?.map(info).transpose()
}

fn info(node: NodeRecord) -> Result<NodeInfo, Problem> {
    // One that is not recorded is gone with its request: nobody can name it.
    let recorded = node.environment.filter(|environment| environment.id.is_some());
    let environment = recorded.map(|environment| EnvironmentRef {
        id: None,
        user: Some(environment.user),
        name: Some(environment.name),
        version: Some(environment.version.into()),
    });
    let state = serde_json::to_value(node.state).map_err(Problem::internal)?;
    let state = state.as_str().unwrap_or_default().to_owned();
    Ok(NodeInfo { state, user: Some(node.user), environment })
}
