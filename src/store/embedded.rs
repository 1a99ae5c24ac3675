//! The store in one directory, on sled.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use sled::{Db, IVec};
use tokio::sync::{mpsc, oneshot};

use super::change::{environment, journal, node, operation};
use super::key::{Key, Tree, describe};
use super::lock::DirectoryLock;
use super::platter::Platter;
use super::witness::Witness;
use super::writer::{Job, Writer, last_id_key, number_key, sequence};
use super::{
    Change, EnvironmentQuery, EnvironmentRecord, JournalRecord, NodeRecord, OperationRecord,
    RightRecord, StatFilter, StatRow, Store, StoreError, Version, frame,
};

/// Version of the keys and records. An older one is to be migrated here, after
/// a copy of the directory; there is none yet.
const SCHEMA: u32 = 1;

/// Changes that may wait for the writer; further callers wait for a place.
const QUEUE: usize = 1024;

/// Memory for the engine's pages. The state of a large site is some tens of MB;
/// what does not fit is read from disk.
const ENGINE_CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// [`Store`] in a directory that belongs to this process alone.
///
/// Dropping it waits for the changes that were handed in.
pub struct SledStore {
    files: Arc<Files>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    last_id: AtomicU64,
}

/// The engine and the lock on its directory, in the order in which they close.
struct Files {
    db: Db,
    directory: PathBuf,
    _lock: DirectoryLock,
}

impl SledStore {
    /// Opens the state in `directory`, made if missing. Reads the disk: not for
    /// an async context.
    ///
    /// Errors: the directory is in use, was written by a newer release, is
    /// damaged, or cannot be read.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        let directory = directory.as_ref();
        fs::create_dir_all(directory).map_err(StoreError::file(directory))?;
        let lock = DirectoryLock::take(directory)?;
        let engine = directory.join("sled");
        let db = open_engine(directory, &engine)?;
        let files = Files { db, directory: directory.to_owned(), _lock: lock };
        // The engine takes a file in which it recognises nothing for a new one.
        let acknowledged = Witness::read(directory)?;
        files.check_schema(acknowledged.is_none())?;
        let number = files.check_number(acknowledged)?;
        let last_id = files.get(&last_id_key())?.unwrap_or(0);
        let mut platter = Platter::new(&engine)?;
        files.db.flush().map_err(|why| files.engine(why))?;
        platter.sync()?;
        let witness = Witness::begin(directory, number)?;
        let files = Arc::new(files);
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let kept = Arc::clone(&files);
        let work = Writer {
            db: files.db.clone(),
            directory: directory.to_owned(),
            platter,
            witness,
            number,
            last_id,
            tails: std::collections::HashMap::new(),
        };
        let writer = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                work.run(waiting);
                drop(kept);
            })
            .map_err(StoreError::file(directory))?;
        Ok(Self { files, jobs: Some(jobs), writer: Some(writer), last_id: AtomicU64::new(last_id) })
    }

    /// Reads on a thread that may wait for the disk.
    async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Files) -> Result<T, StoreError> + Send + 'static,
    {
        let files = Arc::clone(&self.files);
        tokio::task::spawn_blocking(move || read(&files)).await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that writes the state panicked");
        }
    }
}

/// The engine panics on some kinds of damage: that ends the start, not the process.
fn open_engine(directory: &Path, engine: &Path) -> Result<Db, StoreError> {
    let config =
        sled::Config::new().path(engine).cache_capacity(ENGINE_CACHE_BYTES).flush_every_ms(None);
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(opened) => opened.map_err(|why| StoreError::Engine {
            directory: directory.to_owned(),
            why: Box::new(why),
        }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let why = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let why = why.unwrap_or_else(|| "the storage engine gave up".to_owned());
            Err(StoreError::Unreadable { directory: directory.to_owned(), why })
        }
    }
}

impl Files {
    fn engine(&self, why: sled::Error) -> StoreError {
        StoreError::Engine { directory: self.directory.clone(), why: Box::new(why) }
    }

    /// Notes the schema's version in a new directory, checks it in an old one.
    fn check_schema(&self, fresh: bool) -> Result<(), StoreError> {
        let key = Key::new(Tree::Meta).text("schema");
        let damaged = |why: &str| StoreError::Damaged {
            tree: Tree::Meta,
            key: describe(&key.0),
            why: why.to_owned(),
        };
        match self.get::<u32>(&key)? {
            Some(SCHEMA) => Ok(()),
            Some(found) if found > SCHEMA => {
                Err(StoreError::Newer { directory: self.directory.clone(), found, known: SCHEMA })
            }
            Some(found) => Err(damaged(&format!("there never was a version {found}"))),
            None if self.db.is_empty() && fresh => {
                let content = frame::encode(Tree::Meta, &SCHEMA)?;
                let noted = self.db.insert(&key.0, frame::seal(&key, &content));
                noted.map(|_| ()).map_err(|why| self.engine(why))
            }
            None => Err(damaged("it is missing though the directory was in use before")),
        }
    }

    /// The number of the last transaction, which must be what was acknowledged.
    fn check_number(&self, acknowledged: Option<u64>) -> Result<u64, StoreError> {
        let found = self.get(&number_key())?.unwrap_or(0);
        match acknowledged {
            Some(acknowledged) if acknowledged > found => Err(StoreError::Lost {
                directory: self.directory.clone(),
                lost: acknowledged - found,
            }),
            _ => Ok(found),
        }
    }

    fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, StoreError> {
        let found = self.db.get(&key.0).map_err(|why| self.engine(why))?;
        found.map(|value| frame::open(&key.0, &value)).transpose()
    }

    /// The records of some keys, in order.
    fn records<T: DeserializeOwned>(
        &self,
        found: impl Iterator<Item = sled::Result<(IVec, IVec)>>,
    ) -> impl Iterator<Item = Result<(IVec, T), StoreError>> {
        found.map(|entry| {
            let (key, value) = entry.map_err(|why| self.engine(why))?;
            let record = frame::open(&key, &value)?;
            Ok((key, record))
        })
    }

    fn list<T: DeserializeOwned>(&self, prefix: Key) -> Result<Vec<T>, StoreError> {
        self.records(self.db.scan_prefix(prefix.0))
            .map(|entry| entry.map(|(_, record)| record))
            .collect()
    }

    fn journal(
        &self,
        wid: &str,
        since: u64,
        limit: usize,
    ) -> Result<Vec<JournalRecord>, StoreError> {
        let Some(first) = since.checked_add(1) else { return Ok(Vec::new()) };
        let prefix = journal(wid);
        let range = self.db.range(prefix.clone().number(first).0..=prefix.number(u64::MAX).0);
        let numbered =
            |(key, record): (IVec, JournalRecord)| JournalRecord { seq: sequence(&key), ..record };
        self.records(range).take(limit).map(|entry| entry.map(numbered)).collect()
    }

    fn environments(&self, query: &EnvironmentQuery) -> Result<Vec<EnvironmentRecord>, StoreError> {
        let prefix = match (&query.user, &query.name) {
            (Some(user), Some(name)) => environment(user, name),
            (Some(user), None) => Key::new(Tree::Environments).text(user),
            (None, _) => Key::new(Tree::Environments),
        };
        let mut found: Vec<EnvironmentRecord> = self.list(prefix)?;
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

    fn statistics(&self, filter: &StatFilter) -> Result<Vec<StatRow>, StoreError> {
        let at = |time: Option<u64>| Key::new(Tree::Statistics).number(time.unwrap_or(u64::MAX)).0;
        let range = at(filter.from.or(Some(0)))..at(filter.until);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.records(self.db.range(range)).map(|entry| entry.map(|(_, row)| row));
        let passes =
            |row: &Result<StatRow, StoreError>| row.as_ref().map_or(true, |row| filter.passes(row));
        rows.filter(passes).take(filter.limit.unwrap_or(usize::MAX)).collect()
    }
}

#[async_trait]
impl Store for SledStore {
    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        let (done, answer) = oneshot::channel();
        let job = Job { writes: change.encode()?, done };
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn journal(
        &self,
        wid: &str,
        since: u64,
        limit: usize,
    ) -> Result<Vec<JournalRecord>, StoreError> {
        let wid = wid.to_owned();
        self.read(move |files| files.journal(&wid, since, limit)).await
    }

    async fn operation(&self, id: &str) -> Result<Option<OperationRecord>, StoreError> {
        let key = operation(id);
        self.read(move |files| files.get(&key)).await
    }

    async fn operations(&self) -> Result<Vec<OperationRecord>, StoreError> {
        self.read(|files| files.list(Key::new(Tree::Operations))).await
    }

    async fn node(&self, name: &str) -> Result<Option<NodeRecord>, StoreError> {
        let key = node(name);
        self.read(move |files| files.get(&key)).await
    }

    async fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        self.read(|files| files.list(Key::new(Tree::Nodes))).await
    }

    async fn environments(
        &self,
        query: &EnvironmentQuery,
    ) -> Result<Vec<EnvironmentRecord>, StoreError> {
        let query = query.clone();
        self.read(move |files| files.environments(&query)).await
    }

    fn new_environment_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn rights(&self, user: Option<&str>) -> Result<Vec<RightRecord>, StoreError> {
        let all = Key::new(Tree::Rights);
        let prefix = user.map_or_else(|| all.clone(), |user| all.clone().text(user));
        self.read(move |files| files.list(prefix)).await
    }

    async fn statistics(&self, filter: &StatFilter) -> Result<Vec<StatRow>, StoreError> {
        let filter = filter.clone();
        self.read(move |files| files.statistics(&filter)).await
    }
}
