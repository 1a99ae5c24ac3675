//! The store of a service: one directory, one process.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use super::change::{Write, node, operation, token};
use super::disk::{Directory, Disk};
use super::engine::{self, Engine, Records, Session, check_number};
use super::key::{Key, Tree};
use super::lock::DirectoryLock;
use super::view::View;
use super::witness::{self, Witness};
use super::writer::{Job, Writer, last_id_key};
use super::{
    Change, EnvironmentQuery, EnvironmentRecord, JournalRecord, NodeRecord, OperationRecord,
    RightRecord, StatFilter, StatRow, Store, StoreError, TokenRecord, frame,
};

/// Version of the keys and records. An older one is to be migrated here, after
/// a copy of the directory; there is none yet.
pub(super) const SCHEMA: u32 = 1;

/// Changes that may wait for the writer; further callers wait for a place.
const QUEUE: usize = 1024;

/// What a development version before redb left in its directory.
const OLDER: &str = "sled";

/// The key under which the version is kept.
pub(super) fn schema_key() -> Key {
    Key::new(Tree::Meta).text("schema")
}

/// [`Store`] in a directory that belongs to this process alone, or on any other [`Disk`].
///
/// Dropping it waits for the changes that were handed in.
pub struct EmbeddedStore {
    engine: Arc<Engine>,
    hand: Hand,
    last_id: AtomicU64,
}

/// Who does what may wait for the disk.
enum Hand {
    /// A thread of its own writes, others read.
    Threads { jobs: Option<mpsc::Sender<Job>>, writer: Option<JoinHandle<()>> },
    /// The caller, at once: in a simulation there are no threads.
    Caller(Mutex<Writer>),
    /// Nobody: what is there can be read, by threads.
    Nobody,
}

impl EmbeddedStore {
    /// Opens the state in `directory`, made if missing. Reads the disk: not for
    /// an async context.
    ///
    /// Errors: the directory is in use, was written by another release, is
    /// damaged, or cannot be read. Nothing is changed then.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        let directory = directory.as_ref();
        fs::create_dir_all(directory).map_err(StoreError::file(directory))?;
        let lock = DirectoryLock::take(directory)?;
        refuse_older(directory)?;
        let writer = start(Arc::new(Directory::new(directory)), Some(lock))?;
        let (engine, last_id) = (Arc::clone(&writer.engine), AtomicU64::new(writer.last_id));
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(waiting))
            .map_err(StoreError::file(directory))?;
        let hand = Hand::Threads { jobs: Some(jobs), writer: Some(writer) };
        Ok(Self { engine, hand, last_id })
    }

    /// Opens the state on `disk` without any thread: each call has done its work when it
    /// returns, and the same calls do the same. For simulations.
    ///
    /// Errors: as [`EmbeddedStore::open`].
    pub fn on_disk(disk: impl Disk) -> Result<Self, StoreError> {
        let writer = start(Arc::new(disk), None)?;
        let (engine, last_id) = (Arc::clone(&writer.engine), AtomicU64::new(writer.last_id));
        Ok(Self { engine, hand: Hand::Caller(Mutex::new(writer)), last_id })
    }

    /// A store that can only be read: the records of `engine`.
    pub(super) fn read_only(engine: Engine) -> Self {
        Self { engine: Arc::new(engine), hand: Hand::Nobody, last_id: AtomicU64::new(0) }
    }

    /// Reads, where that may wait for the disk.
    async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Default + Send + 'static,
        F: Fn(View<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let engine = Arc::clone(&self.engine);
        let read = move || {
            let look = |records: &Records| read(View { records, path: engine.path() });
            engine.read(look).map(Option::unwrap_or_default)
        };
        if let Hand::Caller(_) = self.hand {
            return read();
        }
        tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Closed)?
    }
}

/// Judges what is on the disk, and makes it ready to be changed.
fn start(disk: Arc<dyn Disk>, lock: Option<DirectoryLock>) -> Result<Writer, StoreError> {
    let acknowledged = witness::acknowledged(&*disk)?;
    let session = Session::open(&*disk, engine::FILE, acknowledged.is_none())?;
    let path = disk.path(engine::FILE);
    let number = session.number()?;
    check_number(&path, number, acknowledged.unwrap_or(0))?;
    let known = check_schema(&session, &path, number)?;
    session.admit()?;
    let witness = Witness::open(&*disk)?;
    let last_id = session.get(&last_id_key())?.unwrap_or(0);
    let engine = Arc::new(Engine::new(disk, session, lock));
    let tails = HashMap::new();
    let mut writer = Writer { engine, witness, number, last_id, tails, broken: None };
    if !known {
        let (key, content) = (schema_key(), frame::encode(Tree::Meta, &SCHEMA)?);
        let noted = writer.commit(vec![vec![Write::Put { key, content }]]);
        noted.into_iter().collect::<Result<(), _>>()?;
    }
    writer.witness.settle(writer.number)?;
    Ok(writer)
}

/// Whether the state has a version; a new one has none yet.
pub(super) fn check_schema(
    session: &Session,
    path: &Path,
    number: u64,
) -> Result<bool, StoreError> {
    let key = schema_key();
    match session.get::<u32>(&key)? {
        Some(SCHEMA) => Ok(true),
        Some(found) if found > SCHEMA => {
            Err(StoreError::Newer { path: path.to_owned(), found, known: SCHEMA })
        }
        Some(found) => Err(frame::damaged(&key.0, format!("there never was a version {found}"))),
        None if number == 0 => Ok(false),
        None => Err(frame::damaged(&key.0, "it is missing though the state was in use before")),
    }
}

/// What an earlier engine wrote is not taken for a new directory.
pub(super) fn refuse_older(directory: &Path) -> Result<(), StoreError> {
    let older = directory.join(OLDER).is_dir() && !directory.join(engine::FILE).exists();
    if older { Err(StoreError::Older { directory: directory.to_owned() }) } else { Ok(()) }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        let Hand::Threads { jobs, writer } = &mut self.hand else { return };
        *jobs = None;
        if let Some(writer) = writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that writes the state panicked");
        }
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        let writes = change.encode()?;
        match &self.hand {
            Hand::Threads { jobs, .. } => {
                let (done, answer) = oneshot::channel();
                let jobs = jobs.as_ref().ok_or(StoreError::Closed)?;
                jobs.send(Job { writes, done }).await.map_err(|_| StoreError::Closed)?;
                answer.await.map_err(|_| StoreError::Closed)?
            }
            Hand::Caller(writer) => {
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                writer.commit(vec![writes]).into_iter().collect()
            }
            Hand::Nobody => Err(StoreError::ReadOnly),
        }
    }

    async fn journal(
        &self,
        wid: &str,
        since: u64,
        limit: usize,
    ) -> Result<Vec<JournalRecord>, StoreError> {
        let wid = wid.to_owned();
        self.read(move |view| view.journal(&wid, since, limit)).await
    }

    async fn operation(&self, id: &str) -> Result<Option<OperationRecord>, StoreError> {
        let key = operation(id);
        self.read(move |view| view.get(&key)).await
    }

    async fn operations(&self) -> Result<Vec<OperationRecord>, StoreError> {
        self.read(|view| view.list(&Key::new(Tree::Operations))).await
    }

    async fn node(&self, name: &str) -> Result<Option<NodeRecord>, StoreError> {
        let key = node(name);
        self.read(move |view| view.get(&key)).await
    }

    async fn nodes_called(
        &self,
        names: &[String],
    ) -> Result<BTreeMap<String, NodeRecord>, StoreError> {
        let names = names.to_vec();
        self.read(move |view| {
            let one = |name: &String| {
                let record = view.get(&node(name)).transpose()?;
                Some(record.map(|record| (name.clone(), record)))
            };
            names.iter().filter_map(one).collect()
        })
        .await
    }

    async fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        self.read(|view| view.list(&Key::new(Tree::Nodes))).await
    }

    async fn environments(
        &self,
        query: &EnvironmentQuery,
    ) -> Result<Vec<EnvironmentRecord>, StoreError> {
        let query = query.clone();
        self.read(move |view| view.environments(&query)).await
    }

    fn new_environment_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn rights(&self, user: Option<&str>) -> Result<Vec<RightRecord>, StoreError> {
        let all = Key::new(Tree::Rights);
        let prefix = user.map_or_else(|| all.clone(), |user| all.clone().text(user));
        self.read(move |view| view.list(&prefix)).await
    }

    async fn token(&self, id: &str) -> Result<Option<TokenRecord>, StoreError> {
        let key = token(id);
        self.read(move |view| view.get(&key)).await
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        self.read(|view| view.list(&Key::new(Tree::Tokens))).await
    }

    async fn statistics(&self, filter: &StatFilter) -> Result<Vec<StatRow>, StoreError> {
        let filter = filter.clone();
        self.read(move |view| view.statistics(&filter)).await
    }
}
