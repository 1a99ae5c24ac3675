//! The journal of an operation: what its automata were told, what its steps noted, its
//! messages. From it the operation goes on after a restart of the service.

use super::{
    feed::Feed,
    log::{Line, Log, Place},
    logfiles,
    operation::Operation,
};
use crate::{
    steps::{Ledger, Note},
    store::{Change, Store},
    types::EventBody,
};
use automata::{JournalError, Reason, SetId};
use cache::Digest;
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long the store may take: longer, and nothing may go on without it.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// Journal records read at once.
const PAGE: usize = 4096;

/// One fact about an operation.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// What one cluster's automaton was told.
    Run { cluster: String, record: automata::Record },
    /// What a step on one cluster must know after a restart.
    Note { cluster: String, note: Note },
    /// Digests of its files, in the order in which they are grabbed: it goes on with these.
    Files(Vec<Digest>),
    /// Messages.
    Lines(Vec<Line>),
    /// What commands printed.
    Debug(Vec<Line>),
    /// How far readers have come: in the messages, in what commands printed.
    Read { log: Vec<Place>, debug: Vec<Place> },
}

/// The clock of a server: Unix time.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Writes the journal of one operation. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pen {
    store: Arc<dyn Store>,
    wid: Arc<str>,
    clock: Clock,
}

impl Pen {
    pub(super) fn new(store: Arc<dyn Store>, wid: &str) -> Self {
        Self { store, wid: wid.into(), clock: Arc::new(unix_time) }
    }

    /// The same by another clock.
    pub(super) fn by(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Writes entries down, all or none; when it returns they survive a crash.
    pub(super) async fn write(
        &self,
        entries: impl IntoIterator<Item = Entry>,
    ) -> Result<(), JournalError> {
        let mut change = Change::new();
        for entry in entries {
            change = append(change, &self.wid, (self.clock)(), &entry)?;
        }
        commit(&*self.store, change).await
    }
}

fn append(change: Change, wid: &str, at: Duration, entry: &Entry) -> Result<Change, JournalError> {
    let body =
        to_raw_value(entry).map_err(|error| JournalError::caused("it is no record", error))?;
    Ok(change.append(wid, milliseconds(at), body))
}

async fn commit(store: &dyn Store, change: Change) -> Result<(), JournalError> {
    let late = |_| JournalError::new(format!("no answer within {WRITE_LIMIT:?}"));
    let written = timeout(WRITE_LIMIT, store.commit(change)).await.map_err(late)?;
    written.map_err(|error| JournalError::new(error.to_string()))
}

/// Writes down how far the readers of operations have come since that was last done.
pub(super) async fn places(
    store: &dyn Store,
    operations: &[Arc<Operation>],
) -> Result<(), JournalError> {
    let mut change = Change::new();
    for operation in operations {
        if let Some(entry) = moved(operation) {
            change = append(change, &operation.wid, unix_time(), &entry)?;
        }
    }
    if change.is_empty() { Ok(()) } else { commit(store, change).await }
}

/// How far the readers of `operation` have come; nothing if nobody has read anything.
fn moved(operation: &Operation) -> Option<Entry> {
    let debug = operation.debug.as_ref().map(|debug| debug.moved()).unwrap_or_default();
    let log = operation.log.moved();
    (!(log.is_empty() && debug.is_empty())).then_some(Entry::Read { log, debug })
}

/// Gives `operation` back what its readers had before a restart.
pub(super) fn restore(operation: &Operation, entry: Entry) {
    let debug = operation.debug.as_deref();
    match entry {
        Entry::Lines(lines) => operation.log.restore(lines),
        Entry::Debug(lines) => {
            if let Some(debug) = debug {
                debug.restore(lines);
            }
        }
        Entry::Read { log, debug: read } => {
            operation.log.put(log);
            if let Some(debug) = debug {
                debug.put(read);
            }
        }
        Entry::Run { .. } | Entry::Note { .. } | Entry::Files(_) => {}
    }
}

/// Reads the journal of operation `wid` in order: each entry, and when it was written,
/// since `start` (Unix time). An entry of another version is an error.
pub(super) async fn read(
    store: &dyn Store,
    wid: &str,
    start: f64,
    each: impl FnMut(Duration, Entry) -> Result<(), String>,
) -> Result<(), String> {
    read_some(store, (wid, start), |_| true, each).await
}

/// The same of what readers had, and of what commands printed: all that is left to be known of an
/// operation that has ended. The service starts with thousands of those, so the rest is not looked
/// into: an entry begins with its kind.
pub(super) async fn read_of_readers(
    store: &dyn Store,
    wid: &str,
    mut each: impl FnMut(Entry),
) -> Result<(), String> {
    let wanted = |body: &str| ["{\"read\"", "{\"debug\""].iter().any(|kind| body.starts_with(kind));
    let each = |_, entry| {
        each(entry);
        Ok(())
    };
    read_some(store, (wid, 0.0), wanted, each).await
}

async fn read_some(
    store: &dyn Store,
    (wid, start): (&str, f64),
    wanted: impl Fn(&str) -> bool,
    mut each: impl FnMut(Duration, Entry) -> Result<(), String>,
) -> Result<(), String> {
    let start = Duration::try_from_secs_f64(start).unwrap_or_default();
    let mut since = 0;
    loop {
        let page = store.journal(wid, since, PAGE).await.map_err(|error| error.to_string())?;
        let Some(last) = page.last() else { return Ok(()) };
        since = last.seq;
        for record in page.iter().filter(|record| wanted(record.body.get())) {
            let entry = serde_json::from_str(record.body.get())
                .map_err(|why| format!("record {} of its journal: {why}", record.seq))?;
            each(time_since(start, record.at_ms), entry)?;
        }
    }
}

/// The journal of one cluster's part.
pub(super) struct Chapter {
    pub(super) pen: Pen,
    pub(super) cluster: String,
}

#[async_trait::async_trait]
impl automata::Journal for Chapter {
    async fn append(&self, records: &[automata::Record]) -> Result<(), JournalError> {
        let entry =
            |record: &_| Entry::Run { cluster: self.cluster.clone(), record: Clone::clone(record) };
        self.pen.write(records.iter().map(entry)).await
    }
}

#[async_trait::async_trait]
impl Ledger for Chapter {
    async fn note(&self, note: &Note) -> Result<(), Reason> {
        let entry = Entry::Note { cluster: self.cluster.clone(), note: note.clone() };
        self.pen.write([entry]).await.map_err(|error| error.to_string().into())
    }
}

/// How long after `start`, Unix time, something was written at `at_ms`. Of a clock that jumped
/// in between: never before the start.
pub(crate) fn time_since(start: Duration, at_ms: u64) -> Duration {
    Duration::from_millis(at_ms).saturating_sub(start)
}

/// Writes the messages of `operation` and how far they were read down, until `done`. Readers see them from
/// then on: nobody has read what a crash takes away.
pub(super) async fn scribe(
    pen: &Pen,
    operation: &Operation,
    feed: &Feed,
    server: &config::Server,
    done: &CancellationToken,
) {
    loop {
        let last = tokio::select! {
            biased;
            () = operation.log.grown() => false,
            () = grown(operation.debug.as_deref()) => false,
            () = done.cancelled() => true,
        };
        let new = write_lines(pen, &operation.log, Entry::Lines, |line, set| {
            let (level, text) = (line.level, line.text.clone());
            let cluster = line.cluster.as_deref().unwrap_or_default();
            feed.tell(cluster, set, EventBody::Message { level, text });
        })
        .await;
        logfiles::messages(server, operation, &new).await;
        if let Some(debug) = &operation.debug {
            write_lines(pen, debug, Entry::Debug, |_, _| ()).await;
        }
        if let Some(entry) = moved(operation) {
            // Lost, it would cost no more than to read something twice.
            pen.write([entry]).await.ok();
        }
        if last {
            return;
        }
    }
}

async fn grown(log: Option<&Log>) {
    match log {
        Some(log) => log.grown().await,
        None => std::future::pending().await,
    }
}

async fn write_lines(
    pen: &Pen,
    log: &Log,
    entry: impl FnOnce(Vec<Line>) -> Entry,
    tell: impl Fn(&Line, SetId),
) -> Vec<Line> {
    let new = log.unwritten();
    let lines: Vec<Line> = new.iter().map(|(line, _)| line.clone()).collect();
    if new.is_empty() {
        return lines;
    }
    if let Err(error) = pen.write([entry(lines.clone())]).await {
        // The automata stop for the same reason, and say so.
        tracing::error!(wid = &*pen.wid, %error, "messages were not written down");
    }
    log.written(new.len());
    for (line, set) in &new {
        tell(line, *set);
    }
    lines
}

/// Unix time now.
pub(super) fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
