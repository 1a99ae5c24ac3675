//! The event stream.

use super::log::seconds;
use crate::{
    metrics::Metrics,
    types::{Event, EventBody, Kind},
};
use automata::SetId;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};
use tokio::sync::broadcast;

/// Events kept for a listener that is slow: about what a thousand nodes make in one step.
const BACKLOG: usize = 16_384;

/// Where all events of the service go.
#[derive(Clone, Debug)]
pub struct Stream {
    sender: broadcast::Sender<Told>,
    /// Number of the next event: whoever holds it sends, so that they come in order.
    next: Arc<Mutex<u64>>,
    metrics: Arc<Metrics>,
}

/// An event, and whom it concerns: that does not depend on whether the operation is still known.
#[derive(Clone, Debug)]
pub struct Told {
    /// Owner of the operation.
    pub owner: Arc<str>,
    /// What happened.
    pub event: Event,
}

impl Default for Stream {
    fn default() -> Self {
        Self::keeping(BACKLOG)
    }
}

impl Stream {
    /// Where so many events are kept for a listener that is slow.
    pub fn keeping(events: usize) -> Self {
        let sender = broadcast::channel(events.max(1)).0;
        Self { sender, next: Arc::default(), metrics: Arc::default() }
    }

    /// Everything from now on. A listener that falls behind loses the oldest events.
    pub fn listen(&self) -> broadcast::Receiver<Told> {
        self.sender.subscribe()
    }

    /// What is counted of them.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The way in for one operation.
    pub(crate) fn of(&self, wid: &str, kind: Kind, owner: &str) -> Feed {
        Feed { stream: self.clone(), wid: wid.into(), kind, owner: owner.into() }
    }
}

/// Events of one operation.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    stream: Stream,
    wid: Arc<str>,
    kind: Kind,
    owner: Arc<str>,
}

impl Feed {
    /// A stream of a broadcast broke.
    pub(crate) fn count_broken_stream(&self, cause: &'static str) {
        self.stream.metrics.broken_stream(cause);
    }

    /// Tells every listener.
    pub(crate) fn tell(&self, cluster: &str, set: SetId, body: EventBody) {
        self.stream.metrics.event(self.kind, &body);
        if self.stream.sender.receiver_count() == 0 {
            return;
        }
        let node_set = set.is_shown().then(|| u32::try_from(set.0).unwrap_or_default());
        let mut next = self.stream.next.lock().unwrap_or_else(PoisonError::into_inner);
        let event = Event {
            id: *next,
            at: seconds(SystemTime::now()),
            wid: self.wid.to_string(),
            kind: self.kind,
            cluster: cluster.to_owned(),
            node_set,
            body,
        };
        *next += 1;
        // The last listener may have left meanwhile.
        self.stream.sender.send(Told { owner: Arc::clone(&self.owner), event }).ok();
    }
}
