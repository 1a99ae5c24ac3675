//! Accepts connections and bounds them.

use super::reply::reply;
use crate::BootService;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use std::{
    collections::{HashMap, hash_map::Entry},
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Most bytes of a request's head.
const HEADERS: usize = 16 * 1024;
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
    let answer = service_fn(|request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(reply(request, service, client).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.headers)
            .max_buf_size(HEADERS)
            .serve_connection(TokioIo::new(stream), answer)
    );
    let life = timeout(limits.connection, async {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stop.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    });
    if let Ok(Err(error)) = life.await {
        tracing::debug!(%client, %error, "HTTP connection");
    }
    client
}
