//! Where the nodes of an operation that runs are.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// `GET /<operation>/<wid>/status`: cluster → macro-step → micro-step. Programs print it in the order
/// in which it comes: the steps first, then the lists.
pub type StatusTree = BTreeMap<String, ClusterStatus>;

/// One cluster. A list without nodes is not there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClusterStatus {
    /// Its macro-steps that have nodes, by name.
    #[serde(flatten)]
    pub steps: BTreeMap<String, MacroStatus>,
    /// Nodes that are at their end, and well.
    #[serde(rename = "OK", default, skip_serializing_if = "Vec::is_empty")]
    pub ok: Vec<String>,
    /// Nodes that failed for good.
    #[serde(rename = "KO", default, skip_serializing_if = "Vec::is_empty")]
    pub ko: Vec<String>,
}

/// One macro-step. A list without nodes is not there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MacroStatus {
    /// Its micro-steps that have nodes, by name.
    #[serde(flatten)]
    pub steps: BTreeMap<String, StepStatus>,
    /// Nodes that have left it while others are still in it.
    #[serde(rename = "OK", default, skip_serializing_if = "Vec::is_empty")]
    pub ok: Vec<String>,
    /// Nodes that failed in it meanwhile.
    #[serde(rename = "KO", default, skip_serializing_if = "Vec::is_empty")]
    pub ko: Vec<String>,
}

/// Nodes in one micro-step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepStatus {
    /// How they stand in it.
    pub nodes: StepNodes,
    /// Seconds since it began.
    pub time: u64,
}

/// The lists of one micro-step; all are there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepNodes {
    /// Through, and not yet in the next one.
    #[serde(rename = "OK")]
    pub ok: Vec<String>,
    /// Failed.
    #[serde(rename = "KO")]
    pub ko: Vec<String>,
    /// Still under way.
    #[serde(rename = "**")]
    pub processing: Vec<String>,
}
