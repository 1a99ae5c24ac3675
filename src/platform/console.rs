//! Listening to the console of a node.

use crate::nodes::Node;
use async_trait::async_trait;
use std::io;

/// Consoles.
#[async_trait]
pub trait Console: Send + Sync {
    /// Listens to what `node` prints from now on, until it is dropped; none where its cluster
    /// has no consoles.
    ///
    /// # Errors
    /// The site's command for it cannot be run.
    async fn listen(&self, node: &Node) -> io::Result<Option<Box<dyn Listener>>>;
}

/// One console that is listened to.
#[async_trait]
pub trait Listener: Send {
    /// What was printed next; none when the console has ended. Nothing is lost if it is dropped
    /// while it waits.
    async fn next(&mut self) -> Option<Vec<u8>>;
}
