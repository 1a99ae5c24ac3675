//! The recorded console of a node.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a node printed while it was deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsoleLog {
    /// The node.
    pub node: String,
    /// The operation.
    pub wid: String,
    /// Whose it is.
    pub user: String,
    /// When the recording began, Unix time.
    pub begun: u64,
    /// Whether it goes on.
    pub live: bool,
    /// The `since` of a request for what comes next.
    pub next: u64,
    /// What was printed; bytes that are no text are replaced.
    pub text: String,
}
