//! What the store knows of the machines.

use crate::{
    store::Store,
    types::{EnvironmentRef, NodeInfo, Problem},
};
use std::collections::BTreeMap;

/// What became of every node that was ever used, by name.
pub async fn infos(store: &dyn Store) -> Result<BTreeMap<String, NodeInfo>, Problem> {
    let info = |node: crate::store::NodeRecord| {
        let environment = node.environment.map(|environment| EnvironmentRef {
            id: None,
            user: Some(environment.user),
            name: Some(environment.name),
            version: Some(environment.version.into()),
        });
        let state = serde_json::to_value(node.state).map_err(Problem::internal)?;
        let state = state.as_str().unwrap_or_default().to_owned();
        Ok((node.node, NodeInfo { state, user: Some(node.user), environment }))
    };
    store.nodes().await?.into_iter().map(info).collect()
}
