//! From the system's memory to the disk.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::StoreError;

/// The engine's own flush hands its pages to the disk (`sync_file_range`), which
/// neither empties the disk's cache nor writes the file's size: this does.
#[derive(Debug)]
pub(super) struct Platter {
    log: File,
    log_path: PathBuf,
    /// Where the engine puts pages that are too large for its log; their names
    /// are numbers that only grow.
    blobs: PathBuf,
    synced: i128,
}

impl Platter {
    /// For the engine's directory, which it must have made already.
    pub(super) fn new(directory: &Path) -> Result<Self, StoreError> {
        let log_path = directory.join("db");
        let log = File::open(&log_path).map_err(StoreError::file(&log_path))?;
        let platter = Self { log, log_path, blobs: directory.join("blobs"), synced: -1 };
        for made in [Some(directory), directory.parent()].into_iter().flatten() {
            sync_directory(made)?;
        }
        Ok(platter)
    }

    /// Brings everything the engine has flushed to the disk.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.sync_blobs()?;
        self.log.sync_data().map_err(StoreError::file(&self.log_path))
    }

    fn sync_blobs(&mut self) -> Result<(), StoreError> {
        let fail = || StoreError::file(&self.blobs);
        let mut newest = self.synced;
        for blob in fs::read_dir(&self.blobs).map_err(fail())? {
            let blob = blob.map_err(fail())?;
            let Some(number) = blob.file_name().to_str().and_then(|name| name.parse::<i128>().ok())
            else {
                continue;
            };
            if number > self.synced {
                newest = newest.max(number);
                match File::open(blob.path()).and_then(|file| file.sync_data()) {
                    // The engine removed it: its content is elsewhere by now.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    result => result.map_err(StoreError::file(blob.path()))?,
                }
            }
        }
        if newest > self.synced {
            sync_directory(&self.blobs)?;
            self.synced = newest;
        }
        Ok(())
    }
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(StoreError::file(path))
}
