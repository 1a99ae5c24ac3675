//! Fetching: one caller pumps the source into a blocking thread that writes and
//! digests; everyone else waits for the outcome.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::timeout;

use crate::cache::Shared;
use crate::index::EntryId;
use crate::{CacheError, Digest, Source, Stamp};

/// Pieces between the source and the disk: enough to keep both busy, small
/// beside the memory a fetch may take.
const PIECES: usize = 8;

/// What those who wait will read: nothing yet, then how it ended. A sender that
/// is dropped without a word means that its caller was cancelled.
pub(crate) type Outcome = Option<Result<(), CacheError>>;

/// The right and the duty to bring one entry in. Dropped without an outcome, the
/// entry is as it was: absent, or there and not verified.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) shared: Arc<Shared>,
    pub(crate) entry: EntryId,
    pub(crate) stem: String,
    pub(crate) outcome: watch::Sender<Outcome>,
}

impl Flight {
    /// It is there, with the content its description says.
    fn verified(self) {
        if let Some(entry) = self.shared.lock().index.get_mut(self.entry) {
            entry.verified = true;
        }
        self.outcome.send_replace(Some(Ok(())));
    }

    /// The data was written: gives it its name and its place in the index.
    fn publish(&self, part: crate::disk::Part, digest: Digest) -> Result<(), CacheError> {
        let mut state = self.shared.lock();
        let Some(entry) = state.index.get_mut(self.entry) else { return Ok(()) };
        entry.digest = Some(digest);
        entry.verified = true;
        let published =
            entry.meta().map_or(Ok(()), |meta| self.shared.disk.publish(part, &self.stem, &meta));
        if published.is_err() {
            entry.digest = None;
        }
        published
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.flights.remove(&self.entry);
        match state.index.get_mut(self.entry) {
            Some(entry) if entry.digest.is_some() => entry.busy = false,
            _ => state.index.remove(self.entry),
        }
        self.shared.sweep(&mut state, self.entry);
    }
}

/// What is to be fetched.
pub(crate) struct Order<'a> {
    pub(crate) origin: &'a str,
    pub(crate) size: u64,
    pub(crate) stamp: Stamp,
    pub(crate) expected: Option<Digest>,
    pub(crate) source: &'a dyn Source,
}

/// Brings the entry of `flight` in: verifies what is there, fetches what is not.
pub(crate) async fn lead(flight: Flight, order: Order<'_>) -> Result<(), CacheError> {
    if let Some(digest) = flight.shared.digest(flight.entry) {
        if intact(&flight, digest).await {
            flight.verified();
            return Ok(());
        }
        flight.shared.restart(&flight, &order)?;
    }
    let permit = flight.shared.permit().await;
    let ready = match permit {
        Some(permit) => {
            flight.shared.reserve(flight.entry, order.origin, order.size).map(|()| permit)
        }
        None => Err(CacheError::fetch(order.origin)(io::Error::other("the cache is closed"))),
    };
    match ready {
        Ok(permit) => fetch(flight, permit, order).await,
        Err(error) => {
            flight.outcome.send_replace(Some(Err(error.clone())));
            Err(error)
        }
    }
}

/// Whether the data on disk still has its digest; reads all of it.
pub(crate) async fn intact(flight: &Flight, digest: Digest) -> bool {
    let (shared, stem) = (Arc::clone(&flight.shared), flight.stem.clone());
    let found = tokio::task::spawn_blocking(move || shared.disk.digest(&stem)).await;
    let intact = matches!(&found, Ok(Ok(found)) if *found == digest);
    if !intact {
        tracing::warn!(file = flight.stem, expected = %digest, ?found, "a cached file is damaged: forgotten");
    }
    intact
}

/// For those who look up without a source: verifies, and forgets what is damaged.
pub(crate) async fn verify(flight: Flight, digest: Digest) {
    if intact(&flight, digest).await {
        flight.verified();
    } else {
        flight.shared.forget(flight.entry);
    }
}

enum Piece {
    Data(Bytes),
    End,
    Failed(CacheError),
}

async fn fetch(
    flight: Flight,
    permit: OwnedSemaphorePermit,
    order: Order<'_>,
) -> Result<(), CacheError> {
    let stall = flight.shared.limits.stall;
    let (pieces, received) = mpsc::channel(PIECES);
    let (origin, expected) = (order.origin.to_owned(), order.expected);
    // The thread owns the flight: if this future is cancelled it sees the
    // channel close, deletes what it wrote, and only then lets another begin.
    let writer = tokio::task::spawn_blocking(move || {
        let written = write(&flight, received, &origin, expected);
        if let Some(result) = &written {
            flight.outcome.send_replace(Some(result.clone()));
        }
        drop(flight);
        drop(permit);
        written
    });
    let last = match pump(&order, stall, &pieces).await {
        Ok(()) => Piece::End,
        Err(error) => Piece::Failed(error),
    };
    // A closed channel is a writer that failed: its own result says why.
    let _ = pieces.send(last).await;
    drop(pieces);
    match writer.await {
        Ok(Some(result)) => result,
        Ok(None) => {
            Err(CacheError::fetch(order.origin)(io::Error::other("the fetch was abandoned")))
        }
        Err(why) => Err(CacheError::fetch(order.origin)(io::Error::other(why))),
    }
}

/// Copies the source into the channel and holds it to the size it announced.
async fn pump(
    order: &Order<'_>,
    stall: Duration,
    pieces: &mpsc::Sender<Piece>,
) -> Result<(), CacheError> {
    let fail = |why: io::Error| CacheError::fetch(order.origin)(why);
    let stalled =
        |_| fail(io::Error::new(io::ErrorKind::TimedOut, format!("nothing came for {stall:?}")));
    let mut stream = timeout(stall, order.source.open()).await.map_err(stalled)?.map_err(fail)?;
    let mut left = order.size;
    while let Some(piece) = timeout(stall, stream.next()).await.map_err(stalled)? {
        let piece = piece.map_err(fail)?;
        left = left.checked_sub(piece.len() as u64).ok_or_else(|| {
            fail(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it sends more than the {} bytes it announced", order.size),
            ))
        })?;
        if pieces.send(Piece::Data(piece)).await.is_err() {
            return Ok(());
        }
    }
    if left > 0 {
        let why = format!("it ended {left} bytes before the {} it announced", order.size);
        return Err(fail(io::Error::new(io::ErrorKind::UnexpectedEof, why)));
    }
    Ok(())
}

/// Writes what comes. `None`: the caller was cancelled. On any other way out but
/// success, nothing of it is left on disk.
fn write(
    flight: &Flight,
    mut pieces: mpsc::Receiver<Piece>,
    origin: &str,
    expected: Option<Digest>,
) -> Option<Result<(), CacheError>> {
    let mut part = match flight.shared.disk.create(&flight.stem) {
        Ok(part) => part,
        Err(error) => return Some(Err(error)),
    };
    loop {
        match pieces.blocking_recv()? {
            Piece::Data(piece) => {
                if let Err(error) = part.write(&piece) {
                    return Some(Err(error));
                }
            }
            Piece::End => break,
            Piece::Failed(error) => return Some(Err(error)),
        }
    }
    Some(part.finish().and_then(|found| match expected {
        Some(expected) if expected != found => {
            Err(CacheError::DigestMismatch { origin: origin.to_owned(), expected, found })
        }
        _ => flight.publish(part, found),
    }))
}
