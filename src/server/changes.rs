//! Sees that files of the configuration have changed.

use futures_util::{Stream, StreamExt, stream};
use inotify::{Inotify, WatchMask, Watches};
use std::{io, path::Path, pin::Pin, time::Duration};
use tokio::time::{Instant, sleep_until};

/// An editor writes a file in several steps, a package many files: they are read when nothing has
/// changed for that long.
const QUIET: Duration = Duration::from_millis(500);

/// And after that long whatever happens.
const LONGEST: Duration = Duration::from_secs(5);

/// Bytes of a buffer of events: some hundred of them.
const BUFFER: usize = 16 << 10;

/// Changes in directories. Directories are watched and not files, because many programs put a new
/// file in the place of the old one.
pub(super) struct Changes {
    events: Pin<Box<dyn Stream<Item = io::Result<()>> + Send>>,
    watches: Option<Watches>,
}

impl Changes {
    /// Watches nothing yet. Where the system does not let us, it says so, and nothing is ever seen.
    pub(super) fn new() -> Self {
        match Self::begin() {
            Ok(changes) => changes,
            Err(error) => {
                tracing::warn!(%error, "changed files are not noticed: use `kadence reload`");
                Self { events: Box::pin(stream::pending()), watches: None }
            }
        }
    }

    fn begin() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let watches = Some(inotify.watches());
        let events = inotify.into_event_stream(vec![0; BUFFER])?;
        Ok(Self { events: Box::pin(events.map(|event| event.map(drop))), watches })
    }

    /// Watches `directory` as well. One that is watched already goes on being so.
    pub(super) fn watch(&mut self, directory: &Path) {
        // What was written is whole when its file is closed; reading changes nothing.
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE
            | WatchMask::ONLYDIR;
        let Some(watches) = &mut self.watches else { return };
        if let Err(error) = watches.add(directory, mask) {
            let directory = directory.display();
            tracing::warn!(%directory, %error, "changes there are not noticed: use `kadence reload`");
        }
    }

    /// Returns when something has changed and nothing changes any more.
    pub(super) async fn next(&mut self) {
        self.one().await;
        let last = Instant::now() + LONGEST;
        loop {
            let quiet = (Instant::now() + QUIET).min(last);
            tokio::select! {
                () = self.one() => {}
                () = sleep_until(quiet) => return,
            }
        }
    }

    async fn one(&mut self) {
        match self.events.next().await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "changed files are not noticed any more: use `kadence reload`");
                self.events = Box::pin(stream::pending());
                std::future::pending::<()>().await;
            }
            None => std::future::pending().await,
        }
    }
}
