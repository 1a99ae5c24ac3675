//! The database engine, redb: one file, opened with suspicion.
//!
//! Each opening verifies the checksum of every page that is in use, and nothing is written
//! before that and the number of the last transaction were found right: a damaged file stays
//! as it is. After a write that failed the file is opened anew, so that what is in it can be
//! read, and changed again once the disk lets it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{
    Builder, Database, ReadOnlyTable, ReadableDatabase, Table, TableDefinition, TableError,
};
use serde::de::DeserializeOwned;

use super::disk::{Disk, DiskFile, Probation};
use super::key::{Key, Tree};
use super::lock::DirectoryLock;
use super::{StoreError, frame};

/// Name of the file.
pub(super) const FILE: &str = "state.redb";

/// The one table. Trees are parts of it, by the first byte of their keys: a transaction over
/// several of them rewrites one path of pages.
const RECORDS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("records");

/// How the file of a database begins.
pub(super) const MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";

/// All records, as one transaction left them.
pub(super) type Records = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// All records, within a transaction.
pub(super) type Draft<'t> = Table<'t, &'static [u8], &'static [u8]>;

/// The key under which each transaction leaves its number.
pub(super) fn number_key() -> Key {
    Key::new(Tree::Meta).text("transaction")
}

/// The file between two failures.
pub(super) struct Session {
    db: Database,
    file: Probation,
    path: PathBuf,
}

impl Session {
    /// Opens the file on `disk` and verifies it; nothing is written until
    /// [`Session::admit`]. A new database results where there was none, and where `fresh`
    /// says that there cannot have been one, but for a start that was cut off. Where there
    /// must have been one, none is made in its place.
    pub(super) fn open(disk: &dyn Disk, name: &str, fresh: bool) -> Result<Self, StoreError> {
        Self::with_cache(disk, name, fresh, disk.cache())
    }

    /// As [`Session::open`], with so many bytes of memory for pages.
    pub(super) fn with_cache(
        disk: &dyn Disk,
        name: &str,
        fresh: bool,
        cache: usize,
    ) -> Result<Self, StoreError> {
        let path = disk.path(name);
        if !fresh && !disk.exists(name) {
            return Err(StoreError::Unreadable { path, why: "it is missing".to_owned() });
        }
        let file = disk.open(name).map_err(StoreError::file(&path))?;
        let file = Probation::new(file);
        if fresh && !begun(&file).map_err(StoreError::file(&path))? {
            file.set_len(0).map_err(StoreError::file(&path))?;
        }
        let open = || {
            Builder::new()
                .set_cache_size(cache)
                .set_check_integrity_on_open(true)
                .create_with_backend(file.clone())
        };
        let db = guarded(&path, || open().map_err(StoreError::engine(&path)))?;
        Ok(Self { db, file, path })
    }

    /// Lets through what was held back, and all writes from now on.
    pub(super) fn admit(&self) -> Result<(), StoreError> {
        self.file.admit().map_err(StoreError::file(&self.path))
    }

    /// Whether the disk once failed to keep what it was given.
    pub(super) fn sync_failed(&self) -> bool {
        self.file.sync_failed()
    }

    /// Reads; none if nothing was ever written.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Records) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        guarded(&self.path, || {
            let view = self.db.begin_read().map_err(StoreError::engine(&self.path))?;
            match view.open_table(RECORDS) {
                Ok(records) => read(&records).map(Some),
                Err(TableError::TableDoesNotExist(_)) => Ok(None),
                Err(why) => Err(StoreError::engine(&self.path)(why)),
            }
        })
    }

    /// One transaction: durable when this returns `Ok`, and not made if it does not, unless
    /// the disk failed at the very end.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&mut Draft<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        guarded(&self.path, || {
            let fail = || StoreError::engine(&self.path);
            let draft = self.db.begin_write().map_err(StoreError::engine(&self.path))?;
            let mut records = draft.open_table(RECORDS).map_err(StoreError::engine(&self.path))?;
            let done = write(&mut records)?;
            drop(records);
            draft.commit().map_err(fail())?;
            Ok(done)
        })
    }

    /// The record at `key`.
    pub(super) fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, StoreError> {
        Ok(self.read(|records| get(records, key, &self.path))?.flatten())
    }

    /// The number of the last transaction; 0 if there was none.
    pub(super) fn number(&self) -> Result<u64, StoreError> {
        Ok(self.get(&number_key())?.unwrap_or(0))
    }
}

/// The record at `key`.
pub(super) fn get<T: DeserializeOwned>(
    records: &Records,
    key: &Key,
    path: &Path,
) -> Result<Option<T>, StoreError> {
    let found = records.get(key.0.as_slice()).map_err(StoreError::engine(path))?;
    found.map(|value| frame::open(&key.0, value.value())).transpose()
}

/// Whether a database was begun in the file: the engine writes its name last.
fn begun(file: &dyn DiskFile) -> io::Result<bool> {
    let mut magic = [0; MAGIC.len()];
    if file.len()? >= MAGIC.len() as u64 {
        file.read(0, &mut magic)?;
    }
    Ok(magic.iter().any(|byte| *byte != 0))
}

/// The engine verifies what it opens and panics only for what it takes to be impossible. If
/// it does all the same, that ends what was asked, not the service.
fn guarded<T>(path: &Path, act: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let why = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let why = why.unwrap_or_else(|| "the storage engine gave up".to_owned());
        Err(StoreError::Unreadable { path: path.to_owned(), why })
    })
}

/// The file as long as the store is open, and the lock on its directory: in the order in which
/// they are let go, when the last reader has ended.
pub(super) struct Engine {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    session: RwLock<Result<Arc<Session>, StoreError>>,
    _lock: Option<DirectoryLock>,
}

impl Engine {
    pub(super) fn new(disk: Arc<dyn Disk>, session: Session, lock: Option<DirectoryLock>) -> Self {
        let path = session.path.clone();
        Self { disk, path, session: RwLock::new(Ok(Arc::new(session))), _lock: lock }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn session(&self) -> Result<Arc<Session>, StoreError> {
        self.session.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads what was committed last. A read that a reopening cut short is read again.
    pub(super) fn read<T>(
        &self,
        read: impl Fn(&Records) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        loop {
            let session = self.session()?;
            let found = session.read(&read);
            match self.session() {
                Ok(now) if found.is_err() && !Arc::ptr_eq(&session, &now) => {}
                _ => return found,
            }
        }
    }

    /// Opens the file anew after a write failed: what is in it can be read, and is written
    /// to once it is admitted. `acknowledged` is the number that must be there.
    ///
    /// Errors: the file cannot be read either, which is then the answer to every read.
    pub(super) fn reopen(&self, acknowledged: u64) -> Result<Arc<Session>, StoreError> {
        let mut session = self.session.write().unwrap_or_else(PoisonError::into_inner);
        // Readers may hold the old one for a while, and it writes when it is closed.
        if let Ok(old) = &*session {
            old.file.sever();
        }
        let opened = Session::open(&*self.disk, FILE, false).and_then(|session| {
            check_number(&self.path, session.number()?, acknowledged).map(|()| Arc::new(session))
        });
        session.clone_from(&opened);
        opened
    }
}

/// What was acknowledged must be there.
pub(super) fn check_number(path: &Path, found: u64, acknowledged: u64) -> Result<(), StoreError> {
    match acknowledged.checked_sub(found) {
        None | Some(0) => Ok(()),
        Some(lost) => Err(StoreError::Lost { path: path.to_owned(), lost }),
    }
}
