//! Files that users bring for their own boot profiles: kept where boot servers export them.
//!
//! A file keeps its place after its operation, as its node may boot it again at any time. When
//! the directory is full the files that no operation needs make room, the oldest first.

use crate::{
    environments::FileRef,
    steps::is_word,
    types::{Code, Problem},
};
use config::Config;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// The directory of these files.
#[derive(Clone, Debug)]
pub(crate) struct Userfiles(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    /// Bytes that it may hold.
    most: u64,
    /// By name of the file: the operations that need it. Whoever holds it changes the directory.
    needed: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

/// The name under which the file that `reference` names is kept for `user`.
///
/// # Errors
/// 5: it cannot be the name of a file.
pub(super) fn name(user: &str, reference: &str) -> Result<String, Problem> {
    let text = FileRef::parse(reference)?.to_string();
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let base = path.rsplit('/').next().unwrap_or_default();
    if is_word(user) && is_name(base) {
        return Ok(format!("pxe-{user}--{base}"));
    }
    let why = format!("'{base}' of {user} cannot be the name of a file for boot loaders");
    Err(Problem::new(Code::InvalidFile, why)
        .hint("take letters, digits and any of .-_@+~=,: for the names of files"))
}

/// Whether it is a name of a file that every boot loader takes as one word.
fn is_name(text: &str) -> bool {
    (1..=200).contains(&text.len())
        && !text.starts_with('.')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._@-+~=,:".contains(c))
}

impl Userfiles {
    /// The directory that the configuration names.
    pub(super) fn new(config: &Config) -> Self {
        let pxe = &config.server.pxe;
        let directory = pxe.dhcp.repository.join(&pxe.userfiles.directory);
        let most = pxe.userfiles.max_size.bytes();
        Self(Arc::new(Inner { directory, most, needed: Mutex::default() }))
    }

    /// Keeps a copy of `file` as `name` for the operation `wid`.
    ///
    /// # Errors
    /// 22 where there is no room, 21 where it cannot be written.
    pub(super) async fn put(&self, wid: &str, name: String, file: &Path) -> Result<(), Problem> {
        let (inner, wid, file) = (Arc::clone(&self.0), wid.to_owned(), file.to_owned());
        let put = tokio::task::spawn_blocking(move || inner.put(&wid, name, &file));
        put.await.map_err(Problem::internal)?
    }

    /// The operation `wid` needs its files no more.
    pub(super) fn release(&self, wid: &str) {
        let mut needed = self.0.needed.lock().unwrap_or_else(PoisonError::into_inner);
        needed.retain(|_, wids| {
            wids.remove(wid);
            !wids.is_empty()
        });
    }
}

impl Inner {
    fn put(&self, wid: &str, name: String, file: &Path) -> Result<(), Problem> {
        let mut needed = self.needed.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |why: &io::Error| {
            let place = self.directory.display();
            Problem::new(
                Code::CacheError,
                format!("the file {name} cannot be kept in {place}: {why}"),
            )
        };
        let size = fs::metadata(file).map_err(|why| failed(&why))?.len();
        self.make_room(&name, size, &needed)?;
        // Complete or not at all: a boot server may read it at this moment.
        let whole = tempfile::NamedTempFile::new_in(&self.directory).map_err(|why| failed(&why))?;
        let copied = fs::copy(file, whole.path())
            .and_then(|_| fs::set_permissions(whole.path(), fs::Permissions::from_mode(0o644)))
            .and_then(|()| whole.persist(self.directory.join(&name)).map_err(|why| why.error));
        copied.map_err(|why| failed(&why))?;
        needed.entry(name).or_default().insert(wid.to_owned());
        Ok(())
    }

    /// Deletes files that nobody needs, the oldest first, until `size` more bytes fit.
    fn make_room(
        &self,
        name: &str,
        size: u64,
        needed: &BTreeMap<String, BTreeSet<String>>,
    ) -> Result<(), Problem> {
        let mut files = Vec::new();
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        for entry in entries {
            let (Ok(meta), Ok(known)) = (entry.metadata(), entry.file_name().into_string()) else {
                continue;
            };
            if meta.is_file() && known != name {
                files.push((meta.modified().ok(), meta.len(), known));
            }
        }
        files.sort();
        let mut total: u64 = size + files.iter().map(|(_, size, _)| size).sum::<u64>();
        for (_, size, old) in files {
            if total <= self.most {
                break;
            }
            // Others' files are not ours to delete.
            if old.starts_with("pxe-") && !needed.contains_key(&old) {
                fs::remove_file(self.directory.join(&old)).ok();
                total -= size;
            }
        }
        if total <= self.most {
            return Ok(());
        }
        let text = format!(
            "the file {name} does not fit into {} with those of running operations ({} MB at most)",
            self.directory.display(),
            self.most >> 20
        );
        Err(Problem::new(Code::CacheFull, text).hint("pxe/dhcp/userfiles/max_size"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_of_their_user() {
        assert_eq!(name("anna", "/home/anna/vmlinuz-6.1").unwrap(), "pxe-anna--vmlinuz-6.1");
        assert_eq!(name("anna", "http://w/k/initrd?x=1").unwrap(), "pxe-anna--initrd");
        for kept in ["memtest86+.bin", "vmlinuz-6.1~rc1", "a=b,c:d"] {
            assert_eq!(name("anna", &format!("/k/{kept}")).unwrap(), format!("pxe-anna--{kept}"));
        }
        for (user, file) in
            [("an/na", "/k"), ("anna", "/home/"), ("anna", "/a b"), ("", "/k"), ("anna", "/.k")]
        {
            assert!(name(user, file).is_err(), "{user} {file}");
        }
    }

    #[tokio::test]
    async fn files_that_nobody_needs_make_room_the_oldest_first() {
        let dir = tempfile::tempdir().unwrap();
        let (most, needed) = (250, Mutex::default());
        let inner = Inner { directory: dir.path().to_owned(), most, needed };
        let files = Userfiles(Arc::new(inner));
        let file = dir.path().join("source");
        let kept = || {
            let list = fs::read_dir(dir.path()).unwrap().map(|one| one.unwrap().file_name());
            let mut list: Vec<_> = list.map(|name| name.into_string().unwrap()).collect();
            list.sort();
            list
        };
        fs::write(&file, [0; 10]).unwrap();
        let source = tempfile::NamedTempFile::new().unwrap();
        fs::write(source.path(), [1; 100]).unwrap();
        files.put("D-1", "pxe-a--1".into(), source.path()).await.unwrap();
        files.put("D-2", "pxe-a--2".into(), source.path()).await.unwrap();
        let full = files.put("D-3", "pxe-a--3".into(), source.path()).await.unwrap_err();
        assert!(full.to_string().starts_with("The cache is full"), "{full}");
        files.release("D-2");
        files.put("D-3", "pxe-a--3".into(), source.path()).await.unwrap();
        assert_eq!(kept(), ["pxe-a--1", "pxe-a--3", "source"]);
        // In place of itself it needs no room.
        files.put("D-4", "pxe-a--3".into(), source.path()).await.unwrap();
    }
}
