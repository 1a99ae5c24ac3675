//! A journal told again, as to a service that starts.

use super::record::settles;
use crate::{
    operations::{tell, time_since},
    store::Store,
    types::Problem,
};
use automata::{Automaton, Entry, Event, Observer, Record, Replay, ReplayError, Report, Status};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What the journal of a run says by itself. Records are taken one by one, and none is kept.
pub(super) struct Retold {
    walks: Replay,
    /// The first record that does not fit; none after it is taken.
    error: Option<ReplayError>,
    start: Option<Duration>,
    /// The runs without a deadline, each in a line.
    pub(super) endless: Vec<String>,
    /// By node: how often, and how, it was settled.
    pub(super) settled: Vec<Vec<Status>>,
}

impl Retold {
    /// No record was told yet, of a run of so many `nodes`.
    pub(super) fn new(automaton: &Arc<Automaton>, nodes: usize) -> Self {
        Self {
            walks: Replay::new(Arc::clone(automaton)),
            error: None,
            start: None,
            endless: Vec::new(),
            settled: vec![Vec::new(); nodes],
        }
    }

    /// All that `store` has, by the clock of the server.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub(super) async fn read(
        store: &dyn Store,
        automaton: &Arc<Automaton>,
        nodes: usize,
    ) -> Result<Self, Problem> {
        let mut retold = Self::new(automaton, nodes);
        tell(store, |at, record| retold.take(at, &record)).await?;
        Ok(retold)
    }

    /// The next record, and when it was written, Unix time.
    pub(super) fn take(&mut self, stamp: Duration, record: &Record) {
        if let Entry::Reported { report: Report::Started { run, until: None }, .. } = &record.entry
        {
            self.endless.push(format!("run {} of {:?} has no deadline", run.0, record.manager));
        }
        if self.error.is_none() {
            let start = *self.start.get_or_insert(stamp);
            let at = time_since(start, u64::try_from(stamp.as_millis()).unwrap_or(u64::MAX));
            let tally = Tally(Mutex::new(&mut self.settled));
            self.error = self.walks.take(record, at, &tally).err();
        }
    }

    /// The walks as the journal left them.
    ///
    /// # Errors
    /// A record did not fit.
    pub(super) fn walks(&self) -> Result<&Replay, &ReplayError> {
        self.error.as_ref().map_or(Ok(&self.walks), Err)
    }
}

/// Counts how often nodes are settled, by node.
struct Tally<'a>(Mutex<&'a mut Vec<Vec<Status>>>);

impl Observer for Tally<'_> {
    fn event(&self, event: &Event) {
        let Some((nodes, status)) = settles(event) else { return };
        let mut settled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in nodes {
            settled[id.index()].push(status);
        }
    }
}
