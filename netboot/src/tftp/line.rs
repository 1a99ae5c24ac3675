//! The sockets of transfers, and what goes over them.

use super::{
    clients::Place,
    transfer::{Broken, refusal},
};
use bytes::Bytes;
use futures_util::FutureExt;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tftpd::{ErrorCode, Packet};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, timeout_at},
};

/// Most packets that the kernel cuts out of one piece (`UDP_MAX_SEGMENTS` of older kernels), and most
/// bytes of that piece, which is one datagram to it.
const SEGMENTS: usize = 64;
const DATAGRAM: usize = 65_000;
/// An ACK has 4 bytes; an ERROR text longer than this is cut.
const ANSWER: usize = 516;
/// Length of the head of a DATA packet: opcode and block number.
const HEAD: usize = 4;

/// Pause when the kernel takes no more packets.
const FULL: Duration = Duration::from_millis(1);

/// A socket that is watched for what arrives only: the kernel would tell of each packet that it is gone.
pub(super) type Watched = AsyncFd<UdpSocket>;

/// Watches `socket`, which does not block.
#[expect(deprecated, reason = "a standard socket keeps its descriptor; the successor is `unsafe`")]
pub(super) fn watch(socket: UdpSocket) -> io::Result<Watched> {
    AsyncFd::with_interest(socket, Interest::READABLE)
}

/// Sockets that are used again, the one that rested longest first. A port is the name of a transfer
/// (RFC 1350 section 4): it must not be that of the next one.
pub(super) struct Sockets {
    address: IpAddr,
    idle: Mutex<VecDeque<Watched>>,
}

/// Sockets that rest before the first of them is used again, and most that are kept.
const RESTING: usize = 16;
const KEPT: usize = 64;

impl Sockets {
    pub(super) fn new(address: IpAddr) -> Arc<Self> {
        Arc::new(Self { address, idle: Mutex::default() })
    }

    fn take(&self) -> io::Result<Watched> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() > RESTING
            && let Some(socket) = idle.pop_front()
        {
            drop(idle);
            // What came late for the transfer before. What is not known of yet is told by who sent it.
            while let Some(Ok(mut ready)) = socket.readable().now_or_never() {
                if socket.get_ref().recv_from(&mut [0; ANSWER]).is_err() {
                    ready.clear_ready();
                }
            }
            return Ok(socket);
        }
        drop(idle);
        let socket = UdpSocket::bind((self.address, 0))?;
        socket.set_nonblocking(true)?;
        watch(socket)
    }

    fn put(&self, socket: Watched) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push_back(socket);
        }
    }
}

/// The two ends of a transfer.
pub(super) struct Line {
    /// Only gone when the line is dropped.
    socket: Option<Watched>,
    sockets: Arc<Sockets>,
    client: SocketAddr,
    to: SockaddrStorage,
    place: Arc<Place>,
    /// The kernel cuts packets: not on every device, nor where the path takes only smaller ones.
    cuts: AtomicBool,
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.sockets.put(socket);
        }
    }
}

impl Line {
    pub(super) fn new(
        sockets: &Arc<Sockets>,
        client: SocketAddr,
        place: Arc<Place>,
    ) -> io::Result<Self> {
        let (socket, sockets) = (Some(sockets.take()?), Arc::clone(sockets));
        let (to, cuts) = (client.into(), AtomicBool::new(true));
        Ok(Self { socket, sockets, client, to, place, cuts })
    }

    fn socket(&self) -> io::Result<&Watched> {
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Sends one packet.
    pub(super) async fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.write(&[IoSlice::new(packet)], None).await
    }

    /// Sends `count` DATA packets with `block` bytes of `content` each, the last one with what is left;
    /// the first has number `number`.
    pub(super) async fn send_blocks(
        &self,
        content: &[Bytes],
        block: usize,
        number: u16,
        count: usize,
    ) -> io::Result<()> {
        let heads: Vec<[u8; HEAD]> = (0..count)
            .map(|index| {
                // A window has at most 65535 blocks. Numbers go on at 0 after 65535.
                let index = u16::try_from(index).unwrap_or(u16::MAX);
                let [high, low] = number.wrapping_add(index).to_be_bytes();
                [0, 3, high, low]
            })
            .collect();
        let mut parts = Parts { content, block, at: 0 };
        let most = (DATAGRAM / (block + HEAD)).clamp(1, SEGMENTS);
        let mut slices = Vec::with_capacity(2 * count.min(most) + content.len());
        let mut heads = heads.as_slice();
        while !heads.is_empty() {
            let cuts = self.cuts.load(Ordering::Relaxed);
            let (group, rest) = heads.split_at(heads.len().min(if cuts { most } else { 1 }));
            let before = parts;
            slices.clear();
            for head in group {
                slices.push(IoSlice::new(head));
                parts.next(&mut slices);
            }
            let size = u16::try_from(block + HEAD).ok().filter(|_| group.len() > 1);
            match self.write(&slices, size).await {
                Ok(()) => heads = rest,
                Err(error) if size.is_some() && cannot_cut(&error) => {
                    self.cuts.store(false, Ordering::Relaxed);
                    parts = before;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends the `parts`, cut into packets of `size` bytes if that is given.
    async fn write(&self, parts: &[IoSlice<'_>], size: Option<u16>) -> io::Result<()> {
        let socket = self.socket()?;
        let write = || {
            let cut = size.as_ref().map(ControlMessage::UdpGsoSegments);
            let control = cut.as_slice();
            let flags = MsgFlags::MSG_DONTWAIT;
            sendmsg(socket.as_raw_fd(), parts, control, flags, Some(&self.to)).map(drop)
        };
        loop {
            match write() {
                Err(nix::Error::EAGAIN) => tokio::time::sleep(FULL).await,
                written => return Ok(written?),
            }
        }
    }

    /// The next acknowledgement of the client before `deadline`. Others that send
    /// to this socket are told so, and disturb nothing (RFC 1350 section 4).
    pub(super) async fn acknowledged(&self, deadline: Instant) -> Result<Option<u16>, Broken> {
        let socket = self.socket()?;
        let mut buffer = [0; ANSWER];
        loop {
            let receive =
                socket.async_io(Interest::READABLE, |socket| socket.recv_from(&mut buffer));
            let Ok(received) = timeout_at(deadline, receive).await else { return Ok(None) };
            let (len, from) = received?;
            let packet = Packet::deserialize(&buffer[..len]).ok();
            if from != self.client {
                if !matches!(packet, Some(Packet::Error { .. })) {
                    let unknown = refusal(ErrorCode::UnknownId, "this transfer is not yours");
                    socket.get_ref().send_to(&unknown, from).ok();
                }
                continue;
            }
            self.place.hear();
            match packet {
                Some(Packet::Ack(block)) => return Ok(Some(block)),
                Some(Packet::Error { code, msg }) => {
                    return Err(Broken::Client { code, text: msg });
                }
                _ => {}
            }
        }
    }
}

/// Errors of a device that computes no checksums, of a path with smaller packets, and of a kernel
/// that knows nothing of it (udp(7), `UDP_SEGMENT`).
fn cannot_cut(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(nix::Error::from_raw);
    matches!(
        code,
        Some(nix::Error::EINVAL | nix::Error::EIO | nix::Error::EMSGSIZE | nix::Error::EOPNOTSUPP)
    )
}

/// Content in parts, which is cut into blocks without being copied.
#[derive(Clone, Copy)]
struct Parts<'a> {
    content: &'a [Bytes],
    block: usize,
    /// Used of the first part.
    at: usize,
}

impl<'a> Parts<'a> {
    /// Appends the next block; less than one at the end.
    fn next(&mut self, slices: &mut Vec<IoSlice<'a>>) {
        let mut want = self.block;
        while want > 0
            && let [first, rest @ ..] = self.content
        {
            let end = first.len().min(self.at + want);
            slices.push(IoSlice::new(&first[self.at..end]));
            want -= end - self.at;
            self.at = end;
            if end == first.len() {
                (self.content, self.at) = (rest, 0);
            }
        }
    }
}
