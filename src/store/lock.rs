//! One server per directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::StoreError;

/// Holds the directory until dropped; the system lets go if the process dies.
/// The file stays: its content says who had the directory last.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

/// More than any process id; what is longer is no process id.
const PID_MAX: u64 = 20;

impl DirectoryLock {
    /// Takes `directory`.
    ///
    /// Errors: [`StoreError::Locked`] with the process id of who has it.
    pub(super) fn take(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("lock");
        let fail = || StoreError::file(&path);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(fail())?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let read = file.take(PID_MAX).read_to_string(&mut pid);
                let holder = read.ok().and_then(|_| pid.trim().parse().ok());
                return Err(StoreError::Locked { directory: directory.to_owned(), holder });
            }
            Err(TryLockError::Error(why)) => return Err(fail()(why)),
        }
        file.set_len(0).map_err(fail())?;
        file.rewind().map_err(fail())?;
        writeln!(file, "{}", std::process::id()).map_err(fail())?;
        Ok(Self { _file: file })
    }
}
