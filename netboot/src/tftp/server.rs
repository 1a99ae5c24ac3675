//! Takes requests and starts transfers.

use super::{
    Limits,
    clients::{Clients, Place},
    content::Content,
    line::{Line, Sockets, Watched, watch},
    transfer::{Broken, Transfer, refusal},
};
use crate::{Asset, BootService, Delivery, Outcome, Refusal, assets::Pieces};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};
use tftpd::{ErrorCode, Packet, TransferOption};
use tokio::{
    io::unix::AsyncFdReadyGuard,
    net,
    runtime::Builder,
    sync::oneshot,
    task::{AbortHandle, JoinError, JoinSet},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// Bytes the kernel keeps of requests that were not read yet: some ten thousand.
const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;
/// Longest request. RFC 2347 allows 512 bytes; one Ethernet frame is generous.
const REQUEST: usize = 1500;
/// Requests that are taken before transfers have their turn.
const TURN: usize = 64;
/// Pause after the socket failed, so that a lasting failure does not fill the log.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket for [`serve`]: bound to `address`, with a receive buffer that holds
/// the requests of a whole site that is switched on at once.
///
/// # Errors
/// The address is taken or not ours, or the port needs a privilege.
pub fn bind(address: SocketAddr) -> io::Result<net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // Beyond the system's limit with CAP_NET_ADMIN, else up to it.
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    net::UdpSocket::from_std(socket.into())
}

/// Serves read requests on `socket` until `stop`; running transfers are then given up.
///
/// A thread of its own does it: what a window costs is mostly waking up, and one thread that sends to
/// all wakes nobody else. docs/performance.md says how much that is.
///
/// # Errors
/// The socket has no local address, or there can be no more threads.
pub async fn serve(
    socket: net::UdpSocket,
    service: BootService,
    limits: Limits,
    stop: CancellationToken,
) -> io::Result<()> {
    let socket = socket.into_std()?;
    let address = socket.local_addr()?;
    let (done, ended) = oneshot::channel();
    // The thread ends when this call is given up, too.
    let stop = stop.child_token();
    let _guard = stop.clone().drop_guard();
    let work = move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let result = runtime.and_then(|runtime| {
            let result = runtime.block_on(async {
                Server::new(watch(socket)?, address, service, limits).run(stop).await;
                Ok(())
            });
            // A thread that waits for a dead file server is not waited for.
            runtime.shutdown_background();
            result
        });
        done.send(result).ok();
    };
    std::thread::Builder::new().name("tftp".into()).spawn(work)?;
    ended.await.unwrap_or_else(|_| Err(io::Error::other("the TFTP server panicked")))
}

/// What all transfers share.
struct Shared {
    service: BootService,
    limits: Limits,
    sockets: Arc<Sockets>,
    pieces: Pieces,
}

/// The server: one socket for requests, and the transfers that run.
struct Server {
    socket: Arc<Watched>,
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: JoinSet<SocketAddr>,
    active: HashMap<SocketAddr, Active>,
    clients: Clients,
}

/// The transfer of one client port.
struct Active {
    request: Box<[u8]>,
    place: Arc<Place>,
    task: AbortHandle,
}

/// A read request, but for the name.
struct Request {
    netascii: bool,
    options: Vec<TransferOption>,
}

type Opened = Result<(Asset, Delivery), Refusal>;

impl Server {
    fn new(socket: Watched, address: SocketAddr, service: BootService, limits: Limits) -> Self {
        let (sockets, pieces) = (Sockets::new(address.ip()), Pieces::new(limits.buffer));
        let shared = Arc::new(Shared { service, limits, sockets, pieces });
        let (tasks, active) = (JoinSet::new(), HashMap::new());
        Self {
            socket: Arc::new(socket),
            address,
            shared,
            tasks,
            active,
            clients: Clients::default(),
        }
    }

    async fn run(mut self, stop: CancellationToken) {
        let socket = Arc::clone(&self.socket);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.tasks.join_next_with_id() => self.reap(ended),
                ready = socket.readable() => {
                    if let Err(error) = ready.and_then(|ready| self.requests(ready)) {
                        tracing::warn!(address = %self.address, %error, "cannot receive TFTP requests");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
        self.tasks.shutdown().await;
    }

    fn reap(&mut self, ended: Result<(tokio::task::Id, SocketAddr), JoinError>) {
        match ended {
            Ok((id, client)) => {
                if self.active.get(&client).is_some_and(|active| active.task.id() == id) {
                    self.active.remove(&client);
                }
            }
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "a TFTP transfer panicked");
                }
                self.active.retain(|_, active| active.task.id() != error.id());
            }
        }
        if self.tasks.is_empty() {
            self.shared.pieces.clear();
        }
    }

    /// Takes some of the requests that have come, so that those who are served have their turn.
    fn requests(&mut self, mut ready: AsyncFdReadyGuard<'_, UdpSocket>) -> io::Result<()> {
        let mut buffer = [0; REQUEST];
        for _ in 0..TURN {
            match ready.get_inner().recv_from(&mut buffer) {
                Ok((len, client)) => self.request(&buffer[..len], client),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn request(&mut self, raw: &[u8], client: SocketAddr) {
        if !self.clients.admits(client.ip(), &self.shared.limits, Instant::now()) {
            return self.drop(client, "more TFTP requests than one machine needs");
        }
        let refused = match Packet::deserialize(raw) {
            Ok(Packet::Rrq { filename, mode, options }) => {
                let netascii = mode.eq_ignore_ascii_case("netascii");
                if netascii || mode.eq_ignore_ascii_case("octet") {
                    return self.start(raw, client, filename, Request { netascii, options });
                }
                self.refuse(&filename, client, "this transfer mode does not exist");
                refusal(ErrorCode::IllegalOperation, "use octet or netascii")
            }
            Ok(Packet::Wrq { filename, .. }) => {
                self.refuse(&filename, client, "a request to write");
                refusal(ErrorCode::AccessViolation, "this server is read-only")
            }
            // Opcodes 1 and 2 are requests (RFC 1350 section 5); anything else is
            // not answered, or two servers could answer each other for ever.
            Err(_) if matches!(raw, [0, 1 | 2, ..]) => {
                refusal(ErrorCode::IllegalOperation, "the request cannot be read")
            }
            _ => return,
        };
        // A client that does not get it asks again.
        self.socket.get_ref().send_to(&refused, client).ok();
    }

    fn refuse(&self, filename: &str, client: SocketAddr, why: &str) {
        self.shared.service.refused(crate::Server::Tftp, filename, client.ip(), why);
    }

    fn drop(&self, client: SocketAddr, why: &str) {
        if self.clients.tell(client.ip()) {
            tracing::warn!(client = %client.ip(), "{why}: they are not answered");
        }
    }

    /// A client that was not heard yet repeats its request: the running transfer
    /// repeats its answer by itself. The same request of a client that was heard is
    /// either late, or the client began anew: it gets a second transfer, and ends
    /// the one that it does not want (RFC 1350 section 4). Another request from the
    /// same port means that the first is over.
    fn start(&mut self, raw: &[u8], client: SocketAddr, name: String, request: Request) {
        if let Some(active) = self.active.get(&client) {
            let same = *active.request == *raw;
            if same && !active.place.heard() {
                return;
            }
            if !same {
                active.task.abort();
            }
        }
        let limits = &self.shared.limits;
        if self.tasks.len() >= limits.transfers {
            tracing::warn!(%client, most = limits.transfers, "too many TFTP transfers");
            return;
        }
        let service = self.shared.service.clone();
        let mut opening: BoxFuture<'static, Opened> =
            Box::pin(async move { service.open(crate::Server::Tftp, &name, client.ip()).await });
        // Most files are open at once, and most names that are missing known to be.
        let opened = (&mut opening).now_or_never();
        if let Some(Err(refused)) = opened {
            self.socket.get_ref().send_to(&explain(&refused), client).ok();
            return;
        }
        let Some(place) = self.clients.place(client.ip(), limits).map(Arc::new) else {
            return self.drop(client, "more TFTP transfers at once than one machine needs");
        };
        let (shared, its) = (Arc::clone(&self.shared), Arc::clone(&place));
        let task = self.tasks.spawn(async move {
            let opened = match opened {
                Some(opened) => opened,
                None => opening.await,
            };
            if let Err(error) = answer(&shared, client, its, opened, request).await {
                tracing::warn!(%client, %error, "cannot open a socket for a TFTP transfer");
            }
            client
        });
        self.active.insert(client, Active { request: raw.into(), place, task });
    }
}

async fn answer(
    shared: &Shared,
    client: SocketAddr,
    place: Arc<Place>,
    opened: Opened,
    request: Request,
) -> io::Result<()> {
    let line = Line::new(&shared.sockets, client, place)?;
    let (asset, mut delivery) = match opened {
        Ok(opened) => opened,
        Err(refused) => return line.send(&explain(&refused)).await,
    };
    let Request { netascii, options } = request;
    // The length in netascii depends on every line of the text.
    let agreed = shared.limits.agree(&options, (!netascii).then_some(asset.len()));
    let send = async {
        let content = Content::new(asset, netascii).await?;
        let (pieces, limits) = (&shared.pieces, &shared.limits);
        let transfer = Transfer { line: &line, pieces, agreed: &agreed, limits };
        transfer.send(content, &mut delivery).await
    };
    let outcome = match timeout(shared.limits.duration, send).await {
        Ok(Ok(())) => Outcome::Sent("all acknowledged".into()),
        Ok(Err(broken)) => {
            if let Broken::Io(_) = broken {
                let failed = refusal(ErrorCode::NotDefined, "the file cannot be read");
                line.send(&failed).await.ok();
            }
            Outcome::Failed(broken.to_string().into())
        }
        Err(_) => Outcome::Failed("it took too long".into()),
    };
    delivery.finish(outcome);
    Ok(())
}

/// What the client is told: nothing of the server's paths.
fn explain(refused: &Refusal) -> Bytes {
    /// The most frequent answer of all: loaders ask for a dozen names that one machine in a thousand has.
    const NOT_FOUND: &[u8] = b"\0\x05\0\x01not found\0";
    match refused {
        Refusal::NotFound => Bytes::from_static(NOT_FOUND),
        Refusal::BadPath(_) | Refusal::Stranger => {
            refusal(ErrorCode::AccessViolation, "not for this machine")
        }
        Refusal::Unreadable(_) => refusal(ErrorCode::NotDefined, "the file cannot be read"),
    }
}
