//! How many transactions were acknowledged, in a file of its own.
//!
//! The engine recovers up to the first damage in its log and takes what follows
//! for never written: a start after that would silently miss acknowledged
//! changes. Each transaction therefore carries its number, and this file, written
//! after the sync, says which number must be there. It is not synced itself: after
//! a power cut it may lag, never lead, so it raises no false alarm.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::StoreError;

/// Twenty digits and a newline.
const LEN: u64 = 21;

/// The file.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    path: PathBuf,
}

impl Witness {
    fn path(directory: &Path) -> PathBuf {
        directory.join("transactions")
    }

    /// The number that was noted in `directory`; none if there never was a state.
    pub(super) fn read(directory: &Path) -> Result<Option<u64>, StoreError> {
        let path = Self::path(directory);
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(LEN).read_to_string(&mut text)) {
            Ok(_) => text.trim().parse().map(Some).map_err(|why| {
                StoreError::file(&path)(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("'{text}': {why}"),
                ))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::file(&path)(error)),
        }
    }

    /// Begins to note, with the number that the engine has.
    pub(super) fn begin(directory: &Path, number: u64) -> Result<Self, StoreError> {
        let path = Self::path(directory);
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let witness = Self { file: opened.map_err(StoreError::file(&path))?, path };
        witness.note(number)?;
        let synced = witness.file.sync_all().and_then(|()| File::open(directory)?.sync_all());
        synced.map_err(StoreError::file(&witness.path))?;
        Ok(witness)
    }

    /// Notes that transaction `number` is on disk.
    pub(super) fn note(&self, number: u64) -> Result<(), StoreError> {
        self.file
            .write_all_at(format!("{number:020}\n").as_bytes(), 0)
            .map_err(StoreError::file(&self.path))
    }
}
