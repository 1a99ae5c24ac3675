//! What nodes print on their consoles while they are deployed, kept.
//!
//! The recorder hears of operations by the stream of events, as any listener does: no deployment
//! waits for it, and none fails because of it. A node is recorded from its first step until it has
//! ended. Where its console cannot be had the log says so, once for each operation. `file` is what
//! is written; `shelf` where it lies.
//!
//! Many BMCs have one console for one person. Somebody who attaches to a node that is recorded
//! gets it: the recorder leaves, and what he sees is recorded.

mod file;
mod shelf;
#[cfg(test)]
mod tests;

pub use shelf::Shelf;

use crate::{
    nodes::Node,
    operations::{Operations, Told},
    platform::{Console, Listener},
    types::{ConsoleLog, EventBody, Kind},
};
use file::Recording;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{broadcast, broadcast::error::RecvError, mpsc, oneshot, watch},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Consoles that are recorded at once: each may be a process.
const MOST: usize = 2000;

/// A console that ended is listened to again after so long: a BMC that starts anew drops it.
const AGAIN: Duration = Duration::from_secs(10);

/// How long the last words of a node are waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Pieces that a person's console may have said and that are not written yet.
const QUEUE: usize = 256;

/// Records consoles.
pub struct Recorder {
    shelf: Shelf,
    operations: Operations,
    table: Mutex<Table>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Default)]
struct Table {
    live: HashMap<String, Live>,
    /// Operations of which the log has said that a console cannot be had.
    complained: HashSet<String>,
}

/// A console that is recorded.
struct Live {
    wid: String,
    end: CancellationToken,
    /// How far it is; closed where there is nothing to record.
    place: watch::Receiver<u64>,
    person: mpsc::Sender<Word>,
}

/// What a person's console tells the recorder of the same node.
enum Word {
    /// To be answered when nobody else is at the console.
    Taken(oneshot::Sender<()>),
    Heard(Vec<u8>),
    Left,
}

/// The console of a node that is recorded, in the hands of a person.
pub(super) struct Loan(mpsc::Sender<Word>);

impl Loan {
    /// The person saw this.
    pub(super) fn heard(&self, piece: &[u8]) {
        // What a slow disk does not take is not recorded; the person sees it.
        let _ = self.0.try_send(Word::Heard(piece.to_vec()));
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // With a full queue the recorder listens again after its next piece.
        let _ = self.0.try_send(Word::Left);
    }
}

/// Everything from now on.
pub struct Ear(broadcast::Receiver<Told>);

impl Recorder {
    /// Records on `shelf`, what is done by `operations`.
    pub fn new(shelf: Shelf, operations: &Operations) -> (Arc<Self>, Ear) {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let ear = Ear(operations.means().stream.listen());
        let operations = operations.clone();
        (Arc::new(Self { shelf, operations, table: Mutex::default(), tasks, stop }), ear)
    }

    /// Records until `stop`, then ends what is recorded.
    pub async fn serve(self: Arc<Self>, mut ear: Ear, stop: CancellationToken) {
        loop {
            tokio::select! {
                told = ear.0.recv() => match told {
                    Ok(told) => self.hear(&told),
                    // Ends may have been missed; what goes on begins again with its next step.
                    Err(RecvError::Lagged(_)) => self.end(|_, _| true),
                    Err(RecvError::Closed) => break,
                },
                () = stop.cancelled() => break,
            }
        }
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What was recorded of `node`: the newest, or the one so many before it. With `since` only
    /// what comes behind that place; where nothing does and the node is recorded it is waited for,
    /// for `patience`.
    ///
    /// # Errors
    /// The files cannot be read.
    pub async fn read(
        &self,
        node: &str,
        back: usize,
        since: u64,
        patience: Duration,
    ) -> std::io::Result<Option<ConsoleLog>> {
        let live = || {
            let table = self.table();
            let place = table.live.get(node).filter(|_| back == 0).map(|live| live.place.clone());
            place.filter(|place| place.has_changed().is_ok())
        };
        if let Some(mut place) = live().filter(|_| !patience.is_zero()) {
            // Its end is news as well.
            let _ = timeout(patience, place.wait_for(|place| *place != since)).await;
        }
        let live = live().is_some();
        let (shelf, node) = (self.shelf.clone(), node.to_owned());
        let read = move || shelf.read(&node, back, since);
        let read = tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)??;
        Ok(read.map(|kept| ConsoleLog { live, ..kept }))
    }

    /// A person takes the console of `node`, if it is recorded.
    pub(super) async fn lend(&self, node: &str) -> Option<Loan> {
        let person = self.table().live.get(node)?.person.clone();
        let (answer, free) = oneshot::channel();
        person.try_send(Word::Taken(answer)).ok()?;
        // Where the recorder does not leave in time, the site's command says whether it matters.
        let _ = timeout(LAST_WORDS, free).await;
        Some(Loan(person))
    }

    fn hear(self: &Arc<Self>, told: &Told) {
        let event = &told.event;
        if event.kind != Kind::Deploy {
            return;
        }
        match &event.body {
            EventBody::StepStarted { nodes, .. } => {
                for node in nodes {
                    self.begin(node, &event.wid, &told.owner);
                }
            }
            EventBody::NodeEnded { node, .. } => {
                self.end(|name, live| name == node && live.wid == event.wid);
            }
            EventBody::Ended { .. } => {
                self.end(|_, live| live.wid == event.wid);
                self.table().complained.remove(&event.wid);
            }
            _ => {}
        }
    }

    /// Each takes itself out of the table when it has heard the last words.
    fn end(&self, whose: impl Fn(&str, &Live) -> bool) {
        let table = self.table();
        let ending = table.live.iter().filter(|(node, live)| whose(node, live));
        ending.for_each(|(_, live)| live.end.cancel());
    }

    fn begin(self: &Arc<Self>, node: &str, wid: &str, owner: &str) {
        let mut table = self.table();
        let known = table.live.get(node).filter(|live| !live.end.is_cancelled());
        if known.is_some_and(|live| live.wid == wid) {
            return;
        }
        let (site, ports) = self.operations.means().premises.both();
        let Some(found) = site.inventory.get(node) else { return };
        if table.live.len() >= MOST {
            drop(table);
            return self.complain(wid, node, &format!("{MOST} are recorded already"));
        }
        let (end_of, place) = watch::channel(0);
        let (person, words) = mpsc::channel(QUEUE);
        let end = self.stop.child_token();
        let live = Live { wid: wid.to_owned(), end: end.clone(), place, person };
        if let Some(before) = table.live.insert(node.to_owned(), live) {
            before.end.cancel();
        }
        drop(table);
        let tape = Tape { node: Arc::clone(found), wid: wid.to_owned(), owner: owner.to_owned() };
        let (recorder, console) = (Arc::clone(self), ports.console);
        self.tasks.spawn(async move {
            let recorded = recorder.record(&tape, console, end_of, words, &end).await;
            if let Err(error) = recorded {
                recorder.complain(&tape.wid, &tape.node.name, &error.to_string());
            }
            end.cancel();
            // Unless another operation has taken the node.
            recorder.table().live.retain(|name, live| {
                *name != tape.node.name || live.wid != tape.wid || !live.end.is_cancelled()
            });
        });
    }

    /// Says once for each operation that a console cannot be had. The deployment goes on.
    fn complain(&self, wid: &str, node: &str, why: &str) {
        if self.table().complained.insert(wid.to_owned()) {
            tracing::warn!(wid, node, why, "a console cannot be recorded; the deployment goes on");
        }
    }

    /// Until the node has ended. An error is one of the file.
    async fn record(
        &self,
        tape: &Tape,
        console: Arc<dyn Console>,
        place: watch::Sender<u64>,
        mut words: mpsc::Receiver<Word>,
        end: &CancellationToken,
    ) -> std::io::Result<()> {
        let (mut recording, mut place) = (None, Some(place));
        while !end.is_cancelled() {
            let mut listener = match console.listen(&tape.node).await {
                // A site without consoles has none to record.
                Ok(None) => return Ok(()),
                Ok(Some(listener)) => listener,
                Err(error) => {
                    self.complain(&tape.wid, &tape.node.name, &error.to_string());
                    end.run_until_cancelled(sleep(AGAIN)).await;
                    continue;
                }
            };
            if let Some(place) = place.take() {
                let begun = self.shelf.begin(&tape.node.name, &tape.wid, &tape.owner, place);
                recording = Some(begun.await?);
            }
            let Some(recording) = &mut recording else { return Ok(()) };
            match turn(&mut *listener, recording, &mut words, end).await? {
                Turn::Over => return Ok(()),
                Turn::Taken(answer) => {
                    drop(listener);
                    // He may have left already.
                    let _ = answer.send(());
                    lent(recording, &mut words, end).await?;
                }
                Turn::Silent if end.is_cancelled() => return Ok(()),
                Turn::Silent => {
                    self.complain(&tape.wid, &tape.node.name, "its command has ended");
                    end.run_until_cancelled(sleep(AGAIN)).await;
                }
            }
        }
        Ok(())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is recorded, for whom.
struct Tape {
    node: Arc<Node>,
    wid: String,
    owner: String,
}

/// Why nobody listens any more.
enum Turn {
    /// The node has ended.
    Over,
    /// A person took the console, and waits for this.
    Taken(oneshot::Sender<()>),
    /// The console ended by itself.
    Silent,
}

/// Writes down what `listener` hears.
async fn turn(
    listener: &mut dyn Listener,
    recording: &mut Recording,
    words: &mut mpsc::Receiver<Word>,
    end: &CancellationToken,
) -> std::io::Result<Turn> {
    loop {
        tokio::select! {
            piece = listener.next() => match piece {
                Some(piece) => recording.write(&piece)?,
                None => return Ok(Turn::Silent),
            },
            Some(word) = words.recv() => match word {
                Word::Taken(answer) => return Ok(Turn::Taken(answer)),
                Word::Heard(piece) => recording.write(&piece)?,
                Word::Left => {}
            },
            () = end.cancelled() => break,
        }
    }
    let deadline = Instant::now() + LAST_WORDS;
    while let Ok(Some(piece)) = timeout_at(deadline, listener.next()).await {
        recording.write(&piece)?;
    }
    Ok(Turn::Over)
}

/// Writes down what a person sees until he has left or the node has ended.
async fn lent(
    recording: &mut Recording,
    words: &mut mpsc::Receiver<Word>,
    end: &CancellationToken,
) -> std::io::Result<()> {
    loop {
        tokio::select! {
            word = words.recv() => match word {
                Some(Word::Heard(piece)) => recording.write(&piece)?,
                Some(Word::Taken(answer)) => drop(answer.send(())),
                Some(Word::Left) | None => return Ok(()),
            },
            () = end.cancelled() => return Ok(()),
        }
    }
}
