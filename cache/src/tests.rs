//! The cache in real directories, with sources that count, wait and fail.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::*;

mod policy;
mod restart;
mod sharing;

/// Longer than any busy machine needs.
const PATIENCE: Duration = Duration::from_secs(120);

fn limits(size: u64) -> Limits {
    Limits { size, concurrency: 4, stall: PATIENCE }
}

fn cache(size: u64) -> (TempDir, Cache) {
    let directory = TempDir::new().unwrap();
    let cache = Cache::open(directory.path(), limits(size)).unwrap();
    (directory, cache)
}

fn request(name: &str, priority: Priority, wid: &str) -> Request {
    let key = Key {
        origin: format!("server:///srv/{name}"),
        owner: "ann".into(),
        version: "deb/1".into(),
        tag: "tarball".into(),
    };
    Request { key, priority, wid: wid.into(), digest: None }
}

fn names(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Bytes of data in the directory, finished and unfinished.
fn data_bytes(directory: &Path) -> u64 {
    let of_data = |name: &str| name.contains(".data");
    let size = |name: String| fs::metadata(directory.join(name)).map_or(0, |found| found.len());
    names(directory).into_iter().filter(|name| of_data(name)).map(size).sum()
}

/// Called with each piece before it is sent.
type Probe = Arc<dyn Fn() + Send + Sync>;

/// A source in memory.
#[derive(Clone)]
struct Memory {
    content: Vec<u8>,
    announced: u64,
    stamp: Stamp,
    opened: Arc<AtomicUsize>,
    /// Permits to send one piece; `None`: no waiting.
    gate: Option<Arc<Semaphore>>,
    /// Fails after its content.
    fails: bool,
    probe: Probe,
}

impl Memory {
    fn new(content: impl Into<Vec<u8>>) -> Self {
        let content = content.into();
        let stamp =
            Stamp { etag: Some(format!("\"{}\"", Digest::of(&content))), ..Stamp::default() };
        Self {
            announced: content.len() as u64,
            content,
            stamp,
            opened: Arc::default(),
            gate: None,
            fails: false,
            probe: Arc::new(|| ()),
        }
    }

    fn gated(self) -> (Self, Arc<Semaphore>) {
        let gate = Arc::new(Semaphore::new(0));
        (Self { gate: Some(Arc::clone(&gate)), ..self }, gate)
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Source for Memory {
    fn size(&self) -> u64 {
        self.announced
    }

    fn stamp(&self) -> Stamp {
        self.stamp.clone()
    }

    async fn open(&self) -> io::Result<ByteStream> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let mut pieces: Vec<io::Result<Bytes>> =
            self.content.chunks(10).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        if self.fails {
            pieces.push(Err(io::Error::other("the wire was cut")));
        }
        let (gate, probe) = (self.gate.clone(), Arc::clone(&self.probe));
        Ok(Box::pin(stream::iter(pieces).then(move |piece| {
            let (gate, probe) = (gate.clone(), Arc::clone(&probe));
            async move {
                if let Some(gate) = gate {
                    gate.acquire().await.map_err(io::Error::other)?.forget();
                }
                probe();
                piece
            }
        })))
    }
}
