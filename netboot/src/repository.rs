//! Profiles written where another TFTP server looks for them.

use crate::AssetPath;
use rustix::{
    fs::{AtFlags, Mode, OFlags, ResolveFlags, mkdirat, open, openat, openat2, renameat, unlinkat},
    io::Errno,
};
use std::{
    fs::File,
    io::{self, Write},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Profiles are read by a TFTP server that runs as somebody else.
const PROFILE_MODE: u32 = 0o644;
/// A directory made for profiles.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);

/// Numbers the temporary files of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A directory that a TFTP server exports. Its methods block.
///
/// A profile is written beside its place and renamed, so a node never reads half
/// of one. Names are resolved by the kernel below the root (openat2(2)): neither
/// a path nor a link leads out of it.
#[derive(Debug)]
pub struct Repository {
    root: OwnedFd,
    path: PathBuf,
}

/// A profile could not be written or cleared.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct RepositoryError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Repository {
    /// The repository at `path`, which must exist.
    ///
    /// # Errors
    /// `path` is not a directory.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RepositoryError> {
        let path = path.as_ref().to_owned();
        match open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(root) => Ok(Self { root, path }),
            Err(errno) => Err(RepositoryError { action: "open", path, source: errno.into() }),
        }
    }

    /// Writes `text` as `name`, mode 0644, in one step for readers; makes missing directories.
    ///
    /// # Errors
    /// The place leads out of the repository, or writing fails; then nothing changed.
    pub fn write(&self, name: &AssetPath, text: &str) -> Result<(), RepositoryError> {
        self.replace(name, text).map_err(|source| self.error("write", name, source))
    }

    /// Removes `name`; nothing happens if it is not there.
    ///
    /// # Errors
    /// The place leads out of the repository, or removing fails.
    pub fn clear(&self, name: &AssetPath) -> Result<(), RepositoryError> {
        let (parent, file) = split(name);
        let removed = match self.directory(parent) {
            Ok(directory) => unlinkat(&directory, file, AtFlags::empty()),
            Err(errno) => Err(errno),
        };
        match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.error("remove", name, errno.into())),
        }
    }

    fn replace(&self, name: &AssetPath, text: &str) -> io::Result<()> {
        let (parent, file) = split(name);
        let directory = self.directory_made(parent)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = format!(".profile-{}-{number}.tmp", std::process::id());
        let written = write_new(&directory, &temporary, text)
            .and_then(|()| Ok(renameat(&directory, &temporary, &directory, file)?));
        if written.is_err() {
            unlinkat(&directory, &temporary, AtFlags::empty()).ok();
        }
        written
    }

    fn directory(&self, path: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = if path.is_empty() { "." } else { path };
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.root, path, flags, Mode::empty(), within)
    }

    /// Each part is opened from the root, so that links inside the repository work.
    fn directory_made(&self, path: &str) -> Result<OwnedFd, Errno> {
        match self.directory(path) {
            Err(Errno::NOENT) if !path.is_empty() => {
                let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
                let made = mkdirat(self.directory_made(above)?, name, DIRECTORY_MODE);
                if made != Err(Errno::EXIST) {
                    made?;
                }
                self.directory(path)
            }
            opened => opened,
        }
    }

    fn error(&self, action: &'static str, name: &AssetPath, source: io::Error) -> RepositoryError {
        let source = match source.raw_os_error() {
            Some(code) if code == Errno::XDEV.raw_os_error() => {
                io::Error::other("the path leads out of the repository")
            }
            _ => source,
        };
        RepositoryError { action, path: self.path.join(name.as_str()), source }
    }
}

fn split(name: &AssetPath) -> (&str, &str) {
    name.as_str().rsplit_once('/').unwrap_or(("", name.as_str()))
}

fn write_new(directory: &OwnedFd, name: &str, text: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(text.as_bytes())?;
    // By hand: the mode given to open is cut by the umask.
    file.set_permissions(PermissionsExt::from_mode(PROFILE_MODE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    fn path(path: &str) -> AssetPath {
        path.parse().unwrap()
    }

    fn names(directory: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|e| name(e).unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn writes_replaces_and_clears() {
        let root = tempfile::tempdir().unwrap();
        let repository = Repository::open(root.path()).unwrap();
        let name = path("a/pxelinux.cfg/0A00000C");
        for text in ["one", "two"] {
            repository.write(&name, text).unwrap();
            let written = root.path().join(name.as_str());
            assert_eq!(fs::read_to_string(&written).unwrap(), text);
            assert_eq!(fs::metadata(&written).unwrap().permissions().mode() & 0o777, PROFILE_MODE);
        }
        assert_eq!(names(&root.path().join("a/pxelinux.cfg")), ["0A00000C"]);
        repository.clear(&name).unwrap();
        repository.clear(&name).unwrap();
        repository.clear(&path("never/was")).unwrap();
        assert!(names(&root.path().join("a/pxelinux.cfg")).is_empty());
    }

    #[test]
    fn never_leaves_its_root() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "kept").unwrap();
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("real")).unwrap();
        symlink(outside.path(), root.path().join("out")).unwrap();
        symlink("real", root.path().join("in")).unwrap();
        symlink(outside.path().join("kept"), root.path().join("file")).unwrap();
        let repository = Repository::open(root.path()).unwrap();

        let refused = repository.write(&path("out/new"), "x").unwrap_err().to_string();
        assert!(refused.contains("leads out of the repository"), "{refused}");
        repository.clear(&path("out/kept")).unwrap_err();
        // A link in the place of a profile is replaced, not followed.
        repository.write(&path("file"), "mine").unwrap();
        repository.write(&path("in/profile"), "inside").unwrap();

        assert_eq!(names(outside.path()), ["kept"]);
        assert_eq!(fs::read_to_string(outside.path().join("kept")).unwrap(), "kept");
        assert_eq!(fs::read_to_string(root.path().join("file")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(root.path().join("real/profile")).unwrap(), "inside");
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("taken")).unwrap();
        let repository = Repository::open(root.path()).unwrap();
        repository.write(&path("taken"), "x").unwrap_err();
        assert_eq!(names(root.path()), ["taken"]);
    }
}
