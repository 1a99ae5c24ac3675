//! The one thread that writes. It takes all changes that wait, applies them as
//! one transaction, flushes once, and then tells each caller: with many callers
//! one flush serves them all.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use sled::{Batch, Db, IVec};
use tokio::sync::{mpsc, oneshot};

use super::change::{Write, journal};
use super::key::{Key, Tree, describe, texts};
use super::platter::Platter;
use super::witness::Witness;
use super::{StoreError, frame};

/// Changes in one flush at most: what a flush costs is spread thin enough.
const GROUP_CHANGES: usize = 512;

/// Bytes of content in one flush, after which no further change is taken in: a
/// bound on memory and on what one caller waits for the others.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Workflows whose next journal number is remembered; the others' are read again.
const TAILS: usize = 4096;

/// The key under which the greatest environment id ever used is kept.
pub(super) fn last_id_key() -> Key {
    Key::new(Tree::Meta).text("environment_id")
}

/// The key under which each transaction leaves its number.
pub(super) fn number_key() -> Key {
    Key::new(Tree::Meta).text("transaction")
}

/// Where one caller waits for the answer.
pub(super) type Done = oneshot::Sender<Result<(), StoreError>>;

/// A change and who waits for it.
pub(super) struct Job {
    pub(super) writes: Vec<Write>,
    pub(super) done: Done,
}

impl Job {
    fn bytes(&self) -> usize {
        let content = |write: &Write| match write {
            Write::Append { content, .. }
            | Write::Put { content, .. }
            | Write::Insert { content, .. } => content.len(),
            Write::Clear { .. } | Write::Delete { .. } | Write::UsedId(_) => 0,
        };
        self.writes.iter().map(content).sum()
    }
}

/// What the thread owns.
pub(super) struct Writer {
    pub(super) db: Db,
    pub(super) directory: PathBuf,
    pub(super) platter: Platter,
    pub(super) witness: Witness,
    /// Number of the last transaction.
    pub(super) number: u64,
    /// Greatest environment id that is on disk.
    pub(super) last_id: u64,
    /// Last journal number of recent workflows.
    pub(super) tails: HashMap<String, u64>,
}

/// What a group changes, on top of what is on disk. `None`: deleted.
#[derive(Default)]
struct Overlay {
    values: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    last_id: Option<u64>,
}

impl Writer {
    /// Works until every sender is gone. Once a flush failed nobody can know what
    /// is on disk: from then on every change is refused with the same error.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut broken: Option<StoreError> = None;
        while let Some(first) = jobs.blocking_recv() {
            let group = take(first, &mut jobs);
            let answers = match &broken {
                Some(error) => {
                    group.into_iter().map(|job| (job.done, Err(error.clone()))).collect()
                }
                None => self.commit(group),
            };
            for (done, answer) in answers {
                if let Err(error @ (StoreError::Engine { .. } | StoreError::File { .. })) = &answer
                    && broken.is_none()
                {
                    tracing::error!(%error, "the state can no longer be changed");
                    broken = Some(error.clone());
                }
                // A caller that no longer waits is no error.
                let _ = done.send(answer);
            }
        }
    }

    /// Makes the changes of a group durable; each gets its own answer.
    fn commit(&mut self, group: Vec<Job>) -> Vec<(Done, Result<(), StoreError>)> {
        let mut overlay = Overlay::default();
        let mut answers = Vec::with_capacity(group.len());
        for job in group {
            let answer = self.stage(&mut overlay, job.writes);
            answers.push((job.done, answer));
        }
        let written = self.flush(overlay);
        if self.tails.len() > TAILS {
            self.tails.clear();
        }
        if let Err(error) = written {
            for (_, answer) in &mut answers {
                if answer.is_ok() {
                    *answer = Err(error.clone());
                }
            }
        }
        answers
    }

    fn flush(&mut self, overlay: Overlay) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for (key, value) in overlay.values {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        if let Some(last_id) = overlay.last_id {
            let key = last_id_key();
            batch.insert(key.0.clone(), frame::seal(&key, &frame::encode(Tree::Meta, &last_id)?));
            self.last_id = last_id;
        }
        self.number += 1;
        let key = number_key();
        batch.insert(key.0.clone(), frame::seal(&key, &frame::encode(Tree::Meta, &self.number)?));
        self.db.apply_batch(batch).map_err(|why| self.engine(why))?;
        self.db.flush().map_err(|why| self.engine(why))?;
        self.platter.sync()?;
        self.witness.note(self.number)
    }

    /// Adds one change to the overlay, if all its conditions hold. Whatever can
    /// fail comes before the first change to the overlay.
    fn stage(&mut self, overlay: &mut Overlay, writes: Vec<Write>) -> Result<(), StoreError> {
        for write in &writes {
            if let Write::Insert { key, .. } = write
                && self.present(overlay, key)?
            {
                return Err(StoreError::Exists { tree: Tree::of(&key.0), key: describe(&key.0) });
            }
        }
        let numbers = self.read_tails(&writes)?;
        let mut cleared = self.read_cleared(&writes)?.into_iter();
        for write in writes {
            match write {
                Write::Append { wid, content } => {
                    let seq = self
                        .tails
                        .entry(wid.clone())
                        .or_insert_with(|| numbers.get(&wid).copied().unwrap_or(0));
                    *seq += 1;
                    overlay.put(&journal(&wid).number(*seq), &content);
                }
                Write::Put { key, content } | Write::Insert { key, content } => {
                    overlay.put(&key, &content);
                }
                Write::Delete { key } => overlay.delete(key.0),
                Write::Clear { prefix } => {
                    self.clear(overlay, &prefix, cleared.next().unwrap_or_default());
                }
                Write::UsedId(id) => {
                    if id > overlay.last_id.unwrap_or(self.last_id) {
                        overlay.last_id = Some(id);
                    }
                }
            }
        }
        Ok(())
    }

    fn present(&self, overlay: &Overlay, key: &Key) -> Result<bool, StoreError> {
        match overlay.values.get(&key.0) {
            Some(value) => Ok(value.is_some()),
            None => self.db.contains_key(&key.0).map_err(|why| self.engine(why)),
        }
    }

    /// The last journal numbers of those workflows that are not remembered. What
    /// is not remembered has nothing in the overlay, so the disk knows them.
    fn read_tails(&mut self, writes: &[Write]) -> Result<HashMap<String, u64>, StoreError> {
        let mut found = HashMap::new();
        for write in writes {
            let Write::Append { wid, .. } = write else { continue };
            if self.tails.contains_key(wid) || found.contains_key(wid) {
                continue;
            }
            let last = self.db.scan_prefix(journal(wid).0).keys().next_back();
            let last = last.transpose().map_err(|why| self.engine(why))?;
            found.insert(wid.clone(), last.map_or(0, |key| sequence(&key)));
        }
        Ok(found)
    }

    /// The keys on disk that each `Clear` of a change deletes.
    fn read_cleared(&self, writes: &[Write]) -> Result<Vec<Vec<IVec>>, StoreError> {
        let prefixes = writes.iter().filter_map(|write| match write {
            Write::Clear { prefix } => Some(prefix),
            _ => None,
        });
        prefixes
            .map(|prefix| self.db.scan_prefix(&prefix.0).keys().collect::<Result<_, _>>())
            .collect::<Result<_, _>>()
            .map_err(|why| self.engine(why))
    }

    fn clear(&mut self, overlay: &mut Overlay, prefix: &Key, on_disk: Vec<IVec>) {
        for key in on_disk {
            overlay.delete(key.to_vec());
        }
        let staged = overlay.values.range_mut(prefix.0.clone()..);
        for (_, value) in staged.take_while(|(key, _)| key.starts_with(&prefix.0)) {
            *value = None;
        }
        if let Some(wid) = texts(&prefix.0).first() {
            self.tails.insert(wid.clone(), 0);
        }
    }

    fn engine(&self, why: sled::Error) -> StoreError {
        StoreError::Engine { directory: self.directory.clone(), why: Box::new(why) }
    }
}

impl Overlay {
    fn put(&mut self, key: &Key, content: &[u8]) {
        self.values.insert(key.0.clone(), Some(frame::seal(key, content)));
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.values.insert(key, None);
    }
}

/// The number in the key of a journal record.
pub(super) fn sequence(key: &[u8]) -> u64 {
    texts(key).last().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The first change and whatever else waits, within the bounds.
fn take(first: Job, jobs: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let mut bytes = first.bytes();
    let mut group = vec![first];
    while group.len() < GROUP_CHANGES
        && bytes < GROUP_BYTES
        && let Ok(job) = jobs.try_recv()
    {
        bytes += job.bytes();
        group.push(job);
    }
    group
}
