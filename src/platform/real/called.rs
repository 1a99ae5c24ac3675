//! What nodes are called where a program of the site reaches them, or knows their keys.

use crate::nodes::Node;
use config::Config;
use std::{collections::HashSet, sync::Arc};

/// Names of nodes: their own, or their addresses (`hooks/use_ip_to_deploy` of their cluster).
#[derive(Clone, Debug, Default)]
pub struct Called {
    by_address: Arc<HashSet<String>>,
}

impl Called {
    /// As the clusters of `config` want it.
    pub fn new(config: &Config) -> Self {
        let clusters = config.clusters.iter().filter(|cluster| cluster.hooks.use_ip_to_deploy);
        Self::by_address_in(clusters.map(|cluster| cluster.name.clone()))
    }

    /// By address in these clusters.
    pub fn by_address_in(clusters: impl IntoIterator<Item = String>) -> Self {
        Self { by_address: Arc::new(clusters.into_iter().collect()) }
    }

    /// What `node` is called.
    pub fn of(&self, node: &Node) -> String {
        if self.by_address.contains(&node.cluster) {
            node.address.to_string()
        } else {
            node.name.clone()
        }
    }
}
