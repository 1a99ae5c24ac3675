//! Many TFTP clients, each a thread: what they fetch is compared, byte by byte.

use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg};
use std::{
    fmt::Write,
    io::{self, IoSliceMut},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Packets taken from the kernel at once.
const BATCH: usize = 64;
/// Bytes that wait for a client.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// A request or an acknowledgement is sent again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// How often before the client gives up.
const SENDS: u32 = 6;
/// Client addresses: a site of that many nodes.
pub(crate) const NODES: u64 = 4096;

/// Address of a node.
pub(crate) fn node(number: u64) -> Ipv4Addr {
    let [.., third, last] = u32::try_from(number % NODES).expect("small").to_be_bytes();
    Ipv4Addr::new(127, 1, third, last)
}

/// When a load is over.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// That many jobs are done.
    Jobs(u64),
    /// That much time has passed.
    Time(Duration),
}

/// What the clients do.
#[derive(Clone)]
pub(crate) struct Load<'a> {
    pub(crate) clients: u64,
    pub(crate) until: Until,
    /// Names and contents that make up one job, in order; none: a name that is missing.
    pub(crate) files: Vec<(&'a str, &'a [u8])>,
    pub(crate) block: usize,
    pub(crate) window: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) jobs: u64,
    pub(crate) bytes: u64,
    /// Requests that were sent more than once.
    pub(crate) repeated: u64,
    pub(crate) failures: Vec<String>,
    pub(crate) wall: f64,
}

/// Runs `load` against `server`.
pub(crate) fn run(load: &Load<'_>, server: SocketAddr) -> Done {
    let (next, total) = (AtomicU64::new(0), Mutex::new(Done::default()));
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..load.clients {
            let work = || {
                let done = client(load, server, &next, begun);
                let mut total = total.lock().expect("no client panicked");
                total.jobs += done.jobs;
                total.bytes += done.bytes;
                total.repeated += done.repeated;
                total.failures.extend(done.failures);
            };
            thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn_scoped(scope, work)
                .expect("a thread");
        }
    });
    let mut total = total.into_inner().expect("no client panicked");
    total.wall = begun.elapsed().as_secs_f64();
    total
}

/// One client: job after job.
fn client(load: &Load<'_>, server: SocketAddr, next: &AtomicU64, begun: Instant) -> Done {
    let mut done = Done::default();
    let mut inbox = Inbox::new(load.block + 4);
    loop {
        let job = next.fetch_add(1, Ordering::Relaxed);
        match load.until {
            Until::Jobs(jobs) if job >= jobs => return done,
            Until::Time(time) if begun.elapsed() >= time => return done,
            _ => {}
        }
        let mut good = true;
        let missing = format!("pxelinux.cfg/01-52-54-00-{:x}", job % NODES);
        let missing: [(&str, &[u8]); 1] = [(&missing, &[])];
        let files = if load.files.is_empty() { &missing[..] } else { &load.files };
        for (name, content) in files {
            let fetch = Fetch { load, node: node(job), name, content };
            match fetch.run(server, &mut inbox, &mut done.repeated) {
                Ok(bytes) => done.bytes += bytes as u64,
                Err(failure)
                    if failure.kind() == io::ErrorKind::NotFound && load.files.is_empty() => {}
                Err(failure) => {
                    done.failures.push(failure.to_string());
                    good = false;
                }
            }
        }
        done.jobs += u64::from(good);
    }
}

/// One file for one node.
struct Fetch<'a> {
    load: &'a Load<'a>,
    node: Ipv4Addr,
    name: &'a str,
    content: &'a [u8],
}

impl Fetch<'_> {
    fn request(&self) -> Vec<u8> {
        let Load { block, window, .. } = self.load;
        let mut options = format!("{}\0octet\0tsize\x000\0blksize\0{block}\0", self.name);
        if *window > 1 {
            write!(options, "windowsize\0{window}\0").expect("a string");
        }
        [&[0, 1], options.as_bytes()].concat()
    }

    fn run(&self, server: SocketAddr, inbox: &mut Inbox, repeated: &mut u64) -> io::Result<usize> {
        let socket = UdpSocket::bind((self.node, 0))?;
        let buffer = rustix::net::sockopt::set_socket_recv_buffer_size_force;
        buffer(&socket, RECEIVE_BUFFER).or_else(|_| {
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)
        })?;
        socket.set_read_timeout(Some(AGAIN))?;
        let request = self.request();
        let mut first = [0; 4096];
        let mut sends = 0;
        let (len, from) = loop {
            socket.send_to(&request, server)?;
            sends += 1;
            match socket.recv_from(&mut first) {
                Ok(received) => break received,
                Err(_) if sends < SENDS => *repeated += 1,
                Err(_) => return Err(io::Error::other("no answer to the request")),
            }
        };
        socket.connect(from)?;
        let mut state = State {
            fetch: self,
            block: 512,
            window: 1,
            at: 0,
            expected: 1,
            had: 0,
            gap: false,
            done: false,
        };
        state.take(&first[..len], &socket)?;
        let mut silent = 0;
        while !state.done {
            match inbox.receive(&socket, |packet| state.take(packet, &socket)) {
                Ok(()) => silent = 0,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && silent < SENDS => {
                    silent += 1;
                    state.acknowledge(&socket)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(state.at)
    }
}

/// Where a transfer is.
struct State<'a> {
    fetch: &'a Fetch<'a>,
    block: usize,
    window: usize,
    at: usize,
    expected: u16,
    /// Blocks since the last acknowledgement.
    had: usize,
    /// A gap was told, and nothing new has come since.
    gap: bool,
    done: bool,
}

impl State<'_> {
    fn acknowledge(&mut self, socket: &UdpSocket) -> io::Result<()> {
        let [high, low] = self.expected.wrapping_sub(1).to_be_bytes();
        self.had = 0;
        socket.send(&[0, 4, high, low]).map(drop)
    }

    fn take(&mut self, packet: &[u8], socket: &UdpSocket) -> io::Result<()> {
        match packet {
            [0, 3, high, low, data @ ..] => {
                self.data(u16::from_be_bytes([*high, *low]), data, socket)
            }
            [0, 5, 0, 1, ..] => Err(io::ErrorKind::NotFound.into()),
            [0, 5, _, code, ..] => Err(io::Error::other(format!("TFTP error {code}"))),
            [0, 6, options @ ..] if self.at == 0 => {
                let words: Vec<_> =
                    options.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
                for pair in words.chunks_exact(2) {
                    match (&*pair[0].to_ascii_lowercase(), pair[1].parse()) {
                        ("blksize", Ok(value)) => self.block = value,
                        ("windowsize", Ok(value)) => self.window = value,
                        _ => {}
                    }
                }
                self.acknowledge(socket)
            }
            _ => Ok(()),
        }
    }

    fn data(&mut self, number: u16, data: &[u8], socket: &UdpSocket) -> io::Result<()> {
        if number != self.expected {
            // Ahead: something is missing, which is told once.
            if number.wrapping_sub(self.expected) < 0x8000 && !self.gap {
                self.gap = true;
                return self.acknowledge(socket);
            }
            return Ok(());
        }
        if self.fetch.content.get(self.at..self.at + data.len()) != Some(data) {
            return Err(io::Error::other("the content is wrong"));
        }
        self.at += data.len();
        (self.expected, self.gap) = (self.expected.wrapping_add(1), false);
        self.had += 1;
        self.done = data.len() < self.block;
        if self.done && self.at != self.fetch.content.len() {
            return Err(io::Error::other("the content is too short"));
        }
        if self.done || self.had >= self.window {
            self.acknowledge(socket)?;
        }
        Ok(())
    }
}

/// Space for a batch of packets.
struct Inbox {
    packets: Vec<Vec<u8>>,
    headers: MultiHeaders<()>,
}

impl Inbox {
    fn new(size: usize) -> Self {
        let packets = (0..BATCH).map(|_| vec![0; size.max(516)]).collect();
        Self { packets, headers: MultiHeaders::preallocate(BATCH, None) }
    }

    /// Waits for packets, and gives each to `take`.
    fn receive(
        &mut self,
        socket: &UdpSocket,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut slices: Vec<_> =
            self.packets.iter_mut().map(|packet| [IoSliceMut::new(packet)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        let received = recvmmsg(socket.as_raw_fd(), &mut self.headers, &mut slices, flags, None)?;
        let lengths: Vec<usize> = received.map(|packet| packet.bytes).collect();
        for (packet, len) in self.packets.iter().zip(lengths) {
            take(&packet[..len])?;
        }
        Ok(())
    }
}
