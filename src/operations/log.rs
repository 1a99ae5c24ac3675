//! Messages of one operation, kept for every reader.

use automata::SetId;
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::Notify;

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Unix time, seconds.
    pub at: f64,
    /// 0 (always shown) to 5 (every detail).
    pub level: u8,
    /// Whose it is; the operation's own if none.
    pub cluster: Option<String>,
    /// One line of text.
    pub text: String,
}

/// Who reads: each has a place of his own, so that nobody takes lines from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Reader {
    /// Name of the user.
    pub user: String,
    /// Address of the client.
    pub from: String,
}

/// How far a reader has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Who.
    reader: Reader,
    /// In the lines of this cluster (or node), else in all.
    part: Option<String>,
    /// How many lines lie behind him.
    at: usize,
}

/// The messages of one operation, in order. Nothing is consumed by reading, and nobody
/// reads a line before it is written down: what was read is there after a crash as well.
#[derive(Debug, Default)]
pub(crate) struct Log {
    inner: Mutex<Inner>,
    grown: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Written down.
    lines: Vec<Line>,
    /// Not yet, each with the set it speaks of.
    fresh: Vec<(Line, SetId)>,
    places: HashMap<(Reader, Option<String>), usize>,
    /// Readers who came further since it was last written down.
    moved: HashSet<(Reader, Option<String>)>,
}

impl Inner {
    /// The lines that lie before `reader`: behind the place he has in all of them, and behind the
    /// one he has in those of their cluster.
    fn unread<'l>(
        &'l self,
        reader: &Reader,
        level: u8,
        part: Option<&'l str>,
    ) -> impl Iterator<Item = &'l Line> {
        let mine = self.places.iter().filter(|((who, _), _)| who == reader);
        let places: HashMap<_, _> = mine.map(|((_, part), at)| (part.as_deref(), *at)).collect();
        let start = places.get(&None).copied().unwrap_or_default();
        let lines = self.lines.iter().enumerate().skip(start);
        let new = lines.filter(move |(at, line)| {
            let own = line.cluster.as_deref();
            let read = own.and_then(|own| places.get(&Some(own))).is_some_and(|place| at < place);
            line.level <= level && !read && (part.is_none() || own == part)
        });
        new.map(|(_, line)| line)
    }
}

impl Log {
    /// A log that begins with `lines` of before a restart.
    pub(crate) fn with(lines: Vec<Line>) -> Self {
        let inner = Mutex::new(Inner { lines, ..Inner::default() });
        Self { inner, grown: Notify::new() }
    }

    /// Adds lines of before a restart.
    pub(crate) fn restore(&self, lines: Vec<Line>) {
        self.inner().lines.extend(lines);
    }

    /// Adds a message of `cluster` (or of the operation) about a set.
    pub(crate) fn add(&self, level: u8, cluster: Option<&str>, set: SetId, text: &str) {
        let at = seconds(SystemTime::now());
        let cluster = cluster.map(str::to_owned);
        // Old clients cut a text at a vertical bar.
        let made = text.lines().map(|text| {
            let text = text.replace('|', "¦");
            (Line { at, level, cluster: cluster.clone(), text }, set)
        });
        self.inner().fresh.extend(made);
        self.grown.notify_one();
    }

    /// Waits until there is something to be written down; for one who writes.
    pub(crate) async fn grown(&self) {
        self.grown.notified().await;
    }

    /// The lines that are to be written down.
    pub(crate) fn unwritten(&self) -> Vec<(Line, SetId)> {
        self.inner().fresh.clone()
    }

    /// The first `count` of them were written down: everybody may read them.
    pub(crate) fn written(&self, count: usize) {
        let mut inner = self.inner();
        let Inner { lines, fresh, .. } = &mut *inner;
        let count = count.min(fresh.len());
        lines.extend(fresh.drain(..count).map(|(line, _)| line));
    }

    /// The lines from `cursor` on that `level` shows, of one cluster or of all, and the next cursor.
    pub(crate) fn since(
        &self,
        cursor: usize,
        level: u8,
        cluster: Option<&str>,
    ) -> (Vec<Line>, usize) {
        let inner = self.inner();
        let new = inner.lines.get(cursor..).unwrap_or_default();
        (shown(new, level, cluster), inner.lines.len())
    }

    /// What `reader` has not read yet, up to `level`: of one cluster (or node), or of all. Then
    /// it is read, whichever of the two ways he asks next.
    pub(crate) fn unread(&self, reader: &Reader, level: u8, part: Option<&str>) -> Vec<Line> {
        let mut inner = self.inner();
        let new = inner.unread(reader, level, part).cloned().collect();
        let end = inner.lines.len();
        let Inner { places, moved, .. } = &mut *inner;
        let key = (reader.clone(), part.map(str::to_owned));
        let place = places.entry(key.clone()).or_default();
        if *place != end {
            *place = end;
            moved.insert(key);
            self.grown.notify_one();
        }
        new
    }

    /// The places of those who came further since this was last asked.
    pub(crate) fn moved(&self) -> Vec<Place> {
        let mut inner = self.inner();
        let Inner { places, moved, .. } = &mut *inner;
        let place = |key: (Reader, Option<String>)| {
            let at = places.get(&key).copied().unwrap_or_default();
            Place { reader: key.0, part: key.1, at }
        };
        moved.drain().map(place).collect()
    }

    /// Puts readers in their places of before a restart.
    pub(crate) fn put(&self, places: Vec<Place>) {
        let places = places.into_iter().map(|Place { reader, part, at }| ((reader, part), at));
        self.inner().places.extend(places);
    }

    /// Whether there are lines `reader` has not read.
    pub(crate) fn has_unread(&self, reader: &Reader, level: u8) -> bool {
        self.inner().unread(reader, level, None).next().is_some()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown(lines: &[Line], level: u8, cluster: Option<&str>) -> Vec<Line> {
    let mine = |line: &&Line| {
        line.level <= level && (cluster.is_none() || line.cluster.as_deref() == cluster)
    };
    lines.iter().filter(mine).cloned().collect()
}

/// Whole seconds of a number of seconds; 0 for what is none.
pub(crate) fn whole(seconds: f64) -> u64 {
    Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs()
}

/// Unix time, seconds.
pub(crate) fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(user: &str) -> Reader {
        Reader { user: user.into(), from: "::1".into() }
    }

    /// Adds a line and writes it down.
    fn add(log: &Log, level: u8, cluster: Option<&str>, text: &str) {
        log.add(level, cluster, SetId(-1), text);
        log.written(log.unwritten().len());
    }

    #[test]
    fn nobody_reads_what_is_not_written_down() {
        let log = Log::default();
        add(&log, 1, None, "one");
        log.add(1, None, SetId(-1), "two");
        assert_eq!(texts(&log.since(0, 3, None).0), ["one"]);
        assert_eq!(texts(&log.unread(&reader("anna"), 3, None)), ["one"]);
        let new = log.unwritten();
        log.add(1, None, SetId(-1), "three");
        log.written(new.len());
        assert_eq!(texts(&log.unread(&reader("anna"), 3, None)), ["two"]);
        assert_eq!(texts(&[log.unwritten()[0].0.clone()]), ["three"]);
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn each_reader_gets_each_line_once() {
        let log = Log::default();
        add(&log, 1, None, "one");
        let (anna, ben) = (reader("anna"), reader("ben"));
        assert_eq!(texts(&log.unread(&anna, 3, None)), ["one"]);
        add(&log, 1, Some("lab"), "two\nthree");
        assert!(log.has_unread(&anna, 3));
        assert_eq!(texts(&log.unread(&anna, 3, None)), ["two", "three"]);
        assert!(!log.has_unread(&anna, 3));
        assert_eq!(texts(&log.unread(&ben, 3, None)), ["one", "two", "three"]);
        assert_eq!(texts(&log.since(1, 3, Some("lab")).0), ["two", "three"]);
    }

    #[test]
    fn a_reader_goes_on_where_he_was() {
        let log = Log::default();
        add(&log, 1, None, "one");
        log.unread(&reader("anna"), 3, None);
        log.unread(&reader("anna"), 3, None);
        let moved = log.moved();
        assert_eq!((moved.len(), log.moved().len()), (1, 0));
        let again = Log::default();
        again.restore(log.since(0, 5, None).0);
        again.put(moved);
        add(&again, 1, None, "two");
        assert_eq!(texts(&again.unread(&reader("anna"), 3, None)), ["two"]);
        assert_eq!(texts(&again.unread(&reader("ben"), 3, None)), ["one", "two"]);
    }

    #[test]
    fn lines_of_a_cluster_are_read_once_as_well() {
        let log = Log::default();
        for (cluster, text) in [(None, "all"), (Some("a"), "a1"), (Some("b"), "b1")] {
            add(&log, 1, cluster, text);
        }
        let anna = reader("anna");
        assert_eq!(texts(&log.unread(&anna, 3, Some("a"))), ["a1"]);
        assert!(log.unread(&anna, 3, Some("a")).is_empty());
        assert_eq!(texts(&log.unread(&anna, 3, None)), ["all", "b1"]);
        assert!(log.unread(&anna, 3, Some("b")).is_empty() && !log.has_unread(&anna, 3));
        add(&log, 1, Some("a"), "a2");
        assert_eq!(texts(&log.unread(&anna, 3, Some("a"))), ["a2"]);
        assert!(!log.has_unread(&anna, 3));
        assert_eq!(texts(&log.unread(&reader("ben"), 3, None)), ["all", "a1", "b1", "a2"]);
    }

    #[test]
    fn a_reader_sees_what_his_level_shows() {
        let log = Log::default();
        add(&log, 5, None, "detail");
        assert!(!log.has_unread(&reader("anna"), 4));
        assert_eq!(texts(&log.unread(&reader("anna"), 5, None)), ["detail"]);
    }

    #[test]
    fn a_bar_does_not_cut_a_text() {
        let log = Log::default();
        add(&log, 0, None, "a | b");
        assert_eq!(texts(&log.since(0, 5, None).0), ["a ¦ b"]);
    }
}
