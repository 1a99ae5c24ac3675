//! The transfer port over the relay; and by a command of the site's ([`site`]) or torrents
//! ([`torrent`]), where it is to be so.
//!
//! [`launch`] puts `kadence-relay` onto a node and starts it, by two or three short shell
//! commands; no shell stays open. The rest is [`relay::source`]: the nodes join over TCP,
//! the file flows through them, and each says what came of it.

mod launch;
mod site;
mod torrent;

use crate::{
    nodes::Node,
    platform::{Carrier, Errand, Progress, Receiver, Shell, Transfer, TransferError, TransferJob},
};
use launch::{Launcher, Program};
use relay::{
    message::Timing,
    source::{self, Broadcast, Failure, Member, Report, Shape},
};
use std::{
    collections::BTreeMap,
    future::pending,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{net::TcpListener, sync::OnceCell};

/// How broadcasts are done at a site.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// The relay for the nodes, on the server; `relay/build` makes it.
    pub program: PathBuf,
    /// Where the server listens during a broadcast; port 0 lets the system choose, and
    /// lets several broadcasts run at once.
    pub listen: SocketAddr,
    /// The server's address as the nodes reach it.
    pub advertised: IpAddr,
    /// Folders on the nodes to keep the relay in, in order of preference. The relay goes
    /// into a folder of its own there that only root can write to.
    pub folders: Vec<String>,
    /// When a node counts as dead.
    pub timing: Timing,
    /// Bytes of a block.
    pub block: usize,
    /// Blocks in the ring of each node.
    pub ring: usize,
    /// Who hands the stream to whom.
    pub shape: Shape,
    /// Most bytes per second on each connection.
    pub rate: Option<u64>,
    /// Most bytes per second that the server sends in one broadcast.
    pub total_rate: Option<u64>,
}

impl RelaySettings {
    /// The usual settings for a server that the nodes reach at `address`.
    pub fn new(program: PathBuf, address: IpAddr) -> Self {
        Self {
            program,
            listen: SocketAddr::new(address, 0),
            advertised: address,
            folders: vec!["/run".into(), "/tmp".into()],
            timing: Timing::default(),
            block: source::DEFAULT_BLOCK,
            ring: source::DEFAULT_RING,
            shape: Shape::default(),
            rate: None,
            total_rate: None,
        }
    }
}

/// Broadcasts through a pipeline of relays.
pub struct RelayTransfer {
    shell: Arc<dyn Shell>,
    settings: RelaySettings,
    program: OnceCell<Program>,
}

impl RelayTransfer {
    /// Broadcasts as `settings` say, with relays started over `shell`.
    pub fn new(shell: Arc<dyn Shell>, settings: RelaySettings) -> Self {
        Self { shell, settings, program: OnceCell::new() }
    }

    async fn program(&self) -> &Program {
        self.program.get_or_init(|| Program::load(&self.settings.program)).await
    }

    /// Runs the broadcast; an error is everyone's.
    async fn attempt(
        &self,
        job: &TransferJob,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Report, TransferError> {
        let settings = &self.settings;
        let listener = listen(settings.listen).await?;
        let port = listener.local_addr().map_or(settings.listen.port(), |at| at.port());
        let total = tokio::fs::metadata(&job.file).await.map_or(0, |file| file.len());
        let broadcast = Broadcast {
            file: job.file.clone(),
            members: job.receivers.iter().map(member).collect(),
            server: SocketAddr::new(settings.advertised, port),
            deadline: job.deadline,
            timing: settings.timing,
            block: settings.block,
            ring: settings.ring,
            shape: settings.shape,
            rate: settings.rate,
            total_rate: settings.total_rate,
            run: Some(job.name.clone()),
            leaving: Arc::default(),
        };
        let launcher = Launcher {
            shell: &*self.shell,
            program: self.program().await,
            folders: &settings.folders,
            deadline: settings.timing.join.min(job.deadline),
            run: &job.name,
        };
        let launch = |index: usize, ticket| launcher.launch(&job.receivers[index].node, ticket);
        let told = |node, written| progress(Progress { node, written, total });
        let suspended = async {
            job.suspended.cancelled().await;
            broadcast.leaving.store(true, Ordering::Relaxed);
            pending().await
        };
        tokio::select! {
            report = source::broadcast(listener, &broadcast, launch, &told) => {
                report.map_err(|error| TransferError::Stream(error.to_string()))
            }
            never = suspended => never,
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, TransferError> {
    TcpListener::bind(address).await.map_err(|why| {
        TransferError::Start(format!("the server cannot listen on {address}: {why}"))
    })
}

/// A node of the pipeline. Nodes of one switch hand the stream to each other.
fn member(Receiver { node, errand, resumes }: &Receiver) -> Member {
    Member {
        name: node.name.clone(),
        address: node.address.into(),
        command: errand.in_turn(),
        group: node.switch.clone().unwrap_or_default(),
        resumes: *resumes,
    }
}

#[async_trait::async_trait]
impl Transfer for RelayTransfer {
    async fn broadcast(
        &self,
        job: &TransferJob,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> BTreeMap<String, Result<(), TransferError>> {
        match &job.by {
            Carrier::Relay => {}
            Carrier::Site(command) => return site::broadcast(&*self.shell, job, command).await,
            Carrier::Torrent(torrent) => {
                return torrent::broadcast(&*self.shell, job, torrent, progress).await;
            }
        }
        let names = job.receivers.iter().map(|one| one.node.name.clone());
        match Box::pin(self.attempt(job, progress)).await {
            Ok(report) => {
                let (sent, broken) = (report.sent, report.losses.len());
                tracing::info!(file = %job.file.display(), sent, broken, "broadcast ended");
                for loss in &report.losses {
                    job.broken.add(loss.cause.name(), loss.to_string());
                }
                for slow in &report.slow {
                    job.broken.add("slow", slow.to_string());
                }
                let results = report.outcomes.into_iter().zip(&job.receivers);
                let results =
                    results.map(|(result, one)| result.map_err(|why| error(&one.errand, why)));
                names.zip(results).collect()
            }
            Err(error) => names.map(|name| (name, Err(error.clone()))).collect(),
        }
    }

    async fn under_way(&self, node: &Node, name: &str, limit: Duration) -> bool {
        let launcher = Launcher {
            shell: &*self.shell,
            program: self.program().await,
            folders: &self.settings.folders,
            deadline: limit,
            run: name,
        };
        launcher.holds(node).await
    }
}

/// A node's failure in the terms of the port.
fn error(errand: &Errand, failure: Failure) -> TransferError {
    match failure {
        Failure::Launch(_) | Failure::Absent { .. } => TransferError::Start(failure.to_string()),
        Failure::Gone { .. } | Failure::Stream(_) | Failure::Failed(_) | Failure::Short { .. } => {
            TransferError::Stream(failure.to_string())
        }
        Failure::Command { status, stderr } => {
            TransferError::Command { command: errand.bare().text(), status, stderr }
        }
        Failure::Digest { expected, got } => TransferError::Digest { expected, got },
        Failure::Deadline(after) => TransferError::Deadline(after),
    }
}

#[cfg(test)]
mod tests;
