//! The directory: data and descriptions, each written beside its place and
//! renamed into it. Deletes only what it wrote: a pair whose description names
//! it, and unfinished files of its own form.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::{CacheError, Digest, Key, Meta};

/// A description is a dozen lines; what is longer is not ours.
const META_MAX: u64 = 64 * 1024;

/// Size of the pieces a file is read in to verify it.
const PIECE: usize = 256 * 1024;

/// The directory of a cache.
#[derive(Debug)]
pub(crate) struct Disk {
    directory: PathBuf,
}

impl Disk {
    /// Uses `directory`, which is made if missing.
    pub(crate) fn new(directory: &Path) -> Result<Self, CacheError> {
        fs::create_dir_all(directory).map_err(CacheError::disk(directory))?;
        let directory = fs::canonicalize(directory).map_err(CacheError::disk(directory))?;
        Ok(Self { directory })
    }

    /// Where the data of `stem` is.
    pub(crate) fn data(&self, stem: &str) -> PathBuf {
        self.directory.join(format!("{stem}.data"))
    }

    fn meta(&self, stem: &str) -> PathBuf {
        self.directory.join(format!("{stem}.meta"))
    }

    fn part(&self, stem: &str, of: &str) -> PathBuf {
        self.directory.join(format!(".{stem}.{of}.part"))
    }

    /// The descriptions of all whole entries. What a crash left unfinished is
    /// deleted; what is not ours is left alone.
    pub(crate) fn scan(&self) -> Result<Vec<Meta>, CacheError> {
        let fail = || CacheError::disk(&self.directory);
        let mut metas = Vec::new();
        for found in fs::read_dir(&self.directory).map_err(fail())? {
            let name = found.map_err(fail())?.file_name();
            let Some(name) = name.to_str() else { continue };
            if unfinished(name) {
                delete(&self.directory.join(name))?;
            } else if let Some(stem) = name.strip_suffix(".meta").filter(|stem| Key::is_stem(stem))
                && let Some(meta) = self.load(stem)?
            {
                metas.push(meta);
            }
        }
        Ok(metas)
    }

    /// The description of `stem`, if it is ours and its data is whole; ours and
    /// not whole is deleted.
    fn load(&self, stem: &str) -> Result<Option<Meta>, CacheError> {
        let path = self.meta(stem);
        match read_meta(&path).map_err(CacheError::disk(&path))? {
            Description::Whole(meta)
                if meta.key.stem() == stem && meta.file_in_cache == format!("{stem}.data") =>
            {
                if self.present(stem, meta.size) {
                    return Ok(Some(*meta));
                }
                tracing::warn!(file = %path.display(), "the data of a cached file is missing or was truncated: forgotten");
            }
            // A description that a power cut emptied: the name is all that is left of it.
            Description::Empty => {
                tracing::warn!(file = %path.display(), "a cached file lost its description: forgotten");
            }
            Description::Whole(_) | Description::Foreign => {
                tracing::warn!(file = %path.display(), "not a description of this cache: left alone");
                return Ok(None);
            }
        }
        self.remove(stem)?;
        Ok(None)
    }

    /// Whether the data of `stem` is there in its full size.
    pub(crate) fn present(&self, stem: &str, size: u64) -> bool {
        fs::symlink_metadata(self.data(stem))
            .is_ok_and(|found| found.is_file() && found.len() == size)
    }

    /// Deletes an entry: the data first, so that no data is ever without description.
    pub(crate) fn remove(&self, stem: &str) -> Result<(), CacheError> {
        delete(&self.data(stem))?;
        delete(&self.meta(stem))
    }

    /// Begins to write the data of `stem`.
    ///
    /// Errors: the place is taken by a file that is not ours, or the disk fails.
    pub(crate) fn create(&self, stem: &str) -> Result<Part, CacheError> {
        for place in [self.data(stem), self.meta(stem)] {
            if fs::symlink_metadata(&place).is_ok() {
                let why = io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "not written by this cache: move it away",
                );
                return Err(CacheError::disk(&place)(why));
            }
        }
        let path = self.part(stem, "data");
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(CacheError::disk(&path))?;
        Ok(Part { path, file, hasher: Sha256::new(), renamed: false })
    }

    /// Gives synced data its description and its name. The description comes
    /// first: without data it is nothing, and swept at the next start.
    pub(crate) fn publish(
        &self,
        mut part: Part,
        stem: &str,
        meta: &Meta,
    ) -> Result<(), CacheError> {
        let data = self.data(stem);
        let renamed = self.describe(stem, meta, true).and_then(|()| {
            fs::rename(&part.path, &data).map_err(CacheError::disk(&data))?;
            part.renamed = true;
            File::open(&self.directory)
                .and_then(|d| d.sync_all())
                .map_err(CacheError::disk(&self.directory))
        });
        if renamed.is_err()
            && let Err(error) = self.remove(stem)
        {
            tracing::warn!(%error, "a file that could not be cached could not be removed either");
        }
        renamed
    }

    /// Writes the description of `stem`; `durable` where it must outlive a power cut.
    pub(crate) fn describe(
        &self,
        stem: &str,
        meta: &Meta,
        durable: bool,
    ) -> Result<(), CacheError> {
        let path = self.part(stem, "meta");
        let text = serde_saphyr::to_string(meta)
            .map_err(|why| CacheError::disk(&path)(io::Error::other(why)))?;
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            if durable { file.sync_all() } else { Ok(()) }
        });
        written.and_then(|()| fs::rename(&path, self.meta(stem))).map_err(CacheError::disk(&path))
    }

    /// The digest of the data of `stem` as it is on disk now. Reads all of it.
    pub(crate) fn digest(&self, stem: &str) -> Result<Digest, CacheError> {
        let path = self.data(stem);
        let mut hasher = Sha256::new();
        let mut piece = vec![0; PIECE];
        let read = File::open(&path).and_then(|mut file| {
            loop {
                match file.read(&mut piece)? {
                    0 => return Ok(()),
                    n => hasher.update(&piece[..n]),
                }
            }
        });
        read.map_err(CacheError::disk(&path))?;
        Ok(Digest(hasher.finalize().into()))
    }
}

/// Data on its way; deleted if it never gets its name.
#[derive(Debug)]
pub(crate) struct Part {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    renamed: bool,
}

impl Part {
    /// Appends.
    pub(crate) fn write(&mut self, piece: &[u8]) -> Result<(), CacheError> {
        self.hasher.update(piece);
        self.file.write_all(piece).map_err(CacheError::disk(&self.path))
    }

    /// Everything was written: brings it to the disk and says its digest.
    pub(crate) fn finish(&mut self) -> Result<Digest, CacheError> {
        self.file.sync_all().map_err(CacheError::disk(&self.path))?;
        Ok(Digest(self.hasher.finalize_reset().into()))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.renamed
            && let Err(error) = delete(&self.path)
        {
            tracing::warn!(%error, "an unfinished cache file could not be removed");
        }
    }
}

enum Description {
    Whole(Box<Meta>),
    Empty,
    Foreign,
}

fn read_meta(path: &Path) -> io::Result<Description> {
    let mut text = String::new();
    match File::open(path)?.take(META_MAX).read_to_string(&mut text) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Ok(Description::Foreign);
        }
        read => read?,
    };
    if text.is_empty() {
        return Ok(Description::Empty);
    }
    Ok(serde_saphyr::from_str(&text)
        .map_or(Description::Foreign, |meta| Description::Whole(Box::new(meta))))
}

/// Whether a name is one that [`Disk::part`] gives.
fn unfinished(name: &str) -> bool {
    let stem = name.strip_prefix('.').and_then(|name| name.strip_suffix(".part"));
    let stem =
        stem.and_then(|name| name.strip_suffix(".data").or_else(|| name.strip_suffix(".meta")));
    stem.is_some_and(Key::is_stem)
}

fn delete(path: &Path) -> Result<(), CacheError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CacheError::disk(path)(error)),
        _ => Ok(()),
    }
}
