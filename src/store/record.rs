//! What is kept. Dates are Unix times in seconds unless their name says otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// One entry of a workflow's journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JournalRecord {
    /// Its place: 1, 2, 3 … without gaps, given by the store.
    #[serde(skip)]
    pub seq: u64,
    /// When it was written, Unix time in milliseconds.
    pub at_ms: u64,
    /// What the workflow wrote, byte for byte.
    pub body: Box<RawValue>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Install an environment.
    Deploy,
    /// Reboot.
    Reboot,
    /// Switch on or off, or ask.
    Power,
    /// A console.
    Console,
}

/// An operation: a request and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationRecord {
    /// `D-`, `R-`, `P-` or `C-` and a UUID.
    pub id: String,
    /// What was asked for.
    pub kind: OperationKind,
    /// Who asked.
    pub user: String,
    /// The nodes it is about.
    pub nodes: Vec<String>,
    /// When it was accepted.
    pub created: u64,
    /// When it ended, if it did.
    pub ended: Option<u64>,
    /// The request, checked.
    pub request: Value,
    /// What became of it so far.
    pub result: Value,
}

/// State of a node as operations left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// A deployment runs.
    Deploying,
    /// A deployment succeeded.
    Deployed,
    /// A deployment failed.
    DeployFailed,
    /// A reboot runs.
    Rebooting,
    /// A reboot succeeded.
    Rebooted,
    /// A reboot failed.
    RebootFailed,
    /// A power operation runs.
    Powering,
    /// A power operation succeeded.
    Powered,
    /// A power operation failed.
    PowerFailed,
    /// Runs the production environment.
    ProdEnv,
    /// Was rebooted to a recorded environment.
    RecordedEnv,
    /// Runs the deployment system.
    DeployEnv,
    /// Its operation was aborted.
    Aborted,
}

/// Which environment a node carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRef {
    /// Id of the record; none if the environment was not recorded.
    pub id: Option<u64>,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Its owner.
    pub user: String,
}

/// A node that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its name.
    pub node: String,
    /// Its state.
    pub state: NodeState,
    /// Who used it last.
    pub user: String,
    /// What it carries, if that is known.
    pub environment: Option<EnvironmentRef>,
    /// On which partition, as nodes know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Since when.
    pub date: u64,
}

/// A recorded environment. User, name and version are its identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentRecord {
    /// Unique, from [`new_environment_id`](super::Store::new_environment_id).
    pub id: u64,
    /// Its owner.
    pub user: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// The description as it was given, without those three.
    pub description: Value,
    /// Checksum of each file it names, by file reference.
    pub checksums: BTreeMap<String, String>,
}

/// Which versions are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// Every one.
    #[default]
    All,
    /// The greatest of each user's environment.
    Latest,
    /// This one.
    Exactly(u32),
}

/// Which environments are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentQuery {
    /// Of this user only.
    pub user: Option<String>,
    /// With this name only.
    pub name: Option<String>,
    /// In these versions.
    pub version: Version,
}

/// A user may deploy a partition of a node; `*` stands for all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RightRecord {
    /// Who.
    pub user: String,
    /// Where.
    pub node: String,
    /// Which partition, as `/dev/sda3`.
    pub part: String,
}

/// A secret that was given out, by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Its number, no secret.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// What it is for, in the user's words.
    pub name: String,
    /// What it is good for.
    pub scope: Vec<String>,
    /// SHA-256 of it, hexadecimal.
    pub digest: String,
    /// When it was made.
    pub created: u64,
    /// When it ends.
    pub expires: u64,
}

/// One macro-step of a node's way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatStep {
    /// Name of the instance that ran.
    pub name: String,
    /// Its timeout, seconds.
    pub timeout: u64,
    /// Retries and fallbacks.
    pub retries: u32,
    /// How long its last attempt took, seconds.
    pub duration: u64,
}

/// What one operation did to one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatRow {
    /// The operation.
    pub wid: String,
    /// The node.
    pub hostname: String,
    /// Who asked.
    pub user: String,
    /// The macro-steps it went through, three at most for a deployment.
    pub steps: Vec<StatStep>,
    /// When it began.
    pub start: u64,
    /// `name:version`, empty if none.
    pub environment: String,
    /// Whether the environment was not recorded; none if there is none.
    pub anonymous: Option<bool>,
    /// Checksum of the image, empty if not known.
    pub md5: String,
    /// How it ended; none if it did not.
    pub success: Option<bool>,
    /// Why it failed, empty if it did not.
    pub error: String,
}

/// Which statistics rows are meant; what is not set does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatFilter {
    /// Begun at or after.
    pub from: Option<u64>,
    /// Begun before.
    pub until: Option<u64>,
    /// Of this operation.
    pub wid: Option<String>,
    /// Of one of these nodes.
    pub nodes: Vec<String>,
    /// Of this user.
    pub user: Option<String>,
    /// With this environment.
    pub environment: Option<String>,
    /// That ended so.
    pub success: Option<bool>,
    /// At most so many.
    pub limit: Option<usize>,
}

impl StatFilter {
    /// Whether `row` is meant, its date apart.
    pub(super) fn passes(&self, row: &StatRow) -> bool {
        let same = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        same(&self.wid, &row.wid)
            && same(&self.user, &row.user)
            && same(&self.environment, &row.environment)
            && (self.nodes.is_empty() || self.nodes.contains(&row.hostname))
            && (self.success.is_none() || self.success == row.success)
    }
}
