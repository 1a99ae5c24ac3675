//! A directory tree.

use super::{Asset, AssetPath, Assets, Refusal};
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, fstatfs, open, openat2},
    io::Errno,
};
use std::{
    fs::File,
    io,
    net::IpAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

/// File systems that answer from memory or a disk of this machine, by their magic numbers
/// (statfs(2)): btrfs, ext2 to 4, f2fs, overlayfs, squashfs, tmpfs, xfs.
const LOCAL: [u32; 7] =
    [0x9123_683e, 0xef53, 0xf2f5_2010, 0x794c_7630, 0x7371_7368, 0x0102_1994, 0x5846_5342];

/// The plain files below a root, the same for every client.
///
/// The kernel resolves each name with `RESOLVE_BENEATH` (openat2(2), Linux 5.6),
/// so neither a path nor a link leads out of the root, even one that is made
/// while a name is looked up. Absolute links are refused, wherever they point.
///
/// Names are looked up at once where that cannot take long: on a file system of
/// this machine, or what the kernel remembers of another. A thread waits for the rest.
#[derive(Clone, Debug)]
pub struct Directory {
    root: Arc<OwnedFd>,
    path: PathBuf,
    /// How a name is looked up without waiting.
    at_once: ResolveFlags,
}

impl Directory {
    /// Serves what is below `path`, also if `path` itself is renamed later.
    ///
    /// # Errors
    /// `path` is not a directory or may not be read.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = path.as_ref();
        let root = open(path, flags, Mode::empty()).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        let kind = fstatfs(&root).map_or(0, |system| system.f_type);
        let local = u32::try_from(kind).is_ok_and(|kind| LOCAL.contains(&kind));
        let at_once = if local { ResolveFlags::NO_XDEV } else { ResolveFlags::CACHED };
        Ok(Self { root: Arc::new(root), path: path.to_owned(), at_once })
    }

    /// The root, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_below(&self, path: &AssetPath, more: ResolveFlags) -> Result<Asset, Refusal> {
        // Without NONBLOCK, opening a FIFO would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | more;
        match openat2(&*self.root, path.as_str(), flags, Mode::empty(), within) {
            Ok(file) => Asset::file(File::from(file)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => Err(Refusal::NotFound),
            Err(Errno::XDEV | Errno::LOOP) => {
                Err(io::Error::other("the link leads out of the boot directory").into())
            }
            Err(error) => Err(io::Error::from(error).into()),
        }
    }
}

#[async_trait::async_trait]
impl Assets for Directory {
    async fn open(&self, path: &AssetPath, _: IpAddr) -> Result<Asset, Refusal> {
        match self.open_below(path, self.at_once) {
            // Not in memory, on another file system, out of the root, or broken: the full look tells.
            Err(Refusal::Unreadable(_)) => {}
            answer => return answer,
        }
        let (directory, path) = (self.clone(), path.clone());
        let open = move || directory.open_below(&path, ResolveFlags::empty());
        let opened = tokio::task::spawn_blocking(open).await;
        opened.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    async fn read(directory: &Directory, path: &str) -> Result<Vec<u8>, Refusal> {
        let path = path.parse().unwrap();
        let asset = directory.open(&path, IpAddr::from([10, 0, 0, 1])).await?;
        Ok(asset.read_at(0, 1024).await?.to_vec())
    }

    #[tokio::test]
    async fn serves_plain_files_below_the_root_only() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("sub/deep")).unwrap();
        fs::write(root.path().join("sub/kernel"), "kernel").unwrap();
        symlink("sub/kernel", root.path().join("vmlinuz")).unwrap();
        symlink("../kernel", root.path().join("sub/deep/up")).unwrap();
        symlink(outside.path().join("secret"), root.path().join("out")).unwrap();
        symlink(outside.path(), root.path().join("outdir")).unwrap();
        let climb = format!("../{}/secret", outside.path().file_name().unwrap().display());
        symlink(climb, root.path().join("climb")).unwrap();
        symlink("/proc/self/root/etc/passwd", root.path().join("magic")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, root.path().join("fifo"), Mode::RWXU).unwrap();
        let directory = Directory::open(root.path()).unwrap();

        for good in ["sub/kernel", "vmlinuz", "sub/deep/up"] {
            assert_eq!(read(&directory, good).await.unwrap(), b"kernel", "{good}");
        }
        for absent in ["none", "sub", "sub/kernel/x", "fifo"] {
            let refused = read(&directory, absent).await;
            assert!(matches!(refused, Err(Refusal::NotFound)), "{absent}: {refused:?}");
        }
        for outside in ["out", "outdir/secret", "climb", "magic"] {
            let refused = read(&directory, outside).await;
            assert!(matches!(refused, Err(Refusal::Unreadable(_))), "{outside}: {refused:?}");
        }
    }

    #[test]
    fn a_root_that_is_not_there_is_named() {
        let error = Directory::open("/none/such").unwrap_err().to_string();
        assert!(error.contains("/none/such"), "{error}");
    }
}
