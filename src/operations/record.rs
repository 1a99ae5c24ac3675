//! What the store keeps of an operation.

use super::log::Line;
use crate::{
    store::NodeState,
    types::{EnvironmentRef, Kind, NodeStatus, Problem},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is kept of an operation in the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Which operation.
    pub(crate) kind: Kind,
    /// Who asked for it.
    pub(crate) user: String,
    /// Unix time, seconds.
    pub(crate) start: f64,
    /// Unix time, seconds; none while it runs.
    pub(crate) end: Option<f64>,
    /// Level of the messages its readers get.
    pub(crate) level: u8,
    /// What it installs.
    pub(crate) environment: Option<EnvironmentRef>,
    /// The clusters concerned.
    pub(crate) clusters: Vec<String>,
    /// All its nodes.
    pub(crate) nodes: Vec<String>,
    /// How they stand.
    pub(crate) state: BTreeMap<String, NodeStatus>,
    /// Why it broke off.
    pub(crate) error: Option<Problem>,
    /// Its messages.
    pub(crate) lines: Vec<Line>,
    /// What it makes of the states of its nodes; nothing for one that only asks.
    pub(crate) footprint: Option<Footprint>,
    /// Whether what commands print is kept.
    #[serde(default)]
    pub(crate) debug: bool,
    /// Whether the site's hook is run at its end.
    #[serde(default)]
    pub(crate) hook: bool,
    /// Whether that is still to be done.
    #[serde(default)]
    pub(crate) hook_due: bool,
}

/// States of a node during an operation and at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Footprint {
    /// While it runs.
    pub(crate) during: NodeState,
    /// When it went well.
    pub(crate) ok: NodeState,
    /// When it did not.
    pub(crate) ko: NodeState,
}
