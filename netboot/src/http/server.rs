//! Accepts connections and bounds them.

use super::{
    body::Writer,
    head::{self, Head},
    reply::{Reply, reply},
};
use crate::BootService;
use bytes::BytesMut;
use socket2::SockRef;
use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Bytes of a body that are read, and how long, before a connection is closed.
const UNREAD: usize = 64 * 1024;
const LINGER: Duration = Duration::from_secs(1);
/// Pause after accepting failed (too many open files), so that it does not fill the log.
const PAUSE: Duration = Duration::from_millis(100);

/// What one client, and all of them, may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections; more wait in the kernel's queue.
    pub connections: usize,
    /// Most connections of one address; more are closed. Boot loaders use one or two.
    pub per_client: usize,
    /// A request must arrive, or the next one begin, within this time.
    pub headers: Duration,
    /// A client that takes nothing for this long is cut off.
    pub stall: Duration,
    /// Longest life of a connection.
    pub connection: Duration,
    /// How long running answers may go on after the server was stopped.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            per_client: 64,
            headers: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            connection: Duration::from_secs(3600),
            drain: Duration::from_secs(5),
        }
    }
}

/// Serves boot files on `listener` until `stop`; running answers then have
/// `limits.drain` to end.
///
/// # Errors
/// The listener is broken.
pub async fn serve(
    listener: TcpListener,
    service: BootService,
    limits: Limits,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut connections = Connections { tasks: JoinSet::new(), held: HashMap::new() };
    while let Some(accepted) =
        stop.run_until_cancelled(next(&listener, &mut connections, &limits)).await
    {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept HTTP connections");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let client = peer.ip().to_canonical();
        let held = connections.held.entry(client).or_default();
        if *held >= limits.per_client {
            tracing::warn!(%client, most = limits.per_client, "too many HTTP connections");
            continue;
        }
        *held += 1;
        let task = connection(stream, client, service.clone(), limits, stop.clone());
        connections.tasks.spawn(task);
    }
    drop(listener);
    let drained = tokio::time::timeout(limits.drain, connections.end()).await;
    if drained.is_err() {
        connections.tasks.shutdown().await;
    }
    Ok(())
}

/// The connections that are open.
struct Connections {
    tasks: JoinSet<IpAddr>,
    /// How many each client has.
    held: HashMap<IpAddr, usize>,
}

impl Connections {
    fn reap(&mut self, ended: Result<IpAddr, JoinError>) {
        match ended {
            Ok(client) => {
                if let Entry::Occupied(mut held) = self.held.entry(client) {
                    *held.get_mut() -= 1;
                    if *held.get() == 0 {
                        held.remove();
                    }
                }
            }
            Err(error) => tracing::error!(%error, "an HTTP connection panicked"),
        }
    }

    async fn end(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The next connection, once there is room for it. Nothing is lost if it is dropped.
async fn next(
    listener: &TcpListener,
    connections: &mut Connections,
    limits: &Limits,
) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        let room = connections.tasks.len() < limits.connections;
        tokio::select! {
            Some(ended) = connections.tasks.join_next() => connections.reap(ended),
            accepted = listener.accept(), if room => return accepted,
        }
    }
}

/// Serves one connection to its end; returns whose it was.
async fn connection(
    stream: TcpStream,
    client: IpAddr,
    service: BootService,
    limits: Limits,
    stop: CancellationToken,
) -> IpAddr {
    let socket = SockRef::from(&stream);
    // The kernel gives up on a peer that acknowledges nothing, or opens no window.
    if let Err(error) =
        socket.set_tcp_user_timeout(Some(limits.stall)).and(socket.set_tcp_nodelay(true))
    {
        tracing::debug!(%client, %error, "cannot set socket options");
    }
    let mut connection = Connection { stream, client, service, limits, input: BytesMut::new() };
    if let Ok(Err(error)) = timeout(limits.connection, connection.serve(&stop)).await {
        tracing::debug!(%client, %error, "HTTP connection");
    }
    client
}

struct Connection {
    stream: TcpStream,
    client: IpAddr,
    service: BootService,
    limits: Limits,
    /// Read, and not yet understood.
    input: BytesMut,
}

impl Connection {
    /// Answers one request after the other, until the client, `stop` or an error ends it.
    async fn serve(&mut self, stop: &CancellationToken) -> io::Result<()> {
        loop {
            let next = timeout(self.limits.headers, self.next());
            let Some(Ok(next)) = stop.run_until_cancelled(next).await else { return Ok(()) };
            let (reply, modern, keeps, body) = match next? {
                Head::Partial => return Ok(()),
                Head::Bad(status) => (Reply::new(status), true, false, true),
                Head::Request(request) => {
                    let reply = reply(&request, &self.service, self.client).await;
                    let keeps = request.keeps() && !stop.is_cancelled();
                    (reply, request.modern, keeps, request.has_body())
                }
            };
            self.answer(reply, modern, keeps).await?;
            if !keeps {
                return self.close(body).await;
            }
        }
    }

    /// The next request; `Partial` when the client has hung up.
    async fn next(&mut self) -> io::Result<Head> {
        loop {
            match head::take(&mut self.input) {
                Head::Partial => {}
                taken => return Ok(taken),
            }
            self.input.reserve(1024);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Ok(Head::Partial);
            }
        }
    }

    async fn answer(&self, reply: Reply, modern: bool, keeps: bool) -> io::Result<()> {
        let writer = Writer { stream: &self.stream, stall: self.limits.stall };
        writer.bytes(&head::write(&reply, modern, keeps), reply.content.is_some()).await?;
        match reply.content {
            Some(content) => writer.content(content).await,
            None => Ok(()),
        }
    }

    /// Ends the connection. A body that nobody reads would have the kernel take back the answer, so some
    /// of it is read.
    async fn close(&mut self, body: bool) -> io::Result<()> {
        self.stream.shutdown().await?;
        let drain = async {
            let mut left = UNREAD;
            while left > 0 {
                self.input.clear();
                self.input.reserve(1024);
                match self.stream.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => left = left.saturating_sub(read),
                }
            }
        };
        if body {
            timeout(LINGER, drain).await.ok();
        }
        Ok(())
    }
}
