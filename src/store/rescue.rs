//! A state that is damaged, or may be: looked at, read, repaired.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use redb::ReadableTable;
use serde::Serialize;

use super::disk::{Directory, Disk, MemoryDisk, sync_directory};
use super::embedded::{SCHEMA, check_schema, refuse_older, schema_key};
use super::engine::{self, Engine, Records, Session, check_number, number_key};
use super::key::{Key, Tree};
use super::lock::DirectoryLock;
use super::salvage::{Hole, Rest, salvage};
use super::survey::Findings;
use super::witness::{self, Witness};
use super::writer::last_id_key;
use super::{EmbeddedStore, EnvironmentRecord, StoreError, frame};

/// Records in one transaction of a repair.
const BATCH: usize = 10_000;

/// The file in which a repair builds the new state.
const BUILDING: &str = "state.redb.new";

/// A state that was repaired.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Repaired {
    /// What was found before. If that is sound nothing was done.
    pub found: Findings,
    /// Where the damaged files were copied to; none if nothing was done.
    pub copy: Option<PathBuf>,
}

/// Looks at the state in `directory`, and changes nothing.
///
/// Errors: there is none, it is in use, was written by another release, or the system
/// cannot read it. Damage is no error.
pub fn check(directory: &Path) -> Result<Findings, StoreError> {
    let _lock = take(directory)?;
    look(directory).map(|(findings, _)| findings)
}

/// Keeps what can be read of a damaged state: the files are copied, a new state is built
/// beside the old one and takes its place at once. `progress` is told how many records of
/// how many are written.
///
/// Errors: as [`check`], and the disk may be full. The old state is in place then.
pub fn repair(
    directory: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Repaired, StoreError> {
    let _lock = take(directory)?;
    let (found, rest) = look(directory)?;
    if found.is_sound() {
        return Ok(Repaired { found, copy: None });
    }
    let copy = copy(directory)?;
    let disk = Directory::new(directory);
    let building = disk.path(BUILDING);
    if building.exists() {
        fs::remove_file(&building).map_err(StoreError::file(&building))?;
    }
    let number = found.transaction.max(found.acknowledged.unwrap_or(0));
    drop(build(&disk, BUILDING, &rest, number, progress)?);
    fs::rename(&building, disk.path(engine::FILE)).map_err(StoreError::file(&building))?;
    sync_directory(directory).map_err(StoreError::file(directory))?;
    let noted = disk.path(witness::FILE);
    File::create(&noted).map_err(StoreError::file(&noted))?;
    Witness::open(&disk)?.settle(number)?;
    Ok(Repaired { found, copy: Some(copy) })
}

impl EmbeddedStore {
    /// What can be read of a damaged state, to be read only: each change is refused with
    /// [`StoreError::ReadOnly`]. The files stay as they are, and nobody else can take them.
    /// Reads the disk: not for an async context.
    ///
    /// Errors: as [`check`].
    pub fn salvaged(directory: impl AsRef<Path>) -> Result<(Self, Findings), StoreError> {
        let directory = directory.as_ref();
        let lock = take(directory)?;
        let (findings, rest) = look(directory)?;
        let disk = MemoryDisk::new();
        let session = build(&disk, engine::FILE, &rest, findings.transaction, &mut |_, _| {})?;
        let engine = Engine::new(Arc::new(disk), session, Some(lock));
        Ok((Self::read_only(engine), findings))
    }
}

/// Takes a directory in which there is a state.
fn take(directory: &Path) -> Result<DirectoryLock, StoreError> {
    if directory.is_dir() {
        refuse_older(directory)?;
    }
    if !directory.join(engine::FILE).exists() && !directory.join(witness::FILE).exists() {
        return Err(StoreError::Missing { directory: directory.to_owned() });
    }
    DirectoryLock::take(directory)
}

/// What is there, and all of it that can be read.
fn look(directory: &Path) -> Result<(Findings, Rest), StoreError> {
    let disk = Directory::new(directory);
    let path = disk.path(engine::FILE);
    // A file that is missing is not made.
    let file = disk.exists(engine::FILE).then(|| disk.open(engine::FILE)).transpose();
    let file = file.map_err(StoreError::file(&path))?;
    let bytes =
        file.as_ref().map(|file| file.len()).transpose().map_err(StoreError::file(&path))?;
    let mut findings = Findings {
        directory: directory.to_owned(),
        bytes: bytes.unwrap_or(0),
        ..Findings::default()
    };
    let mut rest = match judge(&disk, &mut findings).and_then(|session| whole(&session, &path)) {
        Ok(rest) => rest,
        Err(error) if error.is_damage() => {
            findings.damage = Some(error.to_string());
            match &file {
                Some(file) => salvage(&**file).map_err(StoreError::file(&path))?,
                None => Rest { holes: vec![Hole::default()], ..Rest::default() },
            }
        }
        Err(error) => return Err(error),
    };
    match note(&rest, &schema_key()) {
        Some(found) if found > u64::from(SCHEMA) => {
            let found = u32::try_from(found).unwrap_or(u32::MAX);
            return Err(StoreError::Newer { path, found, known: SCHEMA });
        }
        _ => {}
    }
    findings.transaction = note(&rest, &number_key()).unwrap_or(0);
    findings.sift(&mut rest);
    Ok((findings, rest))
}

/// One of the store's own notes.
fn note(rest: &Rest, key: &Key) -> Option<u64> {
    rest.records.get(&key.0).and_then(|frame| frame::open(&key.0, frame).ok())
}

/// What a service does that starts, without any change.
fn judge(disk: &Directory, findings: &mut Findings) -> Result<Session, StoreError> {
    findings.acknowledged = witness::acknowledged(disk)?;
    let session = Session::open(disk, engine::FILE, findings.acknowledged.is_none())?;
    let path = disk.path(engine::FILE);
    let number = session.number()?;
    check_number(&path, number, findings.acknowledged.unwrap_or(0))?;
    check_schema(&session, &path, number)?;
    Ok(session)
}

/// All records of a state that the engine found sound.
fn whole(session: &Session, path: &Path) -> Result<Rest, StoreError> {
    let read = |records: &Records| {
        let all = records.iter().map_err(StoreError::engine(path))?;
        let records = all.map(|entry| {
            let (key, value) = entry.map_err(StoreError::engine(path))?;
            let (key, frame) = (key.value().to_vec(), value.value().to_vec());
            frame::content(&key, &frame)?;
            Ok((key, frame))
        });
        Ok(Rest { records: records.collect::<Result<_, _>>()?, ..Rest::default() })
    };
    Ok(session.read(read)?.unwrap_or_default())
}

/// Copies the files of the state into a directory of its own, and waits for the disk.
fn copy(directory: &Path) -> Result<PathBuf, StoreError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let copy = directory.join(format!("damaged-{now}"));
    fs::create_dir(&copy).map_err(StoreError::file(&copy))?;
    for name in [engine::FILE, witness::FILE] {
        let (from, to) = (directory.join(name), copy.join(name));
        if from.exists() {
            let copied = fs::copy(&from, &to).and_then(|_| File::open(&to)?.sync_all());
            copied.map_err(StoreError::file(&to))?;
        }
    }
    let synced = sync_directory(&copy).and_then(|()| sync_directory(directory));
    synced.map_err(StoreError::file(&copy))?;
    Ok(copy)
}

/// A new state of what was read. Its notes are made anew, for they may be lost.
fn build(
    disk: &dyn Disk,
    name: &str,
    rest: &Rest,
    number: u64,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Session, StoreError> {
    let path = disk.path(name);
    let session = Session::open(disk, name, true)?;
    session.admit()?;
    let total = rest.records.len();
    let mut done = 0;
    let mut records = rest.records.iter().peekable();
    while records.peek().is_some() {
        session.write(|draft| {
            for (key, frame) in records.by_ref().take(BATCH) {
                let put = draft.insert(key.as_slice(), frame.as_slice());
                put.map_err(StoreError::engine(&path))?;
                done += 1;
            }
            Ok(())
        })?;
        progress(done, total);
    }
    let notes =
        [(schema_key(), u64::from(SCHEMA)), (last_id_key(), last_id(rest)), (number_key(), number)];
    session.write(|draft| {
        for (key, value) in notes {
            let frame = frame::seal(&key, &frame::encode(Tree::Meta, &value)?);
            let put = draft.insert(key.0.as_slice(), frame.as_slice());
            put.map_err(StoreError::engine(&path))?;
        }
        Ok(())
    })?;
    Ok(session)
}

/// The greatest environment id that was used, as far as can be told.
fn last_id(rest: &Rest) -> u64 {
    let noted = note(rest, &last_id_key());
    let environments = rest.records.range(Key::new(Tree::Environments).range());
    let ids = environments.filter_map(|(key, frame)| {
        frame::open::<EnvironmentRecord>(key, frame).ok().map(|record| record.id)
    });
    ids.chain(noted).max().unwrap_or(0)
}
