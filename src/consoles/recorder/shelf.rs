//! Where recordings lie: `<directory>/<node>/0.log` is the newest, `1.log` the one before it.

use super::file::{Head, Recording, read};
use crate::types::ConsoleLog;
use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::{Semaphore, watch};

/// Recordings that are begun at once. A deployment begins a thousand: a thread for each would wait for
/// the lock of one directory, and keep the processor from what users ask meanwhile.
const AT_ONCE: usize = 2;

/// A directory of recordings.
#[derive(Clone, Debug)]
pub struct Shelf {
    directory: PathBuf,
    limit: u64,
    keep: usize,
    beginning: Arc<Semaphore>,
}

impl Shelf {
    /// Recordings in `directory`, `keep` of each node, none longer than `limit` bytes.
    pub fn new(directory: &Path, limit: u64, keep: usize) -> Self {
        let beginning = Arc::new(Semaphore::new(AT_ONCE));
        Self { directory: directory.to_owned(), limit, keep: keep.max(1), beginning }
    }

    /// Begins a recording of `node`, or goes on with the one of the same operation.
    pub(super) async fn begin(
        &self,
        node: &str,
        wid: &str,
        user: &str,
        end: watch::Sender<u64>,
    ) -> io::Result<Recording> {
        let (shelf, folder) = (self.clone(), self.folder(node)?);
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let head = Head { wid: wid.to_owned(), user: user.to_owned(), begun, cut: 0 };
        let _turn = self.beginning.acquire().await.map_err(io::Error::other)?;
        let begin = move || shelf.begin_in(&folder, head, end);
        tokio::task::spawn_blocking(begin).await.map_err(io::Error::other)?
    }

    fn begin_in(
        &self,
        folder: &Path,
        head: Head,
        end: watch::Sender<u64>,
    ) -> io::Result<Recording> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let newest = folder.join("0.log");
        if read(&newest).is_ok_and(|(there, _)| there.wid != head.wid) {
            for age in (0..self.keep - 1).rev() {
                let name = |age: usize| folder.join(format!("{age}.log"));
                match fs::rename(name(age), name(age + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Recording::open(&newest, head, self.limit, end)
    }

    /// The recording of `node` that is `back` older than the newest, from the place `since` on.
    /// None if there is no such recording.
    pub(super) fn read(
        &self,
        node: &str,
        back: usize,
        since: u64,
    ) -> io::Result<Option<ConsoleLog>> {
        let (head, body) = match read(&self.folder(node)?.join(format!("{back}.log"))) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let next = head.cut + body.len() as u64;
        // A place that is not there yet is of an older recording.
        let from = if since > next { 0 } else { since.saturating_sub(head.cut) };
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(body.len());
        Ok(Some(ConsoleLog {
            node: node.to_owned(),
            wid: head.wid,
            user: head.user,
            begun: head.begun,
            live: false,
            next,
            text: String::from_utf8_lossy(&body[from..]).into_owned(),
        }))
    }

    /// Where the recordings of `node` are. A name that is no word of a host leads nowhere.
    fn folder(&self, node: &str) -> io::Result<PathBuf> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if node.is_empty() || node.starts_with('.') || !node.chars().all(fits) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no name of a node"));
        }
        Ok(self.directory.join(node))
    }
}
