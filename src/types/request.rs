//! Requests that start an operation.

use crate::platform::Level;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Fields that every operation has.
#[expect(clippy::struct_excessive_bools, reason = "toggles of the interface, each its own")]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Common {
    /// Node names and ranges, as typed.
    #[serde(deserialize_with = "one_or_many")]
    pub nodes: Vec<String>,
    /// Treat nodes that another operation holds as free.
    pub force: bool,
    /// 1 (terse) to 5 (every detail); absent: what the configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbose_level: Option<u8>,
    /// Keep what every command printed.
    pub debug: bool,
    /// Run the site's hook at the end.
    pub hook: bool,
    /// Check everything and start nothing.
    pub dry_run: bool,
    /// `Macro[:micro]` to stop at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breakpoint: Option<String>,
    /// Our own: nodes that reach the breakpoint wait for `continue` or `abort`.
    pub keep: bool,
    /// Operations of the user's before, after or instead of micro-steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub custom_operations: Option<serde_json::Value>,
    /// Where the client exports its local files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// `POST /deployment`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DeployRequest {
    /// What every operation has.
    #[serde(flatten)]
    pub common: Common,
    /// What to install.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentChoice>,
    /// A file of public keys for root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_authorized_keys: Option<String>,
    /// The disk, where it is not the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_device: Option<String>,
    /// The partition, where it is not the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deploy_partition: Option<String>,
    /// The partition to boot, when a whole disk is deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_partition: Option<u32>,
    /// Leave the boot loader alone.
    pub disable_bootloader_install: bool,
    /// Leave the partition table alone.
    pub disable_disk_partitioning: bool,
    /// Boot through the firmware.
    pub disable_kexec: bool,
    /// Filesystem to put on the tmp partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reformat_tmp_partition: Option<String>,
    /// Bound of a reboot through the firmware: seconds, or an expression of `n`, the number of nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_reboot_classical: Option<String>,
    /// Bound of a kexec, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_reboot_kexec: Option<String>,
    /// Macro-step instances instead of the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automata: Option<AutomataOverride>,
    /// A boot profile of the user's for the deployed system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pxe: Option<PxeChoice>,
    /// The network to put the nodes in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<String>,
}

/// Which environment: a recorded one by name, or a description in the request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct EnvironmentChoice {
    /// `database` (the default) or `anonymous`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its owner, for a recorded one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// All other fields: `name` and `version`, or the description.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// Macro-step instances of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AutomataOverride {
    /// How nodes get into the deployment system.
    #[serde(rename = "SetDeploymentEnv", alias = "SetDeploymentMiniOS")]
    pub set_deployment_env: Vec<InstanceOverride>,
    /// How they get the image.
    #[serde(rename = "BroadcastEnv")]
    pub broadcast_env: Vec<InstanceOverride>,
    /// How they boot it.
    #[serde(rename = "BootNewEnv")]
    pub boot_new_env: Vec<InstanceOverride>,
}

/// One instance of a macro-step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceOverride {
    /// Its name.
    pub name: String,
    /// Further attempts.
    #[serde(default)]
    pub retries: u32,
    /// Seconds; 0: none of its own.
    #[serde(default)]
    pub timeout: u64,
}

/// A boot profile of the user's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PxeChoice {
    /// Its text.
    pub profile: String,
    /// What `NODE_SINGULARITY` stands for, per node: a text, or a number or a truth value as one.
    #[serde(deserialize_with = "as_texts")]
    pub singularities: BTreeMap<String, String>,
    /// Files it needs.
    pub files: Vec<String>,
}

/// What a reboot boots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RebootKind {
    /// Whatever the node boots now.
    #[default]
    Simple,
    /// A profile of the user's.
    SetPxe,
    /// The deployment system.
    DeployEnv,
    /// An installed environment.
    RecordedEnv,
}

/// `POST /reboot`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RebootRequest {
    /// What every operation has.
    #[serde(flatten)]
    pub common: Common,
    /// What to boot; mandatory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<RebootKind>,
    /// How hard to begin; soft if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub level: Option<Level>,
    /// A file of public keys for root of the deployment system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_authorized_keys: Option<String>,
    /// Bound of the reboot: seconds, or an expression of `n`, the number of nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_reboot_classical: Option<String>,
    /// A boot profile of the user's; mandatory for `set_pxe`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pxe: Option<PxeChoice>,
    /// The network to put the nodes in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<String>,
    /// What is installed, recorded; mandatory for `recorded_env`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentChoice>,
    /// The disk where it is, where that is not the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_device: Option<String>,
    /// The partition where it is; mandatory for `recorded_env`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deploy_partition: Option<String>,
    /// Refuse nodes on which an environment is recorded that must not be booted again.
    pub check_destructive: bool,
}

/// `PUT /power`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PowerRequest {
    /// What every operation has.
    #[serde(flatten)]
    pub common: Common,
    /// `on`, `off` or `status`; mandatory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How hard to begin; soft if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub level: Option<Level>,
}

/// The nodes of a request, whatever else is in it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Nodes {
    /// Names, ranges and parts of names.
    #[serde(deserialize_with = "one_or_many")]
    pub nodes: Vec<String>,
}

/// Values of any simple kind, as texts.
fn as_texts<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let text = |(name, value): (String, Value)| match value {
        Value::String(text) => Ok((name, text)),
        Value::Number(_) | Value::Bool(_) => Ok((name, value.to_string())),
        _ => Err(D::Error::custom(format!("the value of {name} should be a String"))),
    };
    BTreeMap::<String, Value>::deserialize(from)?.into_iter().map(text).collect()
}

/// One string or a list of them: a query parameter that occurs once is a plain string.
fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "should be a Array of String")]
    enum Either {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Either::deserialize(from)? {
        Either::One(one) => vec![one],
        Either::Many(many) => many,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_stands_for_a_node_is_a_text_whatever_it_was() {
        let given = json!({"singularities": {"a": "x", "b": 5, "c": true, "d": 1.5}});
        let read = PxeChoice::deserialize(given).unwrap().singularities;
        let texts = [("a", "x"), ("b", "5"), ("c", "true"), ("d", "1.5")];
        assert_eq!(read, texts.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    }
}
