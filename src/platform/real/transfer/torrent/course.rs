//! How the nodes of a swarm fare: what they tell, and what is made of it.

use super::{node::Peer, tracker::News};
use crate::platform::{Progress, TransferError};
use futures_util::stream::FuturesUnordered;
use std::{collections::BTreeMap, future::Future, pin::Pin, time::Duration};
use tokio::time::Instant;

/// A peer that did not announce itself for so long is gone.
const SILENCE: Duration = Duration::from_secs(60);

type Work<'p> = Pin<Box<dyn Future<Output = (usize, Done)> + Send + 'p>>;

/// Something that was done on a node.
pub(super) enum Done {
    /// Its engine was started, or was not.
    Started(Result<(), TransferError>),
    /// It comes to its end.
    Ended(Result<(), TransferError>),
}

/// How the nodes fare.
pub(super) struct Course<'p> {
    peers: &'p [Peer<'p>],
    /// Bytes of the file, and bound of the download.
    file: (u64, Duration),
    /// When downloads, and when all is to be over.
    bounds: (Instant, Instant),
    /// Those that load, and when they were last heard of.
    load: BTreeMap<usize, Instant>,
    /// What is being done on nodes.
    pub(super) under_way: FuturesUnordered<Work<'p>>,
    /// Those that are at their end.
    pub(super) ended: BTreeMap<usize, Result<(), TransferError>>,
}

impl<'p> Course<'p> {
    pub(super) fn new(
        peers: &'p [Peer<'p>],
        file: (u64, Duration),
        bounds: (Instant, Instant),
    ) -> Self {
        let now = Instant::now();
        let load = (0..peers.len()).map(|index| (index, now)).collect();
        let (under_way, ended) = (FuturesUnordered::new(), BTreeMap::new());
        Self { peers, file, bounds, load, under_way, ended }
    }

    /// Until when something must be heard, and of whom; nobody in particular where all that load
    /// have come to their end.
    pub(super) fn patience(&self) -> (Instant, Option<usize>) {
        let (late, until) = self.bounds;
        let next = self.load.iter().map(|(index, at)| ((*at + SILENCE).min(late), Some(*index)));
        next.min().unwrap_or((until, None))
    }

    pub(super) fn done(&mut self, index: usize, done: Done) {
        match done {
            Done::Started(Ok(())) => {
                if let Some(at) = self.load.get_mut(&index) {
                    *at = Instant::now();
                }
            }
            Done::Started(error @ Err(_)) => self.end(index, error),
            Done::Ended(end) => self.end(index, end),
        }
    }

    /// A peer announces itself.
    pub(super) fn told(&mut self, news: News, progress: &(dyn Fn(Progress) + Send + Sync)) {
        let News { peer: index, left, stopped } = news;
        // The server's own, or one that has the file.
        let Some(at) = self.load.get_mut(&index) else { return };
        *at = Instant::now();
        let total = self.file.0;
        progress(Progress { node: index, written: total.saturating_sub(left), total });
        let (peer, until) = (&self.peers[index], self.bounds.1);
        if left == 0 {
            self.load.remove(&index);
            let work = async move { (index, Done::Ended(peer.unpack(until).await)) };
            self.under_way.push(Box::pin(work));
        } else if stopped {
            self.gone(index);
        }
    }

    /// Nothing was heard of a peer for too long.
    pub(super) fn silence(&mut self, index: Option<usize>) {
        let (late, until) = self.bounds;
        match index {
            None => self.all_end(&TransferError::Deadline(self.file.1)),
            Some(_) if Instant::now() >= until => {
                self.all_end(&TransferError::Deadline(self.file.1));
            }
            Some(index) if Instant::now() >= late => {
                self.end(index, Err(TransferError::Deadline(self.file.1)));
            }
            Some(index) => self.gone(index),
        }
    }

    /// All that are not at their end come to this one.
    pub(super) fn all_end(&mut self, error: &TransferError) {
        for index in 0..self.peers.len() {
            self.end(index, Err(error.clone()));
        }
    }

    /// The engine of a node is gone: it is asked what it said.
    fn gone(&mut self, index: usize) {
        self.load.remove(&index);
        let (peer, until) = (&self.peers[index], self.bounds.1);
        let work = async move { (index, Done::Ended(Err(peer.complaint(until).await))) };
        self.under_way.push(Box::pin(work));
    }

    fn end(&mut self, index: usize, end: Result<(), TransferError>) {
        self.load.remove(&index);
        self.ended.entry(index).or_insert(end);
    }
}
