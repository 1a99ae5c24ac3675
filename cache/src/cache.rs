//! The cache itself: requests in, leases out.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::disk::Disk;
use crate::fill::{self, Flight, Order, Outcome};
use crate::index::{Entry, EntryId, Index};
use crate::lease::Hold;
use crate::{CacheError, Digest, Key, Lease, Meta, Priority, Source};

/// What a cache may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of data, files on their way included.
    pub size: u64,
    /// Fetches at once; at least one is allowed.
    pub concurrency: usize,
    /// A source that sends nothing for so long has failed.
    pub stall: Duration,
}

/// What a workflow needs.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which file.
    pub key: Key,
    /// How dear it is from now on; an entry's priority only rises.
    pub priority: Priority,
    /// The workflow that will hold it.
    pub wid: String,
    /// The content it must have; where it is known, an entry with this content is taken
    /// whatever its key, unless the source says that its file is another by now: then
    /// that is read, and must have it.
    pub digest: Option<Digest>,
}

/// A cache in one directory. Clones share it.
#[derive(Clone, Debug)]
pub struct Cache {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) disk: Disk,
    pub(crate) limits: Limits,
    fetches: Arc<Semaphore>,
    state: Mutex<State>,
}

/// Held for moments: no fetch and no reading of data happens under its lock,
/// only names and descriptions change on disk, so that both always agree.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) index: Index,
    pub(crate) flights: HashMap<EntryId, watch::Receiver<Outcome>>,
}

/// What a look at the index says.
enum Look {
    /// It is there.
    Hit(Hold),
    /// Someone is bringing it.
    Wait(Hold, watch::Receiver<Outcome>),
    /// The caller brings it.
    Lead(Hold, Flight),
    /// Another state of it is on its way: look again when that is over.
    Later(watch::Receiver<Outcome>),
}

impl Cache {
    /// Opens the cache in `directory` (made if missing) and takes in the entries
    /// it holds; their content is verified when they are first used. Entries of
    /// priority 0 stay until a first use or [`clean`](Self::clean), so that
    /// workflows that go on after a restart find them.
    ///
    /// Errors: the directory cannot be read, or not be brought under the limit.
    pub fn open(directory: impl Into<PathBuf>, limits: Limits) -> Result<Self, CacheError> {
        let disk = Disk::new(&directory.into())?;
        let mut index = Index::new(limits.size);
        for meta in disk.scan()? {
            index.load(meta);
        }
        let fetches = Arc::new(Semaphore::new(limits.concurrency.max(1)));
        let state = Mutex::new(State { index, flights: HashMap::new() });
        let shared = Shared { disk, limits, fetches, state };
        {
            let mut state = shared.lock();
            for id in state.index.surplus() {
                shared.evict(&mut state, id)?;
            }
        }
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Leases the file `request` names, fetching it from `source` unless it is
    /// there and did not change. A source that has no stamp is fetched anew
    /// unless the file is on its way or the same workflow holds it.
    ///
    /// Errors: see [`CacheError`]. A failed fetch fails for all who waited for it.
    pub async fn get(&self, request: &Request, source: &dyn Source) -> Result<Lease, CacheError> {
        let (size, stamp) = (source.size(), source.stamp());
        loop {
            let order = Order {
                origin: &request.key.origin,
                size,
                stamp: stamp.clone(),
                expected: request.digest,
                source,
            };
            let hold = match self.look(request, &order)? {
                Look::Hit(hold) => hold,
                Look::Lead(hold, flight) => {
                    fill::lead(flight, order).await?;
                    hold
                }
                Look::Wait(hold, mut outcome) => match finished(&mut outcome).await {
                    Some(result) => result.map(|()| hold)?,
                    None => continue,
                },
                Look::Later(mut outcome) => {
                    finished(&mut outcome).await;
                    continue;
                }
            };
            // Gone between the outcome and now only if someone deleted it: look again.
            if let Some(lease) = self.lease(hold, request)? {
                return Ok(lease);
            }
        }
    }

    /// Leases an entry by its content, if one is there and intact.
    ///
    /// Errors: none of its own; the directory failed.
    pub async fn find(&self, digest: &Digest, wid: &str) -> Result<Option<Lease>, CacheError> {
        loop {
            let (request, look) = {
                let mut state = self.shared.lock();
                let Some(id) = state.index.by_digest(digest) else { return Ok(None) };
                let Some(entry) = state.index.get(id) else { return Ok(None) };
                let request = Request {
                    key: entry.key.clone(),
                    priority: entry.priority,
                    wid: wid.to_owned(),
                    digest: Some(*digest),
                };
                if !entry.busy && !self.shared.disk.present(&entry.stem, entry.size) {
                    self.shared.evict(&mut state, id)?;
                    continue;
                }
                (request.clone(), self.join(&mut state, id, &request))
            };
            let hold = match look {
                Look::Lead(hold, flight) => {
                    fill::verify(flight, *digest).await;
                    hold
                }
                Look::Wait(hold, mut outcome) => {
                    finished(&mut outcome).await;
                    hold
                }
                Look::Hit(hold) => hold,
                Look::Later(_) => continue,
            };
            if let Some(lease) = self.lease(hold, &request)? {
                return Ok(Some(lease));
            }
        }
    }

    /// Ends every reference of workflow `wid`, also those whose [`Lease`] lives.
    pub fn release(&self, wid: &str) {
        let mut state = self.shared.lock();
        for id in state.index.release(wid) {
            self.shared.sweep(&mut state, id);
        }
    }

    /// Deletes what nothing refers to, up to a priority. Returns the bytes freed.
    ///
    /// Errors: a file cannot be deleted.
    pub fn clean(&self, max: Priority) -> Result<u64, CacheError> {
        let mut state = self.shared.lock();
        let before = state.index.used();
        for id in state.index.idle(max) {
            self.shared.evict(&mut state, id)?;
        }
        Ok(before - state.index.used())
    }

    /// Deletes everything.
    ///
    /// Errors: [`CacheError::InUse`] naming a file that is referenced (the rest
    /// is deleted all the same); a file cannot be deleted.
    pub fn free(&self) -> Result<(), CacheError> {
        self.clean(Priority::Recorded)?;
        let state = self.shared.lock();
        let left = state.index.iter().next().map(|(_, entry)| entry.key.origin.clone());
        left.map_or(Ok(()), |file| Err(CacheError::InUse { file }))
    }

    /// Bytes taken, files on their way included; never above [`Limits::size`].
    pub fn used(&self) -> u64 {
        self.shared.lock().index.used()
    }

    /// The entries that are there, as their descriptions on disk say, in order of use.
    pub fn entries(&self) -> Vec<Meta> {
        let mut entries: Vec<Meta> =
            self.shared.lock().index.iter().filter_map(|(_, entry)| entry.meta()).collect();
        entries.sort_by_key(|meta| meta.atime_virt);
        entries
    }

    /// Whether workflow `wid` refers to anything, there or on its way.
    pub fn held(&self, wid: &str) -> bool {
        self.shared.lock().index.iter().any(|(_, entry)| entry.held_by(wid))
    }

    fn look(&self, request: &Request, order: &Order<'_>) -> Result<Look, CacheError> {
        let limit = self.shared.limits.size;
        let file = || request.key.origin.clone();
        let mut state = self.shared.lock();
        while let Some(id) = known(&state, request, order)
            && let Some(entry) = state.index.get(id)
        {
            let there = entry.busy || self.shared.disk.present(&entry.stem, entry.size);
            if there && unchanged(entry, request, order) {
                return Ok(self.join(&mut state, id, request));
            }
            if there && entry.held_by_other(&request.wid) {
                return Err(CacheError::InUse { file: file() });
            }
            if let Some(outcome) = state.flights.get(&id) {
                return Ok(Look::Later(outcome.clone()));
            }
            self.shared.evict(&mut state, id)?;
        }
        if order.size > limit {
            return Err(CacheError::TooBig { file: file(), size: order.size, limit });
        }
        let id = state.index.begin(
            request.key.clone(),
            order.stamp.clone(),
            order.size,
            request.priority,
        );
        Ok(self.depart(&mut state, id, request))
    }

    /// Refers to an entry that is there or on its way.
    fn join(&self, state: &mut State, id: EntryId, request: &Request) -> Look {
        if let Some(outcome) = state.flights.get(&id) {
            let outcome = outcome.clone();
            return Look::Wait(self.hold(state, id, request), outcome);
        }
        match state.index.get_mut(id) {
            Some(entry) if !entry.verified => {
                entry.busy = true;
                self.depart(state, id, request)
            }
            _ => Look::Hit(self.hold(state, id, request)),
        }
    }

    fn depart(&self, state: &mut State, id: EntryId, request: &Request) -> Look {
        let (outcome, arrivals) = watch::channel(None);
        state.flights.insert(id, arrivals);
        let stem = state.index.get(id).map(|entry| entry.stem.clone()).unwrap_or_default();
        let hold = self.hold(state, id, request);
        Look::Lead(hold, Flight { shared: Arc::clone(&self.shared), entry: id, stem, outcome })
    }

    fn hold(&self, state: &mut State, id: EntryId, request: &Request) -> Hold {
        let lease = state.index.lease(id, &request.wid, request.priority);
        if let Some(entry) = state.index.get(id)
            && let Some(meta) = entry.meta()
            && let Err(error) = self.shared.disk.describe(&entry.stem, &meta, false)
        {
            tracing::warn!(%error, "the last use of a cached file could not be noted");
        }
        Hold { shared: Arc::clone(&self.shared), entry: id, lease }
    }

    /// Makes a lease of a reference to an entry that is there; `None` if it is not.
    fn lease(&self, hold: Hold, request: &Request) -> Result<Option<Lease>, CacheError> {
        let state = self.shared.lock();
        let found =
            state.index.get(hold.entry).and_then(|e| Some((e.stem.clone(), e.size, e.digest?)));
        drop(state);
        let Some((stem, size, digest)) = found else { return Ok(None) };
        match request.digest {
            Some(expected) if expected != digest => Err(CacheError::DigestMismatch {
                origin: request.key.origin.clone(),
                expected,
                found: digest,
            }),
            _ => {
                let path = self.shared.disk.data(&stem);
                Ok(Some(Lease { path, size, digest, wid: request.wid.clone(), _hold: hold }))
            }
        }
    }
}

impl Shared {
    /// The state; a panic elsewhere does not take the cache with it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn digest(&self, id: EntryId) -> Option<Digest> {
        self.lock().index.get(id).and_then(|entry| entry.digest)
    }

    /// A place among the fetches; `None` never happens while the cache lives.
    pub(crate) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.fetches).acquire_owned().await.ok()
    }

    /// Makes room for an entry and takes it.
    pub(crate) fn reserve(&self, id: EntryId, file: &str, size: u64) -> Result<(), CacheError> {
        let full = |_| CacheError::Full { file: file.to_owned() };
        let mut state = self.lock();
        for victim in state.index.victims(size).map_err(full)? {
            self.evict(&mut state, victim)?;
        }
        state.index.reserve(id).map_err(full)
    }

    /// The data of an entry in flight is damaged: it is fetched anew.
    pub(crate) fn restart(&self, flight: &Flight, order: &Order<'_>) -> Result<(), CacheError> {
        let mut state = self.lock();
        self.disk.remove(&flight.stem)?;
        state.index.restart(flight.entry, order.stamp.clone(), order.size);
        Ok(())
    }

    /// Forgets an entry whose data is damaged.
    pub(crate) fn forget(&self, id: EntryId) {
        let mut state = self.lock();
        if let Err(error) = self.evict(&mut state, id) {
            tracing::warn!(%error, "a damaged cache file could not be removed");
        }
    }

    /// Deletes an entry that is spent.
    pub(crate) fn sweep(&self, state: &mut State, id: EntryId) {
        if state.index.get(id).is_some_and(Entry::spent)
            && let Err(error) = self.evict(state, id)
        {
            tracing::warn!(%error, "a file that is no longer used could not be removed from the cache");
        }
    }

    /// Deletes an entry's files, then the entry: what could not be deleted still counts.
    fn evict(&self, state: &mut State, id: EntryId) -> Result<(), CacheError> {
        if let Some(entry) = state.index.get(id) {
            self.disk.remove(&entry.stem)?;
            state.index.remove(id);
        }
        Ok(())
    }
}

/// The entry a request means: one with the content it names, or its key's.
fn known(state: &State, request: &Request, order: &Order<'_>) -> Option<EntryId> {
    let with_content = |(_, entry): &(EntryId, &Entry)| has_content(entry, request, order);
    let by_content = state.index.iter().find(with_content).map(|(id, _)| id);
    by_content.or_else(|| state.index.by_stem(&request.key.stem()))
}

/// Whether an entry still is what the source has, as far as can be known.
fn unchanged(entry: &Entry, request: &Request, order: &Order<'_>) -> bool {
    if has_content(entry, request, order) {
        return true;
    }
    let same = entry.size == order.size && entry.stamp == order.stamp;
    let fetching = entry.busy && entry.digest.is_none();
    same && (!order.stamp.is_empty() || fetching || entry.held_by(&request.wid))
}

/// Whether an entry has the content that a request names, and nothing says that the source has
/// another. What another workflow holds cannot be brought up to date, and is what was asked for.
fn has_content(entry: &Entry, request: &Request, order: &Order<'_>) -> bool {
    let named = request.digest.is_some() && entry.digest == request.digest;
    let silent = order.stamp.is_empty() || entry.stamp == order.stamp;
    named && entry.size == order.size && (silent || entry.held_by_other(&request.wid))
}

/// How the flight ended; `None` if its caller was cancelled.
async fn finished(outcome: &mut watch::Receiver<Outcome>) -> Option<Result<(), CacheError>> {
    outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone())
}
