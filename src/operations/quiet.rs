//! Nodes of running operations of which nothing is heard any more.

use super::{Inner, reservation::Reservation};
use crate::nodes::Node;
use std::{
    collections::HashSet,
    sync::{Arc, PoisonError},
    time::Duration,
};

impl Inner {
    /// Takes those of `nodes` that are free for operation `wid`, or of which nothing is heard any
    /// more; all of them with `force`. Returns what was taken and the nodes that were busy.
    pub(super) fn reserve(
        &self,
        wid: &str,
        nodes: &[Arc<Node>],
        force: bool,
    ) -> (Reservation, Vec<Arc<Node>>, Vec<Arc<Node>>) {
        let quiet = self.quiet(self.means.site().config.server.rights.purge_deployment_timer);
        let given_up = |node: &Node| force || quiet.contains(&node.name);
        self.reservations.take_over(wid, nodes.to_vec(), given_up)
    }

    /// Names of the nodes of running operations of which nothing was heard for `timer`
    /// (`rights/purge_deployment_timer`). Those that wait at a breakpoint are not among them.
    fn quiet(&self, timer: Duration) -> HashSet<String> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut names = HashSet::new();
        for operation in table.values().filter(|operation| !operation.ended()) {
            for watch in &operation.watches {
                let board = watch.board();
                let quiet = board.iter().filter(|(_, place)| place.is_quiet(timer));
                names.extend(quiet.map(|(id, _)| watch.name(id)));
            }
        }
        names
    }
}
