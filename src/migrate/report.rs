//! What became of each row.

use serde::Serialize;
use std::collections::BTreeMap;

/// Refusals and notes that are told one by one; more are only counted.
const TOLD: usize = 1000;

/// What was brought over, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Where the rows came from, without password.
    pub from: String,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// By kind of record: environments, rights, nodes, statistics.
    pub records: BTreeMap<&'static str, Count>,
    /// Rows that were not taken, and why; the first thousand.
    pub refused: Vec<Refusal>,
    /// What was taken and is not as it was, or must be looked at.
    pub notes: Vec<String>,
}

/// How many rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Were brought over.
    pub imported: u64,
    /// Were there already.
    pub there: u64,
    /// Were not taken.
    pub refused: u64,
}

/// A row that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Of which kind.
    pub kind: &'static str,
    /// Which one.
    pub what: String,
    /// Why not.
    pub why: String,
}

impl Report {
    /// Whether every row is now in our state.
    pub fn is_whole(&self) -> bool {
        self.records.values().all(|count| count.refused == 0)
    }

    pub(super) fn count(&mut self, kind: &'static str) -> &mut Count {
        self.records.entry(kind).or_default()
    }

    pub(super) fn refuse(&mut self, kind: &'static str, (what, why): (String, String)) {
        self.count(kind).refused += 1;
        if self.refused.len() < TOLD {
            self.refused.push(Refusal { kind, what, why });
        }
    }

    pub(super) fn note(&mut self, text: String) {
        if self.notes.len() < TOLD {
            self.notes.push(text);
        }
    }
}
