//! Where a lab keeps its things.
//!
//! ```text
//! STATE/lab.json           the plan
//!       keeper.json        the keeper's process, and those it started
//!       keeper.log         what the keeper and its programs said
//!       control            the keeper's socket
//!       secrets/           password of the BMCs (0600)
//!       keys/              ssh key pair of the lab's user
//!       nodes/node-N/      disk, UEFI variables, console.log, sockets
//!       bmcs/              files of the BMC emulators
//!       config/            what `kadence lab config` writes
//! ```

use super::{LabError, Plan, error::Context};
use std::path::{Path, PathBuf};

/// Name of the lab when none is given.
pub const DEFAULT_NAME: &str = "kadence-lab";
/// What a lab keeps in its directory, and so all that `down` removes.
const ENTRIES: [&str; 9] = [
    "lab.json",
    "keeper.json",
    "keeper.log",
    "control",
    "secrets",
    "keys",
    "nodes",
    "bmcs",
    "config",
];
/// Longest path of the state directory: a socket below it must fit into `sun_path` (unix(7), 108 bytes).
const MAX_PATH: usize = 75;

/// A lab's name and places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    name: String,
    dir: PathBuf,
    program: PathBuf,
}

impl Place {
    /// The lab `name` with its state in `dir` (by default below the user's state directory);
    /// its keeper runs `program`, this executable.
    pub fn new(name: &str, dir: Option<PathBuf>, program: PathBuf) -> Result<Self, LabError> {
        let refuse = |what, value: String, reason: &str| {
            Err(LabError::Argument { what, value, reason: reason.into() })
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(plain) || name.starts_with('-') {
            return refuse("name of a lab", name.into(), "up to 40 of a-z, 0-9 and -");
        }
        let dir = match dir {
            Some(dir) => {
                std::path::absolute(dir).context(|| "finding the state directory".into())?
            }
            None => default_dir(name)?,
        };
        let text = dir.to_string_lossy();
        if text.len() > MAX_PATH
            || text.contains(|c: char| !c.is_ascii_graphic() || "\"',\\".contains(c))
        {
            return refuse("state directory", text.into(), "at most 75 plain characters");
        }
        Ok(Self { name: name.into(), dir, program })
    }

    /// Name of the lab and of its network namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The state directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The executable that is the keeper and the helper of the BMCs.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Where `entry` is.
    pub(super) fn at(&self, entry: &str) -> PathBuf {
        self.dir.join(entry)
    }

    /// The private key that users of the lab log in with.
    pub fn user_key(&self) -> PathBuf {
        self.at("keys/id_ed25519")
    }

    /// File with the password of every BMC.
    pub fn bmc_password(&self) -> PathBuf {
        self.at("secrets/bmc")
    }

    /// Files of one node.
    pub fn node(&self, name: &str) -> PathBuf {
        self.at("nodes").join(name)
    }

    /// The keeper's socket.
    pub(super) fn control(&self) -> PathBuf {
        self.at("control")
    }

    /// Files that programs inside the namespace see in /etc (ip-netns(8)).
    pub(super) fn etc(&self) -> PathBuf {
        Path::new("/etc/netns").join(&self.name)
    }

    /// The lab that is here.
    pub fn plan(&self) -> Result<Plan, LabError> {
        let found = Plan::load(&self.at("lab.json"))?.filter(|plan| plan.name == self.name);
        found.ok_or_else(|| LabError::NoLab { dir: self.dir.clone() })
    }

    /// Makes the directories, for root alone.
    pub(super) fn make(&self) -> Result<(), LabError> {
        use std::os::unix::fs::DirBuilderExt;
        for dir in ["", "secrets", "keys", "nodes", "bmcs"] {
            let dir = self.dir.join(dir);
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
            made.context(|| format!("making {}", dir.display()))?;
        }
        Ok(())
    }

    /// Removes everything a lab has here, and the directory if nothing else is in it.
    pub(super) fn clear(&self) -> Result<(), LabError> {
        let dirs = [self.etc()];
        for path in ENTRIES.iter().map(|entry| self.dir.join(entry)).chain(dirs) {
            let removed = match path.symlink_metadata() {
                Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(&path),
                Ok(_) => std::fs::remove_file(&path),
                Err(_) => continue,
            };
            removed.context(|| format!("removing {}", path.display()))?;
        }
        // Something of somebody else may be in it.
        let _ = std::fs::remove_dir(&self.dir);
        Ok(())
    }
}

fn default_dir(name: &str) -> Result<PathBuf, LabError> {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    let base = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(home);
    let base = base.ok_or_else(|| LabError::Argument {
        what: "state directory",
        value: String::new(),
        reason: "neither XDG_STATE_HOME nor HOME is set: give --state-dir".into(),
    })?;
    let folder =
        if name == DEFAULT_NAME { PathBuf::from("lab") } else { Path::new("labs").join(name) };
    Ok(base.join("kadence").join(folder))
}

/// The user's cache of downloaded and built things: `~/.cache/kadence`.
pub fn cache_dir() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    base.unwrap_or_else(|| "/var/cache".into()).join("kadence")
}

/// Writes `text` to `path` for root alone.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), LabError> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, dir: &str) -> Result<Place, LabError> {
        Place::new(name, Some(dir.into()), "/usr/bin/kadence".into())
    }

    #[test]
    fn names_and_directories_that_cannot_be_used_are_refused() {
        for name in ["", "../x", "-x", "a b", "X"] {
            assert!(place(name, "/tmp/x").is_err(), "{name}");
        }
        let long = "/tmp/".to_owned() + &"x".repeat(80);
        for dir in ["/tmp/a b", "/tmp/a,b", "/tmp/a\"b", &long] {
            assert!(place("x", dir).is_err(), "{dir}");
        }
    }

    #[test]
    fn clearing_leaves_what_is_not_the_labs() {
        let dir = tempfile::tempdir().unwrap();
        let place = place("clear-test", &dir.path().join("lab").to_string_lossy()).unwrap();
        place.make().unwrap();
        write_private(&place.bmc_password(), "secret").unwrap();
        std::fs::write(place.at("mine.txt"), "kept").unwrap();
        place.clear().unwrap();
        let left: Vec<_> = std::fs::read_dir(place.dir()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        std::fs::remove_file(place.at("mine.txt")).unwrap();
        place.clear().unwrap();
        assert!(!place.dir().exists());
        assert!(matches!(place.plan(), Err(LabError::NoLab { .. })));
    }
}
