//! Where the nodes of an operation that runs are.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// `GET /<operation>/<wid>/status`: cluster → macro-step → micro-step. Beside the macro-steps
/// the lists `OK` and `KO` have the nodes that are at their end, beside the micro-steps those
/// that have left the macro-step while others are still in it. A list without nodes is not there.
pub type StatusTree = BTreeMap<String, BTreeMap<String, ClusterStatus>>;

/// What a cluster has: macro-steps by name, and the lists `OK` and `KO`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ClusterStatus {
    /// Nodes that are at their end.
    Nodes(Vec<String>),
    /// A macro-step that has nodes.
    Steps(BTreeMap<String, MacroStatus>),
}

/// What a macro-step has: micro-steps by name, and the lists `OK` and `KO`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum MacroStatus {
    /// Nodes that have left it.
    Nodes(Vec<String>),
    /// A micro-step that has nodes.
    Step(StepStatus),
}

/// Nodes in one micro-step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepStatus {
    /// `OK`, `KO` and, still under way, `**`.
    pub nodes: BTreeMap<String, Vec<String>>,
    /// Seconds since it began.
    pub time: u64,
}
