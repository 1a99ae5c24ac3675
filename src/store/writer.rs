//! What writes: all changes that wait become one transaction, which is flushed once, and
//! then each caller is told: with many callers one flush serves them all.

use std::collections::HashMap;
use std::sync::Arc;

use redb::ReadableTable;
use tokio::sync::{mpsc, oneshot};

use super::change::{Write, journal};
use super::engine::{Draft, Engine, number_key};
use super::key::{Key, Tree, describe, texts};
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

/// What makes changes durable. There is one.
pub(super) struct Writer {
    pub(super) engine: Arc<Engine>,
    pub(super) witness: Witness,
    /// Number of the last transaction.
    pub(super) number: u64,
    /// Greatest environment id that is on disk.
    pub(super) last_id: u64,
    /// Last journal number of recent workflows.
    pub(super) tails: HashMap<String, u64>,
    /// Why the last transaction was not made.
    pub(super) broken: Option<Broken>,
}

/// A failure, and whether only a new start can mend it: after a sync that failed nobody can
/// know what is on the disk.
pub(super) struct Broken {
    error: StoreError,
    for_good: bool,
}

impl Writer {
    /// Works until every sender is gone.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let group = take(first, &mut jobs);
            let (changes, waiting): (Vec<_>, Vec<_>) =
                group.into_iter().map(|job| (job.writes, job.done)).unzip();
            for (done, answer) in waiting.into_iter().zip(self.commit(changes)) {
                // A caller that no longer waits is no error.
                let _ = done.send(answer);
            }
        }
    }

    /// Makes some changes durable, together; each gets its own answer, in order. After a
    /// failure the next changes are the attempt to go on.
    pub(super) fn commit(&mut self, changes: Vec<Vec<Write>>) -> Vec<Result<(), StoreError>> {
        let count = changes.len();
        if let Some(Broken { error, for_good: true }) = &self.broken {
            return vec![Err(error.clone()); count];
        }
        let done = self.mend().and_then(|()| self.transaction(changes));
        done.unwrap_or_else(|error| {
            self.fail(&error);
            vec![Err(error); count]
        })
    }

    /// After a failure: whether the disk lets us write again.
    fn mend(&mut self) -> Result<(), StoreError> {
        if self.broken.is_none() {
            return Ok(());
        }
        let session = self.engine.session()?;
        session.admit()?;
        self.number = session.number()?;
        self.last_id = session.get(&last_id_key())?.unwrap_or(0);
        self.broken = None;
        tracing::info!("the state can be changed again");
        Ok(())
    }

    /// Reads go on, with what is on the disk.
    fn fail(&mut self, error: &StoreError) {
        let unsynced = self.engine.session().is_ok_and(|session| session.sync_failed());
        if self.broken.is_none() {
            tracing::error!(%error, "the state cannot be changed");
        }
        self.broken = Some(Broken { error: error.clone(), for_good: unsynced });
        self.tails.clear();
        if let Err(error) = self.engine.reopen(self.number) {
            tracing::error!(%error, "the state cannot be read either");
        }
    }

    fn transaction(
        &mut self,
        changes: Vec<Vec<Write>>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let session = self.engine.session()?;
        let number = self.number + 1;
        let (answers, last_id) = session.write(|records| {
            let mut draft = Staging {
                path: self.engine.path(),
                records,
                tails: &mut self.tails,
                last_id: self.last_id,
            };
            let mut answers = Vec::with_capacity(changes.len());
            for change in changes {
                answers.push(draft.stage(change)?);
            }
            if draft.last_id > self.last_id {
                draft.note(&last_id_key(), draft.last_id)?;
            }
            draft.note(&number_key(), number)?;
            Ok((answers, draft.last_id))
        })?;
        (self.number, self.last_id) = (number, last_id);
        self.witness.note(number)?;
        if self.tails.len() > TAILS {
            self.tails.clear();
        }
        Ok(answers)
    }
}

/// A transaction that is being written.
struct Staging<'a, 't> {
    path: &'a std::path::Path,
    records: &'a mut Draft<'t>,
    tails: &'a mut HashMap<String, u64>,
    last_id: u64,
}

impl Staging<'_, '_> {
    /// Writes one change, if all its conditions hold, and says whether they do.
    fn stage(&mut self, writes: Vec<Write>) -> Result<Result<(), StoreError>, StoreError> {
        for write in &writes {
            if let Write::Insert { key, .. } = write
                && self.present(key)?
            {
                return Ok(Err(StoreError::Exists {
                    tree: Tree::of(&key.0),
                    key: describe(&key.0),
                }));
            }
        }
        for write in writes {
            match write {
                Write::Append { wid, content } => {
                    let seq = self.tail(&wid)? + 1;
                    self.put(&journal(&wid).number(seq), &content)?;
                    self.tails.insert(wid, seq);
                }
                Write::Put { key, content } | Write::Insert { key, content } => {
                    self.put(&key, &content)?;
                }
                Write::Delete { key } => self.delete(&key)?,
                Write::Clear { prefix } => self.clear(&prefix)?,
                Write::UsedId(id) => self.last_id = self.last_id.max(id),
            }
        }
        Ok(Ok(()))
    }

    fn present(&self, key: &Key) -> Result<bool, StoreError> {
        let found = self.records.get(key.0.as_slice()).map_err(StoreError::engine(self.path))?;
        Ok(found.is_some())
    }

    /// The last number in the journal of a workflow.
    fn tail(&self, wid: &str) -> Result<u64, StoreError> {
        if let Some(last) = self.tails.get(wid) {
            return Ok(*last);
        }
        let range = journal(wid).range();
        let mut found = self
            .records
            .range(range.start.as_slice()..range.end.as_slice())
            .map_err(StoreError::engine(self.path))?;
        let last = found.next_back().transpose().map_err(StoreError::engine(self.path))?;
        Ok(last.map_or(0, |(key, _)| sequence(key.value())))
    }

    fn put(&mut self, key: &Key, content: &[u8]) -> Result<(), StoreError> {
        let frame = frame::seal(key, content);
        let put = self.records.insert(key.0.as_slice(), frame.as_slice());
        put.map(|_| ()).map_err(StoreError::engine(self.path))
    }

    fn delete(&mut self, key: &Key) -> Result<(), StoreError> {
        let removed = self.records.remove(key.0.as_slice());
        removed.map(|_| ()).map_err(StoreError::engine(self.path))
    }

    fn clear(&mut self, prefix: &Key) -> Result<(), StoreError> {
        let range = prefix.range();
        self.records
            .retain_in(range.start.as_slice()..range.end.as_slice(), |_, _| false)
            .map_err(StoreError::engine(self.path))?;
        if let Some(wid) = texts(&prefix.0).into_iter().next() {
            self.tails.insert(wid, 0);
        }
        Ok(())
    }

    /// One of the store's own notes.
    fn note(&mut self, key: &Key, number: u64) -> Result<(), StoreError> {
        self.put(key, &frame::encode(Tree::Meta, &number)?)
    }
}

/// The number in the key of a journal record.
pub(super) fn sequence(key: &[u8]) -> u64 {
    texts(key).last().and_then(|number| number.parse().ok()).unwrap_or(0)
}
