//! A file whose writes are held back until they are allowed.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::DiskFile;

/// A file on probation. A database that opens its file may repair it, and a wrong repair
/// destroys what a better one could have saved. So what it writes is kept in memory, where
/// it alone sees it, until the state it found was judged: [`Probation::admit`] then writes
/// it out in the same order, with the same syncs, and from there on all goes through.
#[derive(Clone, Debug)]
pub(in crate::store) struct Probation(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Arc<dyn DiskFile>,
    /// None once admitted.
    held: Mutex<Option<Vec<Held>>>,
    admitted: AtomicBool,
    severed: AtomicBool,
    sync_failed: AtomicBool,
}

#[derive(Debug)]
enum Held {
    Write(u64, Vec<u8>),
    Length(u64),
    Sync,
}

impl Probation {
    pub(in crate::store) fn new(file: Arc<dyn DiskFile>) -> Self {
        Self(Arc::new(Inner {
            file,
            held: Mutex::new(Some(Vec::new())),
            admitted: AtomicBool::new(false),
            severed: AtomicBool::new(false),
            sync_failed: AtomicBool::new(false),
        }))
    }

    /// Writes out what was held back. After an error it can be tried again.
    pub(in crate::store) fn admit(&self) -> io::Result<()> {
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        for write in held.iter().flatten() {
            match write {
                Held::Write(offset, data) => self.0.file.write(*offset, data)?,
                Held::Length(len) => self.0.file.set_len(*len)?,
                Held::Sync => self.0.sync()?,
            }
        }
        *held = None;
        self.0.admitted.store(true, Ordering::Release);
        Ok(())
    }

    /// From here on nothing gets through: another has the file.
    pub(in crate::store) fn sever(&self) {
        self.0.severed.store(true, Ordering::Release);
    }

    /// Whether a sync ever failed: the system may have forgotten what it had not written,
    /// and what the file says now need not be what is on the disk.
    pub(in crate::store) fn sync_failed(&self) -> bool {
        self.0.sync_failed.load(Ordering::Acquire)
    }
}

impl Inner {
    fn connected(&self) -> io::Result<()> {
        if self.severed.load(Ordering::Acquire) {
            return Err(io::Error::other("the file was opened anew"));
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data().inspect_err(|_| self.sync_failed.store(true, Ordering::Release))
    }

    /// Hands `write` to those that are held; false if they are no longer.
    fn hold(&self, write: impl FnOnce() -> Held) -> bool {
        if self.admitted.load(Ordering::Acquire) {
            return false;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.as_mut() {
            Some(held) => held.push(write()),
            None => return false,
        }
        true
    }
}

impl DiskFile for Probation {
    fn len(&self) -> io::Result<u64> {
        self.0.connected()?;
        let held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        let len = |write: &Held| match write {
            Held::Length(len) => Some(*len),
            _ => None,
        };
        match held.iter().flatten().rev().find_map(len) {
            Some(len) => Ok(len),
            None => self.0.file.len(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.connected()?;
        if self.0.admitted.load(Ordering::Acquire) {
            return self.0.file.read(offset, out);
        }
        let held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut len = self.0.file.len()?;
        let there = within(len, offset, out.len());
        self.0.file.read(offset, &mut out[..there])?;
        out[there..].fill(0);
        for write in held.iter().flatten() {
            match write {
                Held::Write(at, data) => overlay(offset, out, *at, data),
                Held::Length(new) => {
                    len = *new;
                    let kept = within(len, offset, out.len());
                    out[kept..].fill(0);
                }
                Held::Sync => {}
            }
        }
        if within(len, offset, out.len()) < out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.connected()?;
        if self.0.hold(|| Held::Length(len)) { Ok(()) } else { self.0.file.set_len(len) }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.connected()?;
        if self.0.hold(|| Held::Sync) { Ok(()) } else { self.0.sync() }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.connected()?;
        let hold = || Held::Write(offset, data.to_vec());
        if self.0.hold(hold) { Ok(()) } else { self.0.file.write(offset, data) }
    }
}

/// How many of `wanted` bytes from `offset` lie within `len`.
fn within(len: u64, offset: u64, wanted: usize) -> usize {
    usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX).min(wanted)
}

/// Lays `data` of offset `at` over the bytes from `offset`, where they overlap.
fn overlay(offset: u64, out: &mut [u8], at: u64, data: &[u8]) {
    let skip = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
    let (into, from) = (skip(offset, at), skip(at, offset));
    if let (Some(out), Some(data)) = (out.get_mut(into..), data.get(from..)) {
        let len = out.len().min(data.len());
        out[..len].copy_from_slice(&data[..len]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Disk, MemoryDisk};
    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Write(u64, Vec<u8>),
        Length(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0..40_u64, prop::collection::vec(any::<u8>(), 1..20))
                .prop_map(|(at, d)| Op::Write(at, d)),
            (0..60_u64).prop_map(Op::Length),
        ]
    }

    fn apply(file: &dyn DiskFile, op: &Op) {
        match op {
            Op::Write(at, data) => {
                let end = at + data.len() as u64;
                if file.len().unwrap() < end {
                    file.set_len(end).unwrap();
                }
                file.write(*at, data).unwrap();
            }
            Op::Length(len) => file.set_len(*len).unwrap(),
        }
    }

    fn content(file: &dyn DiskFile) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read(0, &mut bytes).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn it_reads_as_if_all_were_written_and_the_file_changes_only_when_admitted(
            before in prop::collection::vec(op(), 0..4), held in prop::collection::vec(op(), 0..8),
        ) {
            let disk = MemoryDisk::new();
            let plain = disk.open("plain").unwrap();
            let file = disk.open("file").unwrap();
            for op in &before {
                apply(&*plain, op);
                apply(&*file, op);
            }
            let untouched = content(&*file);
            let probation = Probation::new(Arc::clone(&file));
            for op in &held {
                apply(&*plain, op);
                apply(&probation, op);
                prop_assert_eq!(content(&probation), content(&*plain));
            }
            prop_assert_eq!(content(&*file), untouched);
            prop_assert!(probation.read(probation.len().unwrap(), &mut [0]).is_err());
            probation.admit().unwrap();
            prop_assert_eq!(content(&*file), content(&*plain));
        }
    }
}
