//! What follows from one turn of reports: first for the journal, then for the world.

use crate::{Command, Event, Record};
use std::time::Duration;

/// The reports of one turn, and what they mean.
pub(super) struct Batch {
    /// When, since the start of the operation.
    pub(super) at: Duration,
    /// For the journal.
    pub(super) records: Vec<Record>,
    /// For the observer, once the journal has the records.
    pub(super) told: Vec<Event>,
    /// To be done then.
    pub(super) commands: Vec<Command>,
    /// Whether runs may begin: not while the run is being suspended.
    pub(super) begins: bool,
    /// How many micro-steps ended.
    pub(super) ended: usize,
}

impl Batch {
    pub(super) fn new(at: Duration, begins: bool) -> Self {
        Self { at, records: Vec::new(), told: Vec::new(), commands: Vec::new(), begins, ended: 0 }
    }
}
