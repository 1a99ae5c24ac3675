//! Who looks at operations.

use super::log::Reader;

/// Who looks at an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// Name of the user.
    pub user: String,
    /// Address of the client.
    pub from: String,
    /// May see and end everybody's operations.
    pub almighty: bool,
}

impl Viewer {
    /// He as a reader of messages.
    pub(super) fn reader(&self) -> Reader {
        Reader { user: self.user.clone(), from: self.from.clone() }
    }
}
