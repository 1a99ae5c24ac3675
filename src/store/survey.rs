//! What there is in a state, and what is missing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::key::{Key, Tree, describe, texts};
use super::salvage::{Hole, Rest};
use super::writer::sequence;

/// What was found in a state directory.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Findings {
    /// The directory.
    pub directory: PathBuf,
    /// Size of the state, bytes.
    pub bytes: u64,
    /// Number of the last transaction, 0 if it cannot be told.
    pub transaction: u64,
    /// Number of the last transaction that was acknowledged, where that was noted.
    pub acknowledged: Option<u64>,
    /// What a service would say that is to start with it; none if it would start.
    pub damage: Option<String>,
    /// Records that can be read, by tree.
    pub records: BTreeMap<String, u64>,
    /// Records that are readable as they were before the last transaction.
    pub stale: usize,
    /// Places where something cannot be read.
    pub unreadable: Vec<String>,
    /// Journals that end too early.
    pub cut: Vec<CutJournal>,
}

/// A journal in which a number is missing: what follows makes no sense without.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CutJournal {
    /// The workflow.
    pub wid: String,
    /// The records up to this number are there.
    pub kept: u64,
    /// So many records behind the gap could be read and are left out.
    pub left_out: u64,
}

impl Findings {
    /// Whether all is as it was written.
    pub fn is_sound(&self) -> bool {
        self.damage.is_none() && self.unreadable.is_empty() && self.cut.is_empty()
    }

    /// Whether something that was acknowledged cannot be read, or may not.
    pub fn is_lossy(&self) -> bool {
        let transactions = self.acknowledged.is_some_and(|noted| noted > self.transaction);
        let lost = !self.unreadable.is_empty() || !self.cut.is_empty() || self.stale > 0;
        !self.is_sound() && (lost || transactions)
    }

    /// Counts a record; false if it is behind a gap in its journal.
    fn add(&mut self, key: &[u8], last: &mut (String, u64)) -> bool {
        let tree = Tree::of(key);
        if tree == Tree::Journal {
            let wid = texts(key).into_iter().next().unwrap_or_default();
            if last.0 != wid {
                *last = (wid, 0);
            }
            if sequence(key) != last.1 + 1 {
                if let Some(cut) = self.cut.last_mut().filter(|cut| cut.wid == last.0) {
                    cut.left_out += 1;
                } else {
                    let wid = last.0.clone();
                    self.cut.push(CutJournal { wid, kept: last.1, left_out: 1 });
                }
                return false;
            }
            last.1 += 1;
        }
        if tree != Tree::Meta {
            *self.records.entry(tree.to_string()).or_default() += 1;
        }
        true
    }

    /// Goes through what was read, and takes out what makes no sense any more.
    pub(super) fn sift(&mut self, rest: &mut Rest) {
        let mut last = (String::new(), 0);
        rest.records.retain(|key, _| self.add(key, &mut last));
        self.stale = rest.stale;
        self.unreadable.extend(rest.holes.iter().filter(|hole| !is_empty(hole)).map(place));
    }
}

/// Whether nothing can be missing in a hole.
fn is_empty(hole: &Hole) -> bool {
    let next = hole.after.as_ref().and_then(|after| next(after));
    next.is_some_and(|next| Some(next.0) == hole.before)
}

/// Where a hole is, in words.
fn place(hole: &Hole) -> String {
    let name = |key: &Vec<u8>| format!("{}, '{}'", Tree::of(key), describe(key));
    match (&hole.after, &hole.before) {
        (None, None) => "everything".to_owned(),
        (Some(after), None) => format!("what comes after {}", name(after)),
        (None, Some(before)) => format!("what comes before {}", name(before)),
        (Some(after), Some(before)) => format!("between {} and {}", name(after), name(before)),
    }
}

/// The journal record that follows one, if it is one.
fn next(key: &[u8]) -> Option<Key> {
    let wid = texts(key).into_iter().next()?;
    let journal = Tree::of(key) == Tree::Journal;
    journal.then(|| super::change::journal(&wid).number(sequence(key) + 1))
}
