//! A disk in memory that fails as it is told to.

mod content;
mod pages;

use content::{Chance, Content, Pending};
use pages::Pages;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile};

/// Memory for pages of the state, which are in memory already.
const CACHE_BYTES: usize = 1024 * 1024;

/// What a write is torn into: finer than the sectors of any disk.
const GRAIN: usize = 64;

/// A disk whose failures are chosen: for tests, and for simulations, where time and chance
/// come from a seed. Clones are the same disk.
///
/// Like a real one it may lose in a power cut whatever was not synced, in part and in any
/// order; unlike a real one it says so beforehand.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Content>,
    counts: Counts,
    fault: Option<Fault>,
    dead: bool,
}

#[derive(Debug, Default)]
struct Counts {
    changes: u64,
    reads: u64,
}

/// What goes wrong. Writes, changes of length and syncs count as changes; their numbers
/// are those of [`MemoryDisk::changes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power fails at this change: it and all that follows fails, reads as well, until
    /// [`MemoryDisk::power_on`].
    PowerCut(u64),
    /// The power fails at the next sync, likewise: what was written since the last one may be
    /// torn.
    PowerCutAtSync,
    /// This change alone fails with an input/output error.
    Error(u64),
    /// Every change from this one on fails.
    Errors(u64),
    /// Every change fails for want of room, as where what is overwritten is written anew.
    NoSpace,
    /// The disk holds so many bytes, over all files; a write that would grow past them
    /// fails.
    Full(u64),
}

/// What becomes, in a power cut, of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It is gone.
    All,
    /// It is there.
    Nothing,
    /// Chance decides of each write whether it is there, gone or torn, and in which order
    /// they came.
    Some(u64),
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes, changes of length and syncs so far.
    pub fn changes(&self) -> u64 {
        self.state().counts.changes
    }

    /// Reads so far.
    pub fn reads(&self) -> u64 {
        self.state().counts.reads
    }

    /// Lets something go wrong, or, with none, lets all be well again.
    pub fn set_fault(&self, fault: impl Into<Option<Fault>>) {
        self.state().fault = fault.into();
    }

    /// The power comes back after a cut, here or earlier: what was synced is there, of the
    /// rest what `loss` leaves. Files that are open stay with the disk of before the cut.
    #[must_use]
    pub fn power_on(&self, loss: Loss) -> Self {
        let mut chance = Chance::of(loss);
        let state = self.state();
        let files = state.files.iter().map(|(name, file)| {
            let left = file.after_a_cut(loss, &mut chance);
            (name.clone(), Content::of(left))
        });
        Self(Arc::new(Mutex::new(State { files: files.collect(), ..State::default() })))
    }

    /// As [`MemoryDisk::power_on`] with all that was not synced lost, without a copy: files that
    /// are open are of no use any more.
    #[must_use]
    pub fn restart(self) -> Self {
        let mut files = std::mem::take(&mut *self.state()).files;
        self.state().dead = true;
        files.values_mut().for_each(Content::undo);
        Self(Arc::new(Mutex::new(State { files, ..State::default() })))
    }

    /// Bytes of memory that all disks in memory of this process take now.
    pub fn held() -> usize {
        pages::held()
    }

    /// Bytes of all files.
    pub fn len(&self) -> usize {
        self.state().files.values().map(|file| file.now.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of a file, none if it is not there.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.state().files.get(name).map(|file| file.now.get(0, usize::MAX))
    }

    /// Puts bytes where those of a file were, as damage or a fault of an operator does.
    pub fn overwrite(&self, name: &str, bytes: &[u8]) {
        self.state().files.insert(name.to_owned(), Content::of(Pages::of(bytes)));
    }
}

impl Disk for MemoryDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.alive()?;
        state.files.entry(name.to_owned()).or_default();
        Ok(Arc::new(MemoryFile { disk: self.clone(), name: name.to_owned() }))
    }

    fn exists(&self, name: &str) -> bool {
        self.state().files.contains_key(name)
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("memory").join(name)
    }

    fn cache(&self) -> usize {
        CACHE_BYTES
    }
}

impl State {
    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    /// Counts a change, and lets it fail if it must. `grown` is the new length of a file
    /// that grows; its old one is not in the table meanwhile.
    fn change(&mut self, grown: Option<usize>) -> io::Result<()> {
        self.alive()?;
        let number = self.counts.changes;
        self.counts.changes += 1;
        match self.fault {
            Some(Fault::PowerCut(at)) if number >= at => {
                self.dead = true;
                self.alive()
            }
            Some(Fault::Error(at)) if number == at => Err(io::Error::other("input/output error")),
            Some(Fault::Errors(at)) if number >= at => Err(io::Error::other("input/output error")),
            Some(Fault::NoSpace) => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Full(bytes)) => {
                let others: usize = self.files.values().map(|file| file.now.len()).sum();
                let full = grown.is_some_and(|len| (others + len) as u64 > bytes);
                if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    name: String,
}

impl MemoryFile {
    fn with<T>(
        &self,
        act: impl FnOnce(&mut State, &mut Content) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.disk.state();
        let mut content = state.files.remove(&self.name).unwrap_or_default();
        let done = act(&mut state, &mut content);
        state.files.insert(self.name.clone(), content);
        done
    }

    fn change(&self, pending: Pending) -> io::Result<()> {
        self.with(|state, content| {
            let len = content.now.len();
            let end = match &pending {
                Pending::Write(at, data) => at.saturating_add(data.len()),
                Pending::Length(len) => *len,
            };
            state.change((end > len).then_some(end))?;
            if end > len && matches!(pending, Pending::Write(..)) {
                content.apply(Pending::Length(end));
            }
            content.apply(pending);
            Ok(())
        })
    }
}

fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|state, content| state.alive().map(|()| content.now.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = index(offset)?;
        self.with(|state, content| {
            state.alive()?;
            state.counts.reads += 1;
            let whole = content.now.read(at, out);
            if whole { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Pending::Length(index(len)?))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state, content| {
            state.dead |= state.fault == Some(Fault::PowerCutAtSync);
            state.change(None)?;
            content.sync();
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Pending::Write(index(offset)?, data.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(disk: &MemoryDisk) -> Arc<dyn DiskFile> {
        disk.open("file").unwrap()
    }

    #[test]
    fn a_power_cut_leaves_what_was_synced_and_of_the_rest_what_it_likes() {
        let disk = MemoryDisk::new();
        file(&disk).write(0, &[1; 300]).unwrap();
        file(&disk).sync_data().unwrap();
        file(&disk).write(100, &[2; 100]).unwrap();
        file(&disk).set_len(150).unwrap();
        file(&disk).write(140, &[3; 100]).unwrap();
        let bytes = |loss| disk.power_on(loss).bytes("file").unwrap();
        assert_eq!(bytes(Loss::All), [1; 300]);
        assert_eq!(bytes(Loss::Nothing), disk.bytes("file").unwrap());
        let some: Vec<_> = (0..200).map(|seed| bytes(Loss::Some(seed))).collect();
        assert!(
            (0..200).all(|seed| some[usize::try_from(seed).unwrap()] == bytes(Loss::Some(seed)))
        );
        let torn =
            |bytes: &Vec<u8>| bytes.get(100..200) == Some(&[&[2; 28][..], &[1; 72]].concat());
        assert!(some.iter().any(torn), "a write is torn");
        assert!(some.iter().all(|bytes| bytes[..100] == [1; 100]), "what nobody wrote is left");
        let open = file(&disk);
        disk.set_fault(Fault::PowerCut(disk.changes()));
        assert!(open.sync_data().is_err() && open.len().is_err() && disk.open("file").is_err());
    }
}
