//! What came of loading the configuration anew.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What came of loading the configuration anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// Whether it was another one.
    pub changed: bool,
    /// How many nodes there are now.
    pub nodes: usize,
    /// Names of those that are new.
    pub added: Vec<String>,
    /// Names of those that are gone.
    pub removed: Vec<String>,
    /// What is worth knowing of it: keys that are not known or have no effect.
    pub notices: Vec<String>,
}
