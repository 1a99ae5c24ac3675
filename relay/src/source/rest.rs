//! What a server before this one has sent: it is not sent again, but known by its digests.
//!
//! A node that goes on proves all of its blocks, those of before as well. So the beginning of the
//! file is read here too, beside the broadcast; who is done meanwhile waits for the verdict.

use super::feed::Feed;
use std::{future::pending, sync::Arc};
use tokio::task::JoinHandle;

/// The reading of the beginning.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Up to this offset.
    known: u64,
    reading: Option<JoinHandle<()>>,
}

impl Rest {
    /// Reads up to `offset`, if that is not done or underway.
    pub(super) fn read(&mut self, feed: &Arc<Feed>, offset: u64) {
        if offset <= self.known {
            return;
        }
        self.known = offset;
        // A broadcast that is dropped takes the feed with it.
        let feed = Arc::downgrade(feed);
        // What was begun before goes on: it reads what this one does not need to read then.
        self.reading = Some(tokio::task::spawn_blocking(move || Feed::learn(&feed, offset)));
    }

    /// Is it being read?
    pub(super) fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// When it has been read; never if it is not being read. Cancel-safe.
    pub(super) async fn done(&mut self) {
        match &mut self.reading {
            // What could not be read is not known: the verdicts say so.
            Some(reading) => drop(reading.await),
            None => pending().await,
        }
        self.reading = None;
    }
}
