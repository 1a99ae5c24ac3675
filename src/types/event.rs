//! The event stream: one schema for every listener.

use super::Kind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something happened to an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Position in the stream of this run of the service.
    pub id: u64,
    /// Unix time, seconds.
    pub at: f64,
    /// Id of the operation.
    pub wid: String,
    /// Which operation.
    pub kind: Kind,
    /// Cluster of the nodes.
    pub cluster: String,
    /// Number of the node set; absent before the first split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_set: Option<u32>,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventBody {
    /// A micro-step began.
    StepStarted {
        /// Macro-step instance.
        #[serde(rename = "macro")]
        macro_step: String,
        /// Micro-step.
        micro: String,
        /// On which nodes.
        nodes: Vec<String>,
    },
    /// A micro-step ended.
    StepEnded {
        /// Macro-step instance.
        #[serde(rename = "macro")]
        macro_step: String,
        /// Micro-step.
        micro: String,
        /// Nodes that go on.
        ok: Vec<String>,
        /// Nodes that failed in it.
        ko: Vec<String>,
        /// Seconds.
        seconds: f64,
    },
    /// Bytes of the image a node has taken.
    Progress {
        /// Which node.
        node: String,
        /// Bytes so far.
        written: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A node has ended.
    NodeEnded {
        /// Which node.
        node: String,
        /// `ok`, `ko`, `brk` or `discarded`.
        state: String,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// In which state a node was left that was under way when its operation was broken off.
    NodeLeft {
        /// Which node.
        node: String,
        /// The state, for people.
        state: String,
    },
    /// A message for people.
    Message {
        /// 0 (always shown) to 5 (every detail).
        level: u8,
        /// The text.
        text: String,
    },
    /// The operation has ended.
    Ended {
        /// Nodes that are well.
        ok: Vec<String>,
        /// Nodes that failed.
        ko: Vec<String>,
    },
}
