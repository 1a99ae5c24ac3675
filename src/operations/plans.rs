//! What it takes to go on with an operation after a restart of the service.
//!
//! It is written down before the operation begins, made from the configuration of that
//! moment: whatever changes in the files later, the operation goes on as it began. How the
//! machines are reached (commands, keys, passwords) is not part of it.

use super::order::Order;
use crate::files::What;
use serde::{Deserialize, Serialize};

/// All that was decided when an operation was accepted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plans {
    /// What is done to the nodes of each cluster.
    pub(crate) orders: Vec<Order>,
    /// The files it needs.
    pub(crate) files: Vec<What>,
    /// Base URL of the client's file server.
    pub(crate) client: Option<String>,
    /// Whether nodes at a breakpoint wait.
    pub(crate) keep: bool,
    /// Whether it is kept what commands print.
    pub(crate) debug: bool,
}

impl Plans {
    /// As they are stored: without the passwords that addresses of files may hold.
    pub(crate) fn stored(&self) -> serde_json::Result<serde_json::Value> {
        let order = |order: &Order| {
            let mut order = order.clone();
            order.target = order.target.map(|target| crate::steps::Target {
                environment: target.environment.without_passwords(),
                ..target
            });
            order
        };
        let file = |what: &What| What { file: what.file.without_password(), ..what.clone() };
        serde_json::to_value(Self {
            orders: self.orders.iter().map(order).collect(),
            files: self.files.iter().map(file).collect(),
            client: self.client.as_deref().map(crate::environments::without_password),
            ..*self
        })
    }
}
