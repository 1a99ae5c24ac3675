//! Takes requests and starts transfers.

use super::{
    Limits,
    blocks::Blocks,
    transfer::{Broken, Line, refusal, send},
};
use crate::{BootService, Outcome, Refusal, Server};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tftpd::{ErrorCode, Packet, TransferOption};
use tokio::{
    net::UdpSocket,
    task::{AbortHandle, JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Bytes the kernel keeps of requests that were not read yet: some ten thousand.
const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;
/// Longest request. RFC 2347 allows 512 bytes; one Ethernet frame is generous.
const REQUEST: usize = 1500;
/// Pause after the socket failed, so that a lasting failure does not fill the log.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket for [`serve`]: bound to `address`, with a receive buffer that holds
/// the requests of a whole site that is switched on at once.
///
/// # Errors
/// The address is taken or not ours, or the port needs a privilege.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // Beyond the system's limit with CAP_NET_ADMIN, else up to it.
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Serves read requests on `socket` until `stop`; running transfers are then given up.
///
/// # Errors
/// The socket has no local address.
pub async fn serve(
    socket: UdpSocket,
    service: BootService,
    limits: Limits,
    stop: CancellationToken,
) -> io::Result<()> {
    let address = socket.local_addr()?;
    let (tasks, active) = (JoinSet::new(), HashMap::new());
    let mut transfers = Transfers { address, service, limits, tasks, active };
    let mut buffer = [0; REQUEST];
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = transfers.tasks.join_next_with_id() => transfers.reap(ended),
            received = socket.recv_from(&mut buffer) => match received {
                Ok((len, client)) => transfers.request(&socket, &buffer[..len], client).await,
                Err(error) => {
                    tracing::warn!(%address, %error, "cannot receive TFTP requests");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    transfers.tasks.shutdown().await;
    Ok(())
}

/// The transfers that run.
struct Transfers {
    address: SocketAddr,
    service: BootService,
    limits: Limits,
    tasks: JoinSet<SocketAddr>,
    active: HashMap<SocketAddr, Active>,
}

/// The transfer of one client port.
struct Active {
    request: Box<[u8]>,
    heard: Arc<AtomicBool>,
    task: AbortHandle,
}

/// A read request.
struct Request {
    filename: String,
    netascii: bool,
    options: Vec<TransferOption>,
}

impl Transfers {
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
    }

    async fn request(&mut self, socket: &UdpSocket, raw: &[u8], client: SocketAddr) {
        let refused = match Packet::deserialize(raw) {
            Ok(Packet::Rrq { filename, mode, options }) => {
                match mode.to_ascii_lowercase().as_str() {
                    "octet" => {
                        return self.start(
                            raw,
                            client,
                            Request { filename, netascii: false, options },
                        );
                    }
                    "netascii" => {
                        return self.start(
                            raw,
                            client,
                            Request { filename, netascii: true, options },
                        );
                    }
                    _ => {
                        self.refuse(&filename, client, "this transfer mode does not exist");
                        refusal(ErrorCode::IllegalOperation, "use octet or netascii")
                    }
                }
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
        socket.send_to(&refused, client).await.ok();
    }

    fn refuse(&self, filename: &str, client: SocketAddr, why: &str) {
        self.service.refused(Server::Tftp, filename, client.ip(), why);
    }

    /// A client that was not heard yet repeats its request: the running transfer
    /// repeats its answer by itself. The same request of a client that was heard is
    /// either late, or the client began anew: it gets a second transfer, and ends
    /// the one that it does not want (RFC 1350 section 4). Another request from the
    /// same port means that the first is over.
    fn start(&mut self, raw: &[u8], client: SocketAddr, request: Request) {
        if let Some(active) = self.active.get(&client) {
            let same = *active.request == *raw;
            if same && !active.heard.load(Ordering::Relaxed) {
                return;
            }
            if !same {
                active.task.abort();
            }
        }
        if self.tasks.len() >= self.limits.transfers {
            tracing::warn!(%client, most = self.limits.transfers, "too many TFTP transfers");
            return;
        }
        let heard = Arc::new(AtomicBool::new(false));
        let (address, service, limits) = (self.address, self.service.clone(), self.limits);
        let heard_there = Arc::clone(&heard);
        let task = self.tasks.spawn(async move {
            if let Err(error) = answer(address, client, heard_there, service, limits, request).await
            {
                tracing::warn!(%client, %error, "cannot open a socket for a TFTP transfer");
            }
            client
        });
        self.active.insert(client, Active { request: raw.into(), heard, task });
    }
}

async fn answer(
    address: SocketAddr,
    client: SocketAddr,
    heard: Arc<AtomicBool>,
    service: BootService,
    limits: Limits,
    request: Request,
) -> io::Result<()> {
    let Request { filename, netascii, options } = request;
    let socket = UdpSocket::bind((address.ip(), 0)).await?;
    let line = Line { socket, client, heard };
    let (asset, mut delivery) = match service.open(Server::Tftp, &filename, client.ip()).await {
        Ok(opened) => opened,
        Err(refused) => {
            line.socket.send_to(&explain(&refused), client).await?;
            return Ok(());
        }
    };
    // The length in netascii depends on every line of the text.
    let agreed = limits.agree(&options, (!netascii).then_some(asset.len()));
    let blocks = Blocks::new(asset, netascii, agreed.block_size, agreed.window);
    let sent = timeout(limits.duration, send(&line, blocks, &agreed, &limits, &mut delivery)).await;
    let outcome = match sent {
        Ok(Ok(())) => Outcome::Sent("all acknowledged".into()),
        Ok(Err(broken)) => {
            if let Broken::Io(_) = broken {
                let failed = refusal(ErrorCode::NotDefined, "the file cannot be read");
                line.socket.send_to(&failed, client).await.ok();
            }
            Outcome::Failed(broken.to_string().into())
        }
        Err(_) => Outcome::Failed("it took too long".into()),
    };
    delivery.finish(outcome);
    Ok(())
}

/// What the client is told: nothing of the server's paths.
fn explain(refused: &Refusal) -> bytes::Bytes {
    match refused {
        Refusal::NotFound => refusal(ErrorCode::FileNotFound, "not found"),
        Refusal::BadPath(_) | Refusal::Stranger => {
            refusal(ErrorCode::AccessViolation, "not for this machine")
        }
        Refusal::Unreadable(_) => refusal(ErrorCode::NotDefined, "the file cannot be read"),
    }
}
