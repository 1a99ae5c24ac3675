//! Nodes of running operations of which nothing is heard any more.

use super::{Inner, operation::Operation, reservation::Reservation};
use crate::nodes::Node;
use std::{
    collections::HashSet,
    sync::{Arc, PoisonError},
    time::Duration,
};

impl Inner {
    /// Takes those of `nodes` that are free for operation `wid`, or of which nothing is heard any
    /// more; all of them with `force`. Returns what was taken and the nodes that were busy. One
    /// that `only_asks` is about all of them and takes none.
    pub(super) fn reserve(
        &self,
        wid: &str,
        nodes: &[Arc<Node>],
        (force, only_asks): (bool, bool),
    ) -> (Reservation, Vec<Arc<Node>>, Vec<Arc<Node>>) {
        if only_asks {
            return (self.reservations.none(wid), nodes.to_vec(), Vec::new());
        }
        let quiet = self.quiet(self.means.site().config.server.rights.purge_deployment_timer);
        let given_up = |node: &Node| force || quiet.contains(&node.name);
        self.reservations.take_over(wid, nodes.to_vec(), given_up)
    }

    /// Names of the nodes of running operations of which nothing was heard for `timer`
    /// (`rights/purge_deployment_timer`). Those that wait at a breakpoint are not among them.
    fn quiet(&self, timer: Duration) -> HashSet<String> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut names = HashSet::new();
        // One that only asks holds no node: nothing follows from its silence.
        let holds = |one: &&Arc<Operation>| !one.ended() && !one.only_asks();
        for operation in table.values().filter(holds) {
            for watch in &operation.watches {
                let board = watch.board();
                let quiet = board.iter().filter(|(_, place)| place.is_quiet(timer));
                names.extend(quiet.map(|(id, _)| watch.name(id)));
            }
        }
        names
    }
}
