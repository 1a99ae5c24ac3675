//! Nodes of running operations of which nothing is heard any more.

use super::Inner;
use std::{collections::HashSet, sync::PoisonError, time::Duration};

impl Inner {
    /// Names of the nodes of running operations of which nothing was heard for `timer`
    /// (`rights/purge_deployment_timer`). Those that wait at a breakpoint are not among them.
    pub(super) fn quiet(&self, timer: Duration) -> HashSet<String> {
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
