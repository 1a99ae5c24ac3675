//! Operations that have ended, forgotten after a time.

use super::{Operations, archive};
use std::sync::PoisonError;

impl Operations {
    /// Forgets the operations that have ended and began longer ago than the configuration
    /// keeps them.
    pub async fn clean(&self) {
        if self.writable().is_err() {
            return;
        }
        let limit = self.0.means.site().config.server.autoclean_threshold.0;
        let old: Vec<String> = {
            let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
            let old = table.values().filter(|one| one.is_closed() && one.age() > limit);
            old.map(|one| one.wid.clone()).collect()
        };
        for wid in old {
            if let Err(problem) = archive::forget(&*self.0.means.store, &wid).await {
                tracing::warn!(wid, %problem, "an old operation cannot be forgotten");
                continue;
            }
            self.0.table.write().unwrap_or_else(PoisonError::into_inner).remove(&wid);
            tracing::info!(wid, "forgotten: it is old");
        }
    }
}
