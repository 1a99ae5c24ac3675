//! How many transactions were acknowledged, in a file of its own.
//!
//! A database that finds its newest transaction damaged takes it for one that a power cut
//! tore, and goes back to the one before: rightly so, unless it was acknowledged. Each
//! transaction therefore carries its number, and this file, written after the sync, says
//! which number must be there. It is not synced itself: after a power cut it may lag,
//! never lead, so it raises no false alarm.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::StoreError;
use super::disk::{Disk, DiskFile};

/// Its name.
pub(super) const FILE: &str = "transactions";

/// All there is: the number in twenty digits, a blank, its CRC-32 in eight, a newline. Less
/// than a sector, so a power cut leaves the old line or the new one.
const LINE: usize = 30;

/// The number that was noted on `disk`; none if nothing ever was. Makes no file.
///
/// Errors: the file holds no number, or the system cannot read it.
pub(super) fn acknowledged(disk: &dyn Disk) -> Result<Option<u64>, StoreError> {
    if disk.exists(FILE) { Witness::open(disk)?.number() } else { Ok(None) }
}

/// The file.
#[derive(Debug)]
pub(super) struct Witness {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
}

impl Witness {
    /// Opens the file on `disk`, made if missing.
    pub(super) fn open(disk: &dyn Disk) -> Result<Self, StoreError> {
        let path = disk.path(FILE);
        let file = disk.open(FILE).map_err(StoreError::file(&path))?;
        Ok(Self { file, path })
    }

    fn number(&self) -> Result<Option<u64>, StoreError> {
        let fail = || StoreError::file(&self.path);
        let len = usize::try_from(self.file.len().map_err(fail())?).unwrap_or(usize::MAX);
        let mut text = vec![0; len.min(LINE + 1)];
        self.file.read(0, &mut text).map_err(fail())?;
        // A power cut during the very first note leaves zeros, or nothing.
        if text.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let why = "it holds no number: restore it from a copy, or delete it to go on without";
        let error = || io::Error::new(io::ErrorKind::InvalidData, why);
        number(&text).ok_or_else(error).map(Some).map_err(fail())
    }

    /// Notes that transaction `number` is on disk.
    pub(super) fn note(&self, number: u64) -> Result<(), StoreError> {
        self.file.write(0, line(number).as_bytes()).map_err(StoreError::file(&self.path))
    }

    /// Notes it and waits for the disk.
    pub(super) fn settle(&self, number: u64) -> Result<(), StoreError> {
        self.note(number)?;
        self.file.sync_data().map_err(StoreError::file(&self.path))
    }
}

fn line(number: u64) -> String {
    let digits = format!("{number:020}");
    let checksum = crc32fast::hash(digits.as_bytes());
    format!("{digits} {checksum:08x}\n")
}

/// The number in a line that is whole.
fn number(text: &[u8]) -> Option<u64> {
    let number = str::from_utf8(text.get(..20)?).ok()?.parse().ok()?;
    (line(number).as_bytes() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::super::disk::{Fault, Loss, MemoryDisk};
    use super::*;

    #[test]
    fn it_lags_after_a_power_cut_and_never_leads() {
        for (noted, seed) in (1..12).flat_map(|noted| (0..200).map(move |seed| (noted, seed))) {
            let disk = MemoryDisk::new();
            let witness = Witness::open(&disk).unwrap();
            witness.settle(5).unwrap();
            for number in 6..6 + noted {
                witness.note(number).unwrap();
            }
            disk.set_fault(Fault::PowerCut(0));
            assert!(witness.note(100).is_err());
            let disk = disk.power_on(Loss::Some(seed));
            let found = Witness::open(&disk).unwrap().number().unwrap().unwrap();
            assert!((5..6 + noted).contains(&found), "{found}");
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let disk = MemoryDisk::new();
        let witness = Witness::open(&disk).unwrap();
        assert_eq!(witness.number().unwrap(), None);
        witness.settle(99).unwrap();
        assert_eq!(witness.number().unwrap(), Some(99));
        let whole = disk.bytes(FILE).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            disk.overwrite(FILE, &bytes);
            let error = witness.number().unwrap_err().to_string();
            assert!(error.contains("memory/transactions: it holds no number"), "{error}");
        }
    }
}
