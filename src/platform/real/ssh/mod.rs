//! The shell port over ssh.
//!
//! One connection per node is kept and used by one command at a time. libssh2
//! blocks, so its calls run on threads of the runtime's blocking pool, never more
//! than [`SshOptions::threads`] at once. What can wait without a thread does:
//! connecting, and the first byte of the server ([`link::dial`], [`link::greeted`]); so a dead host
//! costs its own deadline and nobody else's thread. A call that is given up
//! (deadline, dropped future) shuts its socket down; the blocked thread then
//! returns at once and is free for others.

mod exec;
mod keys;
mod known;
mod link;

#[cfg(test)]
pub(crate) mod sshd;
#[cfg(test)]
mod tests;

use super::called::Called;
use crate::{
    nodes::Node,
    platform::{Command, Output, Shell, ShellError, rounded, shell::within_deadline},
};
use config::{HostKeys, SshConnector, SshLogin};
use exec::{Failure, Feed};
use keys::Keys;
use known::KnownHosts;
use link::{Link, LoginError};
use std::{
    collections::HashMap,
    net::{Shutdown, SocketAddr, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Default of [`SshOptions::threads`]. A session costs about 0.13 MB and a thread a
/// small stack, so this is cheap; it stays well under the 512 threads of tokio's
/// blocking pool, which file access shares.
pub const SSH_THREADS: usize = 256;

/// Connections that are being made at once: a log-in costs both sides milliseconds of work, and a
/// server keeps few connections waiting until it takes them in (128 by default).
const LOGINS: usize = 96;
/// How long a machine that does not answer keeps its place among them: one that is dead holds nobody.
const SILENT: Duration = Duration::from_secs(1);
/// How long one that answers keeps it until its server greets: one server for many may need some
/// seconds, and would be overrun if others came in their places.
const MUTE: Duration = Duration::from_secs(3);

/// How nodes are logged in to.
#[derive(Clone, Debug)]
pub struct SshOptions {
    /// Path of the private key (`ssh_private_key`); read at each new connection.
    pub key: PathBuf,
    /// Whom to log in as, where the connector does not say.
    pub user: String,
    /// The ssh port, where the connector does not say.
    pub port: u16,
    /// What the site's connector says, if it does.
    pub connector: Option<SshConnector>,
    /// What nodes are called.
    pub called: Called,
    /// Most commands that run at once, over all nodes; the others wait in line,
    /// within their deadlines.
    pub threads: usize,
}

impl SshOptions {
    /// Root, port 22, [`SSH_THREADS`] threads, with the private key at `key`.
    pub fn new(key: impl Into<PathBuf>) -> Self {
        Self {
            key: key.into(),
            user: "root".into(),
            port: 22,
            connector: None,
            called: Called::default(),
            threads: SSH_THREADS,
        }
    }

    fn login(&self, node: &Node) -> SshLogin {
        self.connector.as_ref().map(|ssh| ssh.login(&self.called.of(node))).unwrap_or_default()
    }
}

/// [`Shell`] over ssh.
#[derive(Debug)]
pub struct Ssh {
    options: SshOptions,
    /// By node name; an entry lives from the first command to `forget`.
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    threads: Arc<Semaphore>,
    logins: Semaphore,
}

/// What is kept for one node.
#[derive(Debug, Default)]
struct Slot {
    /// The connection; whoever holds the lock runs a command.
    line: tokio::sync::Mutex<Option<Link>>,
    /// Fingerprint of the host key at first contact.
    pin: Mutex<Option<String>>,
}

impl Slot {
    /// Pins `now`, or compares it with what is pinned: the older one where they differ.
    fn pin(&self, now: &str) -> Result<(), String> {
        let mut pin = self.pin.lock().unwrap_or_else(PoisonError::into_inner);
        match pin.as_deref() {
            Some(was) if was != now => Err(was.into()),
            Some(_) => Ok(()),
            None => {
                *pin = Some(now.into());
                Ok(())
            }
        }
    }
}

impl Ssh {
    /// A shell for all nodes; nothing is connected yet.
    pub fn new(options: SshOptions) -> Self {
        let threads = options.threads.clamp(1, Semaphore::MAX_PERMITS);
        let threads = Arc::new(Semaphore::new(threads));
        Self { options, slots: Mutex::default(), threads, logins: Semaphore::new(LOGINS) }
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run_in_line(&self, node: &Node, command: &Command) -> Result<Output, ShellError> {
        let login = self.options.login(node);
        let port = login.port.unwrap_or(self.options.port);
        let address = SocketAddr::from((node.address, port));
        let slot = Arc::clone(self.slots().entry(node.name.clone()).or_default());
        let mut kept = slot.line.lock().await;
        let unreachable = |why| unreachable(node, address, why);
        if let Some(link) = kept.take().filter(|link| link.usable(address)) {
            let (link, result) = self.exec(link, command).await.map_err(unreachable)?;
            *kept = link;
            match result {
                // The kept connection was dead, and the command did not start: once more.
                Err(Failure::NotStarted(why)) => {
                    tracing::debug!(node = node.name, why, "the kept ssh connection was dead");
                }
                result => return result.map_err(|failure| failure.at(node, address, command)),
            }
        }
        let link = self.connect(node, address, &login, &slot).await?;
        let (link, result) = self.exec(link, command).await.map_err(unreachable)?;
        *kept = link;
        result.map_err(|failure| failure.at(node, address, command))
    }

    /// A new connection, logged in, its host key known, or pinned and compared.
    async fn connect(
        &self,
        node: &Node,
        address: SocketAddr,
        login: &SshLogin,
        slot: &Arc<Slot>,
    ) -> Result<Link, ShellError> {
        let unreachable = |why| unreachable(node, address, why);
        let keys = Keys::read(&self.options.key, &self.options.user, login).await;
        if let Some(error) = keys.none() {
            return Err(error.at(node, address));
        }
        let known = match &login.host_keys {
            HostKeys::SameUntilBoot => None,
            HostKeys::Known { files, accept_new } => {
                let name = login.known_as.clone().unwrap_or_else(|| self.options.called.of(node));
                Some(KnownHosts::new(files.clone(), &name, address.port(), *accept_new))
            }
        };
        let (socket, _place) = self.dial_in_line(address, login).await.map_err(unreachable)?;
        let copy = socket.try_clone().map_err(|error| unreachable(error.to_string()))?;
        let slot = Arc::clone(slot);
        let login =
            move || Link::login(socket, address, &keys, known.as_ref(), |now| slot.pin(now));
        let result = self.on_thread(copy, login).await.map_err(unreachable)?;
        result.map_err(|error| error.at(node, address))
    }

    /// Connects when there is a place, within the time that the connector allows. The place is held by who
    /// keeps what is returned.
    async fn dial_in_line(
        &self,
        address: SocketAddr,
        login: &SshLogin,
    ) -> Result<(TcpStream, Option<SemaphorePermit<'_>>), String> {
        let place = self.logins.acquire().await.map_err(|error| error.to_string())?;
        let mut place = Some(place);
        let dialled = async {
            let stream = within(SILENT, link::dial(address, login.alive), &mut place).await?;
            within(MUTE, link::greeted(stream), &mut place).await
        };
        let limit = login.connect_timeout.filter(|limit| !limit.is_zero());
        let dialled = match limit {
            None => dialled.await,
            Some(limit) => timeout(limit, dialled)
                .await
                .map_err(|_| format!("no connection within {} (ConnectTimeout)", rounded(limit)))?,
        };
        Ok((dialled.map_err(|error| error.to_string())?, place))
    }

    /// Runs `command` over `link`; gives the link back where it can be used again.
    async fn exec(
        &self,
        link: Link,
        command: &Command,
    ) -> Result<(Option<Link>, Result<Output, Failure>), String> {
        let socket = link.socket().map_err(|error| error.to_string())?;
        let (text, input, limit) =
            (command.errand.in_turn(), command.input.clone(), command.output_limit);
        let work = move || match Feed::open(&input) {
            Err(why) => (Some(link), Err(Failure::Input(why))),
            Ok(feed) => {
                let result = exec::run(&link, &text, feed, limit);
                (result.is_ok().then_some(link), result)
            }
        };
        self.on_thread(socket, work).await
    }

    /// Does `work`, which blocks on `socket`, on a thread. When the returned future is
    /// dropped, the socket is shut down and the thread returns.
    async fn on_thread<T: Send + 'static>(
        &self,
        socket: TcpStream,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let permit = Arc::clone(&self.threads).acquire_owned().await.map_err(|e| e.to_string())?;
        let cut = Cut(Some(socket));
        let done = tokio::task::spawn_blocking(move || {
            // Given back when the thread is free, which may be after the caller has gone.
            let _permit = permit;
            work()
        })
        .await;
        cut.spare();
        done.map_err(|error| format!("the ssh thread failed: {error}"))
    }
}

#[async_trait::async_trait]
impl Shell for Ssh {
    async fn run(&self, node: &Node, command: &Command) -> Result<Output, ShellError> {
        within_deadline(node, command, self.run_in_line(node, command)).await
    }

    async fn forget(&self, node: &Node) {
        self.slots().remove(&node.name);
    }
}

/// Waits for `work` to its end; what takes longer than `limit` loses its `place`.
async fn within<T, P>(limit: Duration, work: impl Future<Output = T>, place: &mut Option<P>) -> T {
    tokio::pin!(work);
    if let Ok(done) = timeout(limit, &mut work).await {
        return done;
    }
    *place = None;
    work.await
}

impl LoginError {
    /// As the port tells it.
    fn at(self, node: &Node, address: SocketAddr) -> ShellError {
        let name = node.name.clone();
        match self {
            Self::Connection(why) => unreachable(node, address, why),
            Self::Key(key) => ShellError::Key { node: name, key },
            Self::KeyFile { path, why } => ShellError::KeyFile { path, why },
            Self::HostKey { was, now } => ShellError::HostKey { node: name, was, now },
            Self::UnknownHost { now, why } => ShellError::UnknownHost { node: name, now, why },
        }
    }
}

fn unreachable(node: &Node, address: SocketAddr, why: String) -> ShellError {
    ShellError::Unreachable { node: node.name.clone(), address: address.to_string(), why }
}

/// Shuts a socket down when dropped, so that whoever blocks on it returns.
struct Cut(Option<TcpStream>);

impl Cut {
    fn spare(mut self) {
        self.0 = None;
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            // It fails where the peer has closed already: just as well.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
