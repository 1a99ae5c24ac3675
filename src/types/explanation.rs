//! What is known of one node now, and what helps.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a node is where it is: what it waits for, what was seen of it, the likely cause, and what
/// to do next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// Full name of the node.
    pub node: String,
    /// The operation that holds it, else the last one that is kept of those it took part in.
    pub operation: Option<OperationOfNode>,
    /// What it waits for.
    pub waits_for: Option<String>,
    /// Since how many seconds.
    pub since: Option<u64>,
    /// How many seconds are left; then the step fails on it.
    pub until: Option<u64>,
    /// What was seen of it.
    pub seen: Seen,
    /// Why it failed last, if it did.
    pub error: Option<String>,
    /// What is most likely the matter.
    pub cause: String,
    /// What to do next: commands, or what to look at.
    pub next: Vec<String>,
}

/// The operation of an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationOfNode {
    /// Its id.
    pub wid: String,
    /// `deploy`, `reboot` or `power`.
    pub kind: super::Kind,
    /// Who asked for it.
    pub user: String,
    /// Whether it has ended.
    pub done: bool,
}

/// What was seen of a node when it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Seen {
    /// `on` or `off` by its BMC or the site's command, or why that is not known.
    pub power: String,
    /// Its ssh port: `open`, `refused` or `silent`.
    pub ssh: String,
    /// The port that is open in the deployment system only, likewise.
    pub deployment_system: String,
    /// What it last asked one of our boot servers for.
    pub request: Option<SeenRequest>,
}

/// A request to one of our boot servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeenRequest {
    /// Which: `dhcp`, `tftp` or `http`.
    pub server: String,
    /// What for.
    pub what: String,
    /// How many seconds ago.
    pub ago: u64,
}
