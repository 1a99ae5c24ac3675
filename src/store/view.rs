//! The records of the trees, as one transaction left them.

use std::ops::Range as Span;
use std::path::Path;

use redb::Range;
use serde::de::DeserializeOwned;

use super::change::{environment, journal};
use super::engine::{self, Records};
use super::key::{Key, Tree};
use super::writer::sequence;
use super::{
    EnvironmentQuery, EnvironmentRecord, JournalRecord, StatFilter, StatRow, StoreError, Version,
    frame,
};

/// What one transaction left. Whatever is asked is a range of keys: what it costs depends on
/// what is found, not on how much else there is.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) records: &'a Records,
    pub(super) path: &'a Path,
}

impl View<'_> {
    pub(super) fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, StoreError> {
        engine::get(self.records, key, self.path)
    }

    /// The records of a span of keys, in order.
    fn span<T: DeserializeOwned>(
        &self,
        span: &Span<Vec<u8>>,
    ) -> Result<impl Iterator<Item = Result<(Vec<u8>, T), StoreError>>, StoreError> {
        let span = span.start.as_slice()..span.end.as_slice();
        let found: Range<'_, &[u8], &[u8]> =
            self.records.range(span).map_err(StoreError::engine(self.path))?;
        Ok(found.map(|entry| {
            let (key, value) = entry.map_err(StoreError::engine(self.path))?;
            let record = frame::open(key.value(), value.value())?;
            Ok((key.value().to_vec(), record))
        }))
    }

    /// The records whose keys begin with `prefix`.
    pub(super) fn list<T: DeserializeOwned>(&self, prefix: &Key) -> Result<Vec<T>, StoreError> {
        self.span(&prefix.range())?.map(|entry| entry.map(|(_, record)| record)).collect()
    }

    /// A part of a journal. A number that is missing is damage: what follows it does not
    /// make sense without.
    pub(super) fn journal(
        &self,
        wid: &str,
        since: u64,
        limit: usize,
    ) -> Result<Vec<JournalRecord>, StoreError> {
        let Some(first) = since.checked_add(1) else { return Ok(Vec::new()) };
        let whole = journal(wid);
        let span = whole.clone().number(first).0..whole.range().end;
        let numbered = |(entry, expected): (Result<(Vec<u8>, JournalRecord), _>, u64)| {
            let (key, record) = entry?;
            let seq = sequence(&key);
            if seq != expected {
                let missing = whole.clone().number(expected);
                return Err(frame::damaged(&missing.0, "it is missing"));
            }
            Ok(JournalRecord { seq, ..record })
        };
        self.span(&span)?.take(limit).zip(first..).map(numbered).collect()
    }

    pub(super) fn environments(
        &self,
        query: &EnvironmentQuery,
    ) -> Result<Vec<EnvironmentRecord>, StoreError> {
        let prefix = match (&query.user, &query.name) {
            (Some(user), Some(name)) => environment(user, name),
            (Some(user), None) => Key::new(Tree::Environments).text(user),
            (None, _) => Key::new(Tree::Environments),
        };
        let mut found: Vec<EnvironmentRecord> = self.list(&prefix)?;
        found.retain(|record| query.name.as_ref().is_none_or(|name| *name == record.name));
        match query.version {
            Version::All => {}
            Version::Exactly(version) => found.retain(|record| record.version == version),
            // Versions of one environment stand together, the greatest last.
            Version::Latest => found.dedup_by(|later, earlier| {
                let same = later.user == earlier.user && later.name == earlier.name;
                if same {
                    std::mem::swap(later, earlier);
                }
                same
            }),
        }
        Ok(found)
    }

    pub(super) fn statistics(&self, filter: &StatFilter) -> Result<Vec<StatRow>, StoreError> {
        let all = Key::new(Tree::Statistics);
        let from = all.clone().number(filter.from.unwrap_or(0)).0;
        let until = filter.until.map_or_else(|| all.range().end, |time| all.clone().number(time).0);
        if from >= until {
            return Ok(Vec::new());
        }
        let span = from..until;
        let rows = self.span(&span)?.map(|entry| entry.map(|(_, row)| row));
        let passes =
            |row: &Result<StatRow, StoreError>| row.as_ref().map_or(true, |row| filter.passes(row));
        rows.filter(passes).take(filter.limit.unwrap_or(usize::MAX)).collect()
    }
}
