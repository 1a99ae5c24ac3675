//! A terminal on the serial port of a node. Ctrl-] leaves it.

use super::{LabError, error::Context, qemu::NodeFiles};
use tokio::net::UnixStream;

/// Joins standard input and output to the node's serial port until Ctrl-] is typed or the keeper
/// ends. When standard input ends, the node is only listened to.
pub(super) async fn attach(files: &NodeFiles) -> Result<(), LabError> {
    let path = files.console();
    let stream = UnixStream::connect(&path).await;
    let stream = stream.map_err(|source| LabError::KeeperSilent { path, source })?;
    crate::client::attach(stream).await.context(|| "the console broke off".into())
}
