//! A journal told again, as to a service that starts.

use super::{record::settles, starts::Starts};
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
    pub(super) tally: Tally,
}

/// What is counted.
#[derive(Default)]
pub(super) struct Tally {
    /// By node: how often, and how, it was settled.
    pub(super) settled: Vec<Vec<Status>>,
    /// Of steps, whichever service started them.
    pub(super) starts: Starts,
}

impl Retold {
    /// No record was told yet, of a run of so many `nodes`.
    pub(super) fn new(automaton: &Arc<Automaton>, nodes: usize) -> Self {
        Self {
            walks: Replay::new(Arc::clone(automaton)),
            error: None,
            start: None,
            endless: Vec::new(),
            tally: Tally { settled: vec![Vec::new(); nodes], ..Tally::default() },
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
            let again = self.starts_again(record);
            let counts = Counts { tally: Mutex::new(&mut self.tally), again };
            self.error = self.walks.take(record, at, &counts).err();
        }
    }

    /// Whether a service takes up with it what one before had started: that is no new attempt.
    fn starts_again(&self, record: &Record) -> bool {
        let Entry::Reported { report: Report::Started { run, .. }, .. } = &record.entry else {
            return false;
        };
        self.walks.walk(&record.manager).is_some_and(|walk| walk.state().has_started(*run))
    }

    /// The walks as the journal left them.
    ///
    /// # Errors
    /// A record did not fit.
    pub(super) fn walks(&self) -> Result<&Replay, &ReplayError> {
        self.error.as_ref().map_or(Ok(&self.walks), Err)
    }
}

/// Counts what one record tells.
struct Counts<'a> {
    tally: Mutex<&'a mut Tally>,
    again: bool,
}

impl Observer for Counts<'_> {
    fn event(&self, event: &Event) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        if let Event::StepStarted { path, nodes, attempt, .. } = event
            && !self.again
        {
            tally.starts.begin(path, nodes, *attempt);
        }
        let Some((nodes, status)) = settles(event) else { return };
        for id in nodes {
            tally.settled[id.index()].push(status);
        }
    }
}
