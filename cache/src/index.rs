//! The accounting: who is in, how much room is taken, who goes next. No I/O.

use std::collections::{BTreeMap, HashMap};

use crate::{Digest, Key, Meta, Priority, Stamp};

/// Names one stay of an entry in the cache; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId(u64);

/// Names one reference to an entry; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LeaseId(u64);

/// There is no room, and there are too few unreferenced entries to make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// One file, there or on its way.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) stem: String,
    pub(crate) stamp: Stamp,
    /// What the source announced.
    pub(crate) size: u64,
    pub(crate) priority: Priority,
    /// Known once the data is there.
    pub(crate) digest: Option<Digest>,
    /// Whether the digest was seen to be right since the start.
    pub(crate) verified: bool,
    /// Being fetched or verified: pinned, whoever refers to it.
    pub(crate) busy: bool,
    /// Room taken: nothing until it is reserved, then `size`.
    room: u64,
    used_at: u64,
    leases: BTreeMap<LeaseId, String>,
}

impl Entry {
    /// Its description, once its data is there.
    pub(crate) fn meta(&self) -> Option<Meta> {
        self.digest.map(|sha256| Meta {
            key: self.key.clone(),
            priority: self.priority,
            file_in_cache: format!("{}.data", self.stem),
            size: self.size,
            atime_virt: self.used_at,
            stamp: self.stamp.clone(),
            sha256,
        })
    }

    /// Whether nothing refers to it and nothing works on it.
    pub(crate) fn idle(&self) -> bool {
        !self.busy && self.leases.is_empty()
    }

    /// Whether it is to go now: used once, and no longer.
    pub(crate) fn spent(&self) -> bool {
        self.idle() && self.priority == Priority::Anonymous
    }

    /// Whether workflow `wid` refers to it.
    pub(crate) fn held_by(&self, wid: &str) -> bool {
        self.leases.values().any(|holder| holder == wid)
    }

    /// Whether a workflow other than `wid` refers to it.
    pub(crate) fn held_by_other(&self, wid: &str) -> bool {
        self.leases.values().any(|holder| holder != wid)
    }
}

/// The entries, and the room they take of `limit` bytes.
#[derive(Debug)]
pub(crate) struct Index {
    limit: u64,
    used: u64,
    clock: u64,
    next: u64,
    entries: BTreeMap<EntryId, Entry>,
    by_stem: HashMap<String, EntryId>,
}

impl Index {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            used: 0,
            clock: 0,
            next: 0,
            entries: BTreeMap::new(),
            by_stem: HashMap::new(),
        }
    }

    /// Takes in an entry found on disk. It may exceed the limit: see [`Self::surplus`].
    pub(crate) fn load(&mut self, meta: Meta) -> EntryId {
        self.clock = self.clock.max(meta.atime_virt);
        let id = self.insert(meta.key, meta.stamp, meta.size, meta.priority);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.digest = Some(meta.sha256);
            entry.used_at = meta.atime_virt;
            entry.room = meta.size;
            self.used += meta.size;
        }
        id
    }

    /// Takes in an entry that is about to be fetched. It takes no room yet.
    pub(crate) fn begin(
        &mut self,
        key: Key,
        stamp: Stamp,
        size: u64,
        priority: Priority,
    ) -> EntryId {
        let id = self.insert(key, stamp, size, priority);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.busy = true;
        }
        id
    }

    fn insert(&mut self, key: Key, stamp: Stamp, size: u64, priority: Priority) -> EntryId {
        let id = EntryId(self.number());
        let stem = key.stem();
        let entry = Entry {
            key,
            stem: stem.clone(),
            stamp,
            size,
            priority,
            digest: None,
            verified: false,
            busy: false,
            room: 0,
            used_at: self.clock,
            leases: BTreeMap::new(),
        };
        self.entries.insert(id, entry);
        self.by_stem.insert(stem, id);
        id
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn get(&self, id: EntryId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: EntryId) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    pub(crate) fn by_stem(&self, stem: &str) -> Option<EntryId> {
        self.by_stem.get(stem).copied()
    }

    /// An entry with this content, whatever its key.
    pub(crate) fn by_digest(&self, digest: &Digest) -> Option<EntryId> {
        self.entries
            .iter()
            .find(|(_, entry)| entry.digest.as_ref() == Some(digest))
            .map(|(id, _)| *id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (EntryId, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    /// Bytes taken, reservations included.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Refers to an entry: a use of it, which may also raise its priority.
    pub(crate) fn lease(&mut self, id: EntryId, wid: &str, priority: Priority) -> LeaseId {
        let lease = LeaseId(self.number());
        self.clock += 1;
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.used_at = self.clock;
            entry.priority = entry.priority.max(priority);
            entry.leases.insert(lease, wid.to_owned());
        }
        lease
    }

    /// Ends one reference. The entry may be gone already.
    pub(crate) fn unlease(&mut self, id: EntryId, lease: LeaseId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.leases.remove(&lease);
        }
    }

    /// Ends every reference of a workflow; says to which entries.
    pub(crate) fn release(&mut self, wid: &str) -> Vec<EntryId> {
        let mut touched = Vec::new();
        for (id, entry) in &mut self.entries {
            let before = entry.leases.len();
            entry.leases.retain(|_, holder| holder != wid);
            if entry.leases.len() != before {
                touched.push(*id);
            }
        }
        touched
    }

    /// Who must go, in order, to make `size` bytes of room: the lowest priority
    /// first and, inside one, the least recently used.
    pub(crate) fn victims(&self, size: u64) -> Result<Vec<EntryId>, NoRoom> {
        let mut need = self.used.saturating_add(size).saturating_sub(self.limit);
        let mut idle: Vec<_> = self.entries.iter().filter(|(_, entry)| entry.idle()).collect();
        idle.sort_by_key(|(id, entry)| (entry.priority, entry.used_at, **id));
        let mut victims = Vec::new();
        for (id, entry) in idle {
            if need == 0 {
                break;
            }
            need = need.saturating_sub(entry.room);
            victims.push(*id);
        }
        if need == 0 { Ok(victims) } else { Err(NoRoom) }
    }

    /// Who must go because the limit was lowered since they came.
    pub(crate) fn surplus(&self) -> Vec<EntryId> {
        self.victims(0).unwrap_or_default()
    }

    /// Takes the room an entry needs. Its victims must be gone.
    pub(crate) fn reserve(&mut self, id: EntryId) -> Result<(), NoRoom> {
        let Some(entry) = self.entries.get_mut(&id) else { return Err(NoRoom) };
        let used = self.used - entry.room + entry.size;
        if used > self.limit {
            return Err(NoRoom);
        }
        entry.room = entry.size;
        self.used = used;
        Ok(())
    }

    /// The data is gone: gives its room back and starts over as a new entry
    /// with the same references, for what the source announces now.
    pub(crate) fn restart(&mut self, id: EntryId, stamp: Stamp, size: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            self.used -= entry.room;
            entry.room = 0;
            entry.digest = None;
            entry.verified = false;
            entry.stamp = stamp;
            entry.size = size;
        }
    }

    /// Forgets an entry and gives its room back. Nothing if it is gone already.
    pub(crate) fn remove(&mut self, id: EntryId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.used -= entry.room;
            if self.by_stem.get(&entry.stem) == Some(&id) {
                self.by_stem.remove(&entry.stem);
            }
        }
    }

    /// The entries nothing refers to, up to a priority.
    pub(crate) fn idle(&self, max: Priority) -> Vec<EntryId> {
        self.entries
            .iter()
            .filter(|(_, e)| e.idle() && e.priority <= max)
            .map(|(id, _)| *id)
            .collect()
    }
}

#[cfg(test)]
mod tests;
