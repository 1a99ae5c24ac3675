//! A broadcast by torrents (`external/bittorrent`).
//!
//! The engine is `aria2c`, on the server and on the nodes; the tracker is ours, so that what
//! peers announce tells how far each node is and nobody has to be asked. A node that has the
//! whole file unpacks it at once, and goes on to give it to the others until all have it.

mod course;
mod metainfo;
mod node;
mod tracker;

use crate::platform::{Progress, Receiver, Shell, Torrent, TransferError, TransferJob};
use course::{Course, Done};
use futures_util::StreamExt;
use metainfo::Info;
use node::Peer;
use std::{collections::BTreeMap, os::unix::fs::symlink, path::Path, process::Stdio};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Duration, Instant, sleep_until},
};
use tracker::Tracker;

/// The engine.
const PROGRAM: &str = "aria2c";

/// How long what runs on the nodes may take to be ended.
const END_LIMIT: Duration = Duration::from_secs(20);

type Results = BTreeMap<String, Result<(), TransferError>>;

/// Runs the broadcast; one result per node.
pub(super) async fn broadcast(
    shell: &dyn Shell,
    job: &TransferJob,
    torrent: &Torrent,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Results {
    let result = |error: &TransferError| {
        let all = job.receivers.iter();
        all.map(|one| (one.node.name.clone(), Err(error.clone()))).collect()
    };
    match Swarm::start(shell, job, torrent).await {
        Err(error) => result(&error),
        Ok(mut swarm) => {
            let results = swarm.run(progress).await;
            swarm.end().await;
            results
        }
    }
}

/// One broadcast under way.
struct Swarm<'a> {
    job: &'a TransferJob,
    peers: Vec<Peer<'a>>,
    info: Info,
    tracker: Tracker,
    download: Duration,
    until: Instant,
    seed: Child,
    _folder: TempDir,
}

impl<'a> Swarm<'a> {
    async fn start(
        shell: &'a dyn Shell,
        job: &'a TransferJob,
        torrent: &Torrent,
    ) -> Result<Self, TransferError> {
        let began = Instant::now();
        let start = |why: String| TransferError::Start(why);
        let name = job.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (file, called) = (job.file.clone(), name.clone());
        let info = tokio::task::spawn_blocking(move || Info::of(&file, &called)).await;
        let info = info
            .map_err(|error| start(error.to_string()))?
            .map_err(|error| start(format!("cannot read {}: {error}", job.file.display())))?;
        let tracker = Tracker::start(torrent.tracker, info.hash).await;
        let tracker = tracker.map_err(|error| {
            let at = torrent.tracker;
            start(format!("no tracker at {at} (external/bittorrent/tracker_ip): {error}"))
        })?;
        let folder = tempfile::tempdir().map_err(|error| start(error.to_string()))?;
        let own = info.torrent(&tracker.announce(job.receivers.len()));
        let seed = seed(folder.path(), &job.file, &name, &own)?;
        let peer = |one: &'a Receiver| Peer::new(shell, one, &torrent.directory, &name, info.hash);
        let peers = job.receivers.iter().map(peer).collect();
        let download = torrent.limit.min(job.deadline);
        let until = began + job.deadline;
        Ok(Self { job, peers, info, tracker, download, until, seed, _folder: folder })
    }

    async fn run(&mut self, progress: &(dyn Fn(Progress) + Send + Sync)) -> Results {
        let Self { peers, tracker, seed, info, until, .. } = self;
        let late = Instant::now() + self.download;
        let mut course = Course::new(peers, (info.length, self.download), (late, *until));
        for (index, peer) in peers.iter().enumerate() {
            let torrent = info.torrent(&tracker.announce(index));
            let started = peer.start(torrent, *until);
            course.under_way.push(Box::pin(async move { (index, Done::Started(started.await)) }));
        }
        while course.ended.len() < peers.len() {
            let (at, silent) = course.patience();
            tokio::select! {
                biased;
                Some((index, done)) = course.under_way.next() => course.done(index, done),
                Some(news) = tracker.news.recv() => course.told(news, progress),
                _ = seed.wait() => course.all_end(&TransferError::Stream(format!(
                    "{PROGRAM} ended on the server"
                ))),
                () = sleep_until(at) => course.silence(silent),
            }
        }
        let names = self.job.receivers.iter().map(|one| one.node.name.clone());
        names.zip(course.ended.into_values()).collect()
    }

    /// Ends what runs on the server and on the nodes.
    async fn end(mut self) {
        // It fails where it has ended.
        self.seed.start_kill().ok();
        let ends = self.peers.iter().map(|peer| peer.end(END_LIMIT));
        futures_util::future::join_all(ends).await;
        self.seed.wait().await.ok();
    }
}

/// The program on the server that has the whole file. Beside a link to it, so that what it notes
/// about its work is not left in the cache.
fn seed(folder: &Path, file: &Path, name: &str, torrent: &[u8]) -> Result<Child, TransferError> {
    let start = |why: std::io::Error| TransferError::Start(format!("cannot seed: {why}"));
    let own = folder.join("kadence.torrent");
    std::fs::write(&own, torrent).map_err(start)?;
    symlink(file, folder.join(name)).map_err(start)?;
    let mut command = Command::new(PROGRAM);
    command.args(OPTIONS).arg("--bt-seed-unverified=true").arg("--dir").arg(folder);
    // Where the service is killed nobody else would end it.
    command.arg(format!("--stop-with-process={}", std::process::id())).arg(&own);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => TransferError::Start(format!(
            "{PROGRAM} is not installed on the server: install the package aria2, or take another \
             instance of BroadcastEnv"
        )),
        _ => start(error),
    })
}

/// What the engine is told everywhere: it gives for ever, to peers of our tracker alone, and
/// neither asks nor tells anybody else.
const OPTIONS: [&str; 11] = [
    "--no-conf=true",
    "--quiet=true",
    "--seed-ratio=0.0",
    "--file-allocation=none",
    "--enable-dht=false",
    "--enable-dht6=false",
    "--bt-enable-lpd=false",
    "--enable-peer-exchange=false",
    "--allow-overwrite=true",
    "--bt-max-peers=0",
    "--bt-request-peer-speed-limit=1000M",
];

#[cfg(test)]
mod swarm;
#[cfg(test)]
mod tests;
