//! What is told of an operation.

use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct};
use std::{collections::BTreeMap, fmt};
use utoipa::ToSchema;

/// Which of the three operations.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Install an environment.
    Deploy,
    /// Boot anew.
    Reboot,
    /// Switch on or off, or ask.
    Power,
}

impl Kind {
    /// The path segment of its resources.
    pub fn path(self) -> &'static str {
        match self {
            Self::Deploy => "deployment",
            Self::Reboot => "reboot",
            Self::Power => "power",
        }
    }

    /// The letter its ids begin with.
    pub fn letter(self) -> char {
        match self {
            Self::Deploy => 'D',
            Self::Reboot => 'R',
            Self::Power => 'P',
        }
    }

    /// A new id, `D-<uuid>` for a deployment.
    pub fn new_id(self) -> String {
        format!("{}-{}", self.letter(), uuid::Uuid::new_v4())
    }
}

impl fmt::Display for Kind {
    /// As messages name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deploy => "deployment",
            Self::Reboot => "reboot",
            Self::Power => "power operation",
        })
    }
}

/// Answer to a request that started an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Created {
    /// Id of the operation.
    pub wid: String,
    /// Where to look.
    pub resources: Resources,
    /// Our own: what was done with the request that the user should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Paths below the API's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resources {
    /// The operation.
    pub resource: String,
    /// Its messages.
    pub log: String,
    /// Its messages, per cluster.
    pub logs: BTreeMap<String, String>,
    /// What each node is at.
    pub state: String,
    /// Where the nodes are.
    pub status: String,
    /// Why it broke off.
    pub error: String,
    /// What commands printed, when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug: Option<String>,
    /// The same, per node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debugs: Option<BTreeMap<String, String>>,
}

/// Which environment an operation installs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentRef {
    /// Its number; -1 for one that is not recorded, null when the operation has ended.
    pub id: Option<i64>,
    /// Its owner.
    pub user: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<i64>,
}

/// How the nodes of an operation stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum NodeLists {
    /// For those who may see it.
    Sorted {
        /// Done, and well.
        ok: Vec<String>,
        /// Failed.
        ko: Vec<String>,
        /// Under way; absent when the operation has ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        processing: Option<Vec<String>>,
    },
    /// For everyone else: the names.
    Names(Vec<String>),
}

/// `GET /<operation>/<wid>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Poll {
    /// Id of the operation.
    pub wid: String,
    /// Who asked for it.
    pub user: String,
    /// It has ended.
    pub done: bool,
    /// It broke off.
    pub error: bool,
    /// Unix time, seconds.
    pub start_time: u64,
    /// What it installs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentRef>,
    /// There are messages this reader has not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<bool>,
    /// There is command output this reader has not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debugs: Option<bool>,
    /// How its nodes stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodeLists>,
    /// Seconds it took so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<f64>,
}

/// One node in `GET /<operation>/<wid>/state`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    /// Macro-step instance it is in; null when it has ended well.
    #[serde(rename = "macro")]
    pub macro_step: Option<String>,
    /// Micro-step it is in.
    pub micro: Option<String>,
    /// `ok`, `ko`, `reboot_in_progress`, `rebooted`, `brk` or `discarded`.
    pub state: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was asked for (power status).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
    /// Our own: seconds in each step so far, `Macro/micro` → seconds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seconds: BTreeMap<String, f64>,
}

/// A node that was left out because another operation holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Discarded {
    /// Its name.
    pub node: String,
}

/// One node in `GET /nodes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeInfo {
    /// What became of it: `deployed`, `deploy_failed`, …
    pub state: String,
    /// Who used it last.
    pub user: Option<String>,
    /// What is installed on it.
    #[serde(serialize_with = "without_number")]
    pub environment: Option<EnvironmentRef>,
}

/// An environment without its number, all fields null if there is none: what old clients read.
#[expect(clippy::ref_option, reason = "the form that `serialize_with` asks for")]
fn without_number<S: Serializer>(
    environment: &Option<EnvironmentRef>,
    to: S,
) -> Result<S::Ok, S::Error> {
    let EnvironmentRef { name, version, user, .. } = environment.clone().unwrap_or_default();
    let mut map = to.serialize_struct("environment", 3)?;
    map.serialize_field("name", &name)?;
    map.serialize_field("version", &version)?;
    map.serialize_field("user", &user)?;
    map.end()
}
