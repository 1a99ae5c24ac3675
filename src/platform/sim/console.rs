//! The consoles of simulated machines.

use super::world::World;
use crate::{
    nodes::Node,
    platform::{Console, Listener},
};
use async_trait::async_trait;
use std::{io, sync::Arc, time::Duration};
use tokio::time::sleep;

/// Machines do nothing while nobody looks: somebody must look to hear something.
const LOOK: Duration = Duration::from_millis(500);

/// The consoles of a world.
pub(super) struct SimConsole(pub(super) Arc<World>);

#[async_trait]
impl Console for SimConsole {
    async fn listen(&self, node: &Node) -> io::Result<Option<Box<dyn Listener>>> {
        let (world, node) = (Arc::clone(&self.0), node.name.clone());
        let heard = world.said(&node, u64::MAX).0;
        Ok(Some(Box::new(Line { world, node, heard })))
    }
}

struct Line {
    world: Arc<World>,
    node: String,
    heard: u64,
}

#[async_trait]
impl Listener for Line {
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let (said, lines) = self.world.said(&self.node, self.heard);
            self.heard = said;
            if !lines.is_empty() {
                return Some(
                    lines
                        .iter()
                        .flat_map(|line| [line.as_str(), "\r\n"])
                        .collect::<String>()
                        .into_bytes(),
                );
            }
            sleep(LOOK).await;
        }
    }
}
