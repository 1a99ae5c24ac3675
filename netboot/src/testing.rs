//! What the tests of both file servers start from.

use crate::{
    AssetPath, BootService, Directory, Event, Known, Outcome, ProfileTable, Routes, Stage,
};
use std::{fs, net::IpAddr, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{sync::broadcast, time::timeout};

/// Far beyond what any step of a test takes, on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A directory and a table, served to 127.0.0.1.
pub(crate) struct Site {
    pub(crate) root: TempDir,
    pub(crate) table: Arc<ProfileTable>,
    pub(crate) known: Arc<Known>,
    pub(crate) service: BootService,
    events: broadcast::Receiver<Event>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let table = Arc::new(ProfileTable::default());
        let directory = Arc::new(Directory::open(root.path()).unwrap());
        let routes = Routes::new(vec![Arc::clone(&table) as _, directory]);
        let known = Arc::new(Known::new([LOCAL]));
        let (watcher, events) = broadcast::channel(8192);
        let service = BootService::new(Arc::new(routes), Arc::clone(&known), Arc::new(watcher));
        Self { root, table, known, service, events }
    }

    pub(crate) fn file(&self, name: &str, content: &[u8]) {
        fs::write(self.root.path().join(name), content).unwrap();
    }

    pub(crate) fn profile(&self, name: &str, text: &str) {
        self.table.set(LOCAL, name.parse::<AssetPath>().unwrap(), text);
    }

    pub(crate) async fn event(&mut self) -> Event {
        timeout(PATIENCE, self.events.recv()).await.expect("an event").unwrap()
    }

    /// How the next request ends, and with how many bytes.
    pub(crate) async fn end(&mut self) -> (Outcome, u64) {
        loop {
            if let Stage::Ended { outcome, bytes, .. } = self.event().await.stage {
                return (outcome, bytes);
            }
        }
    }

    /// Events that were not read yet.
    pub(crate) fn unread(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }
}

pub(crate) const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// `len` bytes that repeat nowhere near a block or a piece.
pub(crate) fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}
