//! The end of the service: what runs goes on later, or ends.

use super::{Operations, operation::Operation};
use futures_util::future::join_all;
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::time::timeout;

/// How long micro-steps that run may take to end when the service is stopped: most commands
/// do, an image does not.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a stop may take, so that the whole service has stopped within ten seconds: what
/// is not over then is left as the journal has it.
const STOP_LIMIT: Duration = Duration::from_secs(7);

impl Operations {
    /// Takes no further request, stops what runs so that it goes on when the service is
    /// started again, and waits for it within bounds.
    pub async fn suspend(&self) {
        self.0.stop.cancel();
        let all = async {
            let mut controls = Vec::new();
            for operation in self.running() {
                operation.suspend.cancel();
                controls.extend(operation.controls());
            }
            join_all(controls.iter().map(|control| control.suspend(PATIENCE))).await;
            self.0.tasks.close();
            self.0.tasks.wait().await;
        };
        if timeout(STOP_LIMIT, all).await.is_err() {
            tracing::error!(
                "not everything could be stopped in time: its journal says where it is"
            );
        }
    }

    pub(super) fn running(&self) -> Vec<Arc<Operation>> {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        table.values().filter(|one| !one.ended()).cloned().collect()
    }

    /// Takes no further request, ends what runs, and waits for it within bounds. An operation
    /// whose end is not written down by then goes on at the next start, a hook that has not
    /// ended is due again: both are in the store as they were.
    pub async fn abort(&self) {
        self.0.abort.cancel();
        self.0.stop.cancel();
        for operation in self.running() {
            operation.cancel.cancel();
            for control in operation.controls() {
                control.kill("the service was stopped".to_owned());
            }
        }
        self.0.tasks.close();
        if timeout(STOP_LIMIT, self.0.tasks.wait()).await.is_err() {
            tracing::error!(
                "not everything could be ended in time: operations that have not ended go on at \
                 the next start, hooks that have not are run again"
            );
        }
    }
}
