//! The servers: ours, the crate `tftpd`, and those of Debian that are installed. Each is a process
//! of its own, and its processor time is read from the kernel's clock of that process.

use netboot::{BootService, Directory, Known, Unwatched, http, tftp};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::signal::{Signal, kill},
    time::clock_getcpuclockid,
    unistd::Pid,
};
use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// dnsmasq serves TFTP at port 69 only: an address that nothing else has.
const DNSMASQ: Ipv4Addr = Ipv4Addr::new(127, 9, 69, 69);
/// A server is up well within this.
const PATIENCE: Duration = Duration::from_secs(20);
/// Ticks of a second in /proc (`getconf CLK_TCK` is 100 on every Linux of today).
const TICKS: f64 = 100.0;

/// Which processors server and clients have.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Place {
    /// All.
    Free,
    /// The first, both.
    One,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) tftp: Option<SocketAddr>,
    pub(crate) http: Option<SocketAddr>,
    /// Whether it knows windows (RFC 7440).
    pub(crate) windows: bool,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked, not killed: nginx ends its workers then.
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).ok();
        self.child.wait().ok();
    }
}

impl Server {
    fn new(name: &'static str, command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { name, tftp: None, http: None, windows: true, child }
    }

    /// Seconds of processor time of the server and of its children, those that ended included.
    pub(crate) fn cpu(&self) -> f64 {
        let id = self.child.id();
        let children =
            fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok());
        let live: f64 = children.chain([id]).map(clock).sum();
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("the server runs");
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        // Fields 16 and 17 of proc(5): children that were waited for.
        let ended: f64 = fields[13..15].iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        live + ended / TICKS
    }

    /// Puts all threads of the server, and the caller with the threads it makes, where `place` says.
    pub(crate) fn place(&self, place: Place) {
        let mut set = CpuSet::new();
        let most = if place == Place::One { 1 } else { CpuSet::count() };
        (0..most).try_for_each(|cpu| set.set(cpu)).expect("few processors");
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let tasks = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
        for task in tasks.chain([0]) {
            // A thread may have ended meanwhile.
            sched_setaffinity(Pid::from_raw(task), &set).ok();
        }
    }

    /// Peak of its memory, MiB.
    pub(crate) fn peak(&self) -> f64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or(0.0) / 1024.0
    }
}

fn clock(id: u32) -> f64 {
    let clock =
        clock_getcpuclockid(Pid::from_raw(id.cast_signed())).and_then(nix::time::ClockId::now);
    clock.map_or(0.0, |time| Duration::from(time).as_secs_f64())
}

/// All that are there, serving `root`. `work` is for their files.
pub(crate) fn start(root: &Path, work: &Path) -> Vec<Server> {
    let mut servers = vec![ours(root), tftpd_crate(root)];
    if let Some(program) = installed("atftpd") {
        servers.push(atftpd(&program, root));
    }
    if let Some(program) = installed("dnsmasq") {
        servers.push(dnsmasq(&program, root, work));
    }
    if let Some(program) = installed("nginx") {
        servers.push(nginx(&program, root, work));
    }
    let begun = Instant::now();
    for server in &servers {
        let up = || {
            server.http.is_none_or(|address| TcpStream::connect(address).is_ok())
                && server.tftp.is_none_or(answers)
        };
        while !up() {
            assert!(begun.elapsed() < PATIENCE, "{} does not answer", server.name);
            std::thread::yield_now();
        }
    }
    servers
}

fn answers(server: SocketAddr) -> bool {
    let asked = UdpSocket::bind((crate::tftp::node(0), 0)).and_then(|socket| {
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        socket.send_to(b"\0\x01none\0octet\0", server)?;
        socket.recv(&mut [0; 600])
    });
    asked.is_ok()
}

fn installed(program: &str) -> Option<PathBuf> {
    let places =
        env::split_paths(&env::var_os("PATH")?).chain(["/usr/sbin".into()]).collect::<Vec<_>>();
    let found = places.into_iter().map(|place| place.join(program)).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("# {program} is not installed: scripts/setup bench");
    }
    found
}

/// A port that is free now.
fn free_udp() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.local_addr().expect("an address")
}

fn ours(root: &Path) -> Server {
    let mut command = Command::new(env::current_exe().expect("this program"));
    let command = command.args(["serve".as_ref(), root.as_os_str()]).stdout(Stdio::piped());
    let mut server = Server::new("kadence", command);
    let mut lines = BufReader::new(server.child.stdout.take().expect("a pipe")).lines();
    let mut address = || lines.next()?.ok()?.parse().ok();
    (server.tftp, server.http) = (address(), address());
    server
}

/// What the process of our servers does.
pub(crate) fn serve(root: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let nodes = (0..crate::tftp::NODES).map(|number| IpAddr::V4(crate::tftp::node(number)));
        let known = Known::new(nodes.chain([Ipv4Addr::LOCALHOST.into()]));
        let assets = Arc::new(Directory::open(root).expect("a directory"));
        let service = BootService::new(assets, Arc::new(known), Arc::new(Unwatched));
        let socket = tftp::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        println!("{}", socket.local_addr().expect("an address"));
        println!("{}", listener.local_addr().expect("an address"));
        let (stop, limits) = (CancellationToken::new(), tftp::Limits::default());
        // All downloads come from one address.
        let at_once = http::Limits { per_client: 4096, ..http::Limits::default() };
        let mut servers = JoinSet::new();
        servers.spawn(tftp::serve(socket, service.clone(), limits, stop.clone()));
        servers.spawn(http::serve(listener, service, at_once, stop));
        while servers.join_next().await.is_some() {}
    });
}

fn tftpd_crate(root: &Path) -> Server {
    let address = free_udp();
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args(["tftpd".as_ref(), root.as_os_str()]).arg(address.port().to_string());
    let mut server = Server::new("crate tftpd", command.stdout(Stdio::null()));
    server.tftp = Some(address);
    server
}

/// What the process of the crate `tftpd` does.
pub(crate) fn serve_tftpd(root: &Path, port: u16) {
    let (directory, read_only) = (root.to_owned(), true);
    let send_directory = directory.clone();
    let config = tftpd::Config { port, directory, send_directory, read_only, ..Default::default() };
    tftpd::Server::new(&config).expect("a port").listen();
}

fn atftpd(program: &Path, root: &Path) -> Server {
    let address = free_udp();
    let mut command = Command::new(program);
    command.args(["--daemon", "--no-fork", "--bind-address", "127.0.0.1", "--user", "root.root"]);
    command.args([
        "--maxthread",
        "1000",
        "--no-multicast",
        "--logfile",
        "/dev/null",
        "--verbose=0",
    ]);
    command.args(["--port", &address.port().to_string()]).arg(root);
    // It tells of every packet that finds its client gone.
    let mut server = Server::new("atftpd", command.stderr(Stdio::null()));
    server.tftp = Some(address);
    server
}

fn dnsmasq(program: &Path, root: &Path, work: &Path) -> Server {
    let mut command = Command::new(program);
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--enable-tftp"]);
    command.args(["--bind-interfaces", "--tftp-max=1000", "--user=root", "--group=root"]);
    command.args(["--log-facility=/dev/null", &format!("--listen-address={DNSMASQ}")]);
    command.arg(format!("--pid-file={}", work.join("dnsmasq.pid").display()));
    command.arg(format!("--tftp-root={}", root.display()));
    let mut server = Server::new("dnsmasq", &mut command);
    (server.tftp, server.windows) = (Some((DNSMASQ, 69).into()), false);
    server
}

fn nginx(program: &Path, root: &Path, work: &Path) -> Server {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let (root, work) = (root.display(), work.display());
    let settings = format!(
        "user root; worker_processes 2; pid {work}/nginx.pid; error_log /dev/null; daemon off;
         worker_rlimit_nofile 20000; events {{ worker_connections 4096; }}
         http {{ access_log off; tcp_nopush on; keepalive_requests 100000; sendfile on;
           server {{ listen {address} backlog=4096; root {root}; }} }}"
    );
    let file = format!("{work}/nginx.conf");
    fs::write(&file, settings).expect("a file");
    let mut server =
        Server::new("nginx", Command::new(program).args(["-c", &file]).stderr(Stdio::null()));
    server.http = Some(address);
    server
}
