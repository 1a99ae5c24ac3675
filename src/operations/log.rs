//! Messages of one operation, kept for every reader.

use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reader {
    /// Name of the user.
    pub user: String,
    /// Address of the client.
    pub from: String,
}

/// The messages of one operation, in order. Nothing is consumed by reading.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    lines: Vec<Line>,
    places: HashMap<(Reader, Option<String>), usize>,
}

impl Log {
    /// A log that begins with `lines` of before a restart.
    pub(crate) fn with(lines: Vec<Line>) -> Self {
        Self(Mutex::new(Inner { lines, ..Inner::default() }))
    }

    /// Adds a message of `cluster` (or of the operation); returns the lines it made.
    pub(crate) fn add(&self, level: u8, cluster: Option<&str>, text: &str) -> Vec<Line> {
        let at = seconds(SystemTime::now());
        let cluster = cluster.map(str::to_owned);
        // Old clients cut a text at a vertical bar.
        let made = text.lines().map(|text| Line {
            at,
            level,
            cluster: cluster.clone(),
            text: text.replace('|', "¦"),
        });
        let made: Vec<Line> = made.collect();
        self.inner().lines.extend(made.iter().cloned());
        made
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

    /// The lines `reader` has not read, which he has read from now on.
    pub(crate) fn unread(&self, reader: &Reader, level: u8, cluster: Option<&str>) -> Vec<Line> {
        let mut inner = self.inner();
        let Inner { lines, places } = &mut *inner;
        let place = places.entry((reader.clone(), cluster.map(str::to_owned))).or_default();
        let new = shown(lines.get(*place..).unwrap_or_default(), level, cluster);
        *place = lines.len();
        new
    }

    /// Whether there are lines `reader` has not read.
    pub(crate) fn has_unread(&self, reader: &Reader, level: u8) -> bool {
        let inner = self.inner();
        let place = inner.places.get(&(reader.clone(), None)).copied().unwrap_or_default();
        inner.lines.get(place..).unwrap_or_default().iter().any(|line| line.level <= level)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn each_reader_gets_each_line_once() {
        let log = Log::default();
        log.add(1, None, "one");
        let (anna, ben) = (reader("anna"), reader("ben"));
        assert_eq!(texts(&log.unread(&anna, 3, None)), ["one"]);
        log.add(1, Some("lab"), "two\nthree");
        assert!(log.has_unread(&anna, 3));
        assert_eq!(texts(&log.unread(&anna, 3, None)), ["two", "three"]);
        assert!(!log.has_unread(&anna, 3));
        assert_eq!(texts(&log.unread(&ben, 3, None)), ["one", "two", "three"]);
        assert_eq!(texts(&log.since(1, 3, Some("lab")).0), ["two", "three"]);
    }

    #[test]
    fn a_reader_sees_what_his_level_shows() {
        let log = Log::default();
        log.add(5, None, "detail");
        assert!(!log.has_unread(&reader("anna"), 4));
        assert_eq!(texts(&log.unread(&reader("anna"), 5, None)), ["detail"]);
    }

    #[test]
    fn a_bar_does_not_cut_a_text() {
        let log = Log::default();
        assert_eq!(log.add(0, None, "a | b")[0].text, "a ¦ b");
    }
}
