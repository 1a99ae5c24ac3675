//! One command on 1 000 nodes over ssh, beside the bare ssh library at its best and beside clush.
//!
//! One sshd plays all nodes, on loopback addresses of a network namespace; what a session costs
//! there, key exchange, fork and shell, is the limit for all. Needs root, sshd and clush
//! (`scripts/setup bench`). Prints the goals and nothing is asserted: `scripts/bench fanout`.
//! `--json FILE` writes them; `--full` takes more rounds.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

mod goals;

use goals::{Aim, Goals};
use kadence::{
    nodes::{Firmware, Node},
    platform::{
        Command, Errand, Input, Shell,
        real::ssh::{SSH_THREADS, Ssh, SshOptions},
    },
};
use ssh2::Session;
use std::{
    env,
    error::Error,
    fs,
    io::Read,
    net::{Ipv4Addr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command as Program, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const NODES: usize = 1_000;
const DEAD: usize = 100;
const PORT: u16 = 2222;
/// What every client runs.
const TEXT: &str = "cat /proc/sys/kernel/random/boot_id";
/// Concurrencies of the bare library: its best counts.
const BARE: [usize; 3] = [32, 64, 128];
const DEADLINE: Duration = Duration::from_secs(120);
/// Of a command for nodes some of which are dead: longer than the others take.
const SHORT: Duration = Duration::from_secs(20);

/// An sshd that listens on all addresses of this namespace.
struct Sshd {
    folder: TempDir,
    server: Child,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Sshd {
    fn start() -> Result<Self> {
        fs::create_dir_all("/run/sshd")?;
        let folder = tempfile::tempdir()?;
        for key in ["host", "client"] {
            let keygen = ["-q", "-t", "ed25519", "-N", "", "-f"];
            succeed(Program::new("ssh-keygen").args(keygen).arg(folder.path().join(key)))?;
        }
        let path = folder.path().display();
        // The remote shell's own start would hide what is measured.
        let config = format!(
            "Port {PORT}\nHostKey {path}/host\nPidFile none\nAuthorizedKeysFile {path}/client.pub\n\
             StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n\
             PermitUserRC no\nMaxStartups 3000\nLogLevel ERROR\nSetEnv SHLVL=2\n"
        );
        fs::write(folder.path().join("config"), config)?;
        let server = Program::new("/usr/sbin/sshd")
            .args(["-D", "-f"])
            .arg(folder.path().join("config"))
            .stdin(Stdio::null())
            .spawn()?;
        while TcpStream::connect(("127.0.0.1", PORT)).is_err() {}
        Ok(Self { folder, server })
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("client")
    }
}

fn succeed(program: &mut Program) -> Result<()> {
    let status = program.status()?;
    if status.success() { Ok(()) } else { Err(format!("{program:?}: {status}").into()) }
}

/// The node of that number.
fn address(number: usize) -> Result<Ipv4Addr> {
    let [high, low] = [number / 250, number % 250 + 1].map(u8::try_from);
    Ok(Ipv4Addr::new(127, 1, high?, low?))
}

fn node(number: usize, address: Ipv4Addr) -> Node {
    Node {
        name: format!("node-{number}.bench"),
        cluster: "bench".into(),
        address,
        macs: Vec::new(),
        firmware: Firmware::Bios,
        bmc: None,
        rack: None,
        switch: None,
    }
}

/// One command on one node, by the library alone.
fn bare_one(address: Ipv4Addr, key: &Path) -> Result<()> {
    let mut session = Session::new()?;
    session.set_tcp_stream(TcpStream::connect((address, PORT))?);
    session.handshake()?;
    session.userauth_pubkey_file("root", None, key, None)?;
    let mut channel = session.channel_session()?;
    channel.exec(TEXT)?;
    let mut text = String::new();
    channel.read_to_string(&mut text)?;
    channel.wait_close()?;
    match channel.exit_status()? {
        0 if text.len() == 37 => Ok(()),
        status => Err(format!("{address}: exit status {status}, {text:?}").into()),
    }
}

/// The library alone, on so many threads.
fn bare(threads: usize, key: &Path) -> Result<Duration> {
    let (begun, next) = (Instant::now(), AtomicUsize::new(0));
    let work = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number >= NODES {
                return Ok(());
            }
            bare_one(address(number)?, key)?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread broke")?)
    })?;
    Ok(begun.elapsed())
}

fn clush(key: &Path) -> Result<Duration> {
    let names = (0..NODES).map(|number| address(number).map(|one| one.to_string()));
    let names = names.collect::<Result<Vec<_>>>()?.join(",");
    let options = format!(
        "-F none -i {} -p {PORT} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
         -o LogLevel=ERROR -o KexAlgorithms=curve25519-sha256",
        key.display()
    );
    let begun = Instant::now();
    succeed(
        Program::new("clush")
            .args(["-q", "-S", "-f", "64", "-l", "root", "-o", &options, "-w", &names, TEXT])
            .stdout(Stdio::null()),
    )?;
    Ok(begun.elapsed())
}

/// One command on all `nodes`; how long it took, and the nodes that failed.
async fn ours(
    ssh: &Arc<Ssh>,
    nodes: &[Arc<Node>],
    deadline: Duration,
) -> Result<(Duration, usize)> {
    let begun = Instant::now();
    let mut commands = JoinSet::new();
    for node in nodes {
        let (ssh, node) = (Arc::clone(ssh), Arc::clone(node));
        commands.spawn(async move {
            let (errand, input) = (Errand::BootId.into(), Input::Empty);
            let command = Command { errand, input, deadline, output_limit: 1 << 20 };
            match ssh.run(&node, &command).await {
                Ok(output) if output.status == 0 => None,
                Ok(output) => Some(format!("{}: exit status {}", node.name, output.status)),
                Err(error) => Some(error.to_string()),
            }
        });
    }
    let mut failed = Vec::new();
    while let Some(why) = commands.join_next().await {
        failed.extend(why?);
    }
    if let Some(why) = failed.first() {
        println!("{} nodes failed, the first: {why}", failed.len());
    }
    Ok((begun.elapsed(), failed.len()))
}

/// A number of the status of this process, as the kernel tells it.
fn own(what: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).ok_or("no such line")?;
    Ok(line.trim_matches([':', '\t', ' ']).trim_end_matches("kB").trim().parse()?)
}

/// What a round measured, seconds.
#[derive(Default)]
struct Round {
    bare: f64,
    first: f64,
    second: f64,
    clush: f64,
    failed: usize,
    /// MB for a connection.
    memory: f64,
    threads: f64,
}

async fn round(sshd: &Sshd) -> Result<Round> {
    let mut round = Round { bare: f64::INFINITY, ..Round::default() };
    for threads in BARE {
        round.bare = round.bare.min(bare(threads, &sshd.key())?.as_secs_f64());
    }
    let nodes = (0..NODES).map(|number| Ok(Arc::new(node(number, address(number)?))));
    let nodes = nodes.collect::<Result<Vec<_>>>()?;
    let ssh = Arc::new(Ssh::new(SshOptions { port: PORT, ..SshOptions::new(sshd.key()) }));
    let before = own("VmRSS")?;
    let (first, failed) = ours(&ssh, &nodes, DEADLINE).await?;
    #[expect(clippy::cast_precision_loss, reason = "a thousand")]
    let connections = NODES as f64;
    round.memory = (own("VmRSS")? - before) / 1e3 / connections;
    round.threads = own("Threads")?;
    let (second, failed_again) = ours(&ssh, &nodes, DEADLINE).await?;
    round.first = first.as_secs_f64();
    round.second = second.as_secs_f64();
    round.failed = failed + failed_again;
    for node in &nodes {
        ssh.forget(node).await;
    }
    round.clush = clush(&sshd.key())?.as_secs_f64();
    Ok(round)
}

/// Time beyond the deadline when some of the nodes are dead, seconds, and nodes that failed
/// without being dead.
async fn with_dead(sshd: &Sshd) -> Result<(f64, usize)> {
    let ssh = Arc::new(Ssh::new(SshOptions { port: PORT, ..SshOptions::new(sshd.key()) }));
    let nodes = (0..NODES).map(|number| {
        // Every tenth: nobody is there.
        let nobody = number % (NODES / DEAD) == 0;
        let high = u8::try_from(number / 250)?;
        let low = u8::try_from(number % 250 + 1)?;
        let nowhere = Ipv4Addr::new(10, 99, high, low);
        Ok(Arc::new(node(number, if nobody { nowhere } else { address(number)? })))
    });
    let nodes = nodes.collect::<Result<Vec<_>>>()?;
    let (time, failed) = ours(&ssh, &nodes, SHORT).await?;
    Ok((time.as_secs_f64() - SHORT.as_secs_f64(), failed.abs_diff(DEAD)))
}

fn median(rounds: &[Round], of: fn(&Round) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn inside(full: bool) -> Result<()> {
    let sshd = Sshd::start()?;
    let mut rounds = Vec::new();
    for number in 0..if full { 5 } else { 3 } {
        let one = round(&sshd).await?;
        println!(
            "round {number}: bare {:.2} s, ours {:.2} s, again {:.2} s, clush {:.2} s",
            one.bare, one.first, one.second, one.clush
        );
        rounds.push(one);
    }
    let mut goals = Goals::default();
    let [bare, first, second, clush] = [
        |round: &Round| round.bare,
        |round: &Round| round.first,
        |round: &Round| round.second,
        |round: &Round| round.clush,
    ]
    .map(|of| median(&rounds, of));
    let beside = Some(("the bare library", bare));
    goals.note("connect, one command, 1 000 nodes", (first, "s"), beside, Aim::RatioAtMost(1.15));
    let beside = Some(("clush", clush));
    goals.note(
        "connect, one command, 1 000 nodes, beside clush",
        (first, "s"),
        beside,
        Aim::RatioAtMost(1.0 / 1.5),
    );
    let beside = Some(("the first", first));
    goals.note(
        "a second command on kept connections",
        (second, "s"),
        beside,
        Aim::RatioAtMost(0.2),
    );
    let memory = median(&rounds, |round| round.memory);
    goals.note("memory of a connection", (memory, "MB"), None, Aim::AtMost(0.2));
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let bound = SSH_THREADS as f64 + 16.0;
    let threads = median(&rounds, |round| round.threads);
    goals.note("threads", (threads, "threads"), None, Aim::AtMost(bound));
    let (late, lost) = with_dead(&sshd).await?;
    goals.note("time beyond the deadline of 100 dead nodes", (late, "s"), None, Aim::AtMost(1.0));
    let failed = rounds.iter().map(|round| round.failed).sum::<usize>() + lost;
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    goals.note("failures", (failed as f64, "nodes"), None, Aim::AtMost(0.0));
    goals.write()?;
    Ok(())
}

/// What makes the network: everything on 127.0.0.0/8 answers; on 10.99.0.0/16 nobody does, not even
/// to say that there is nobody.
const NETWORK: &str = "ip link set lo up && ip link add dead type veth peer name nobody && \
     ip address add 10.98.0.1/30 dev dead && ip link set nobody up && ip link set dead up && \
     ip neighbour add 10.98.0.2 lladdr 02:00:00:00:00:01 nud permanent dev dead && \
     ip route add 10.99.0.0/16 via 10.98.0.2 && exec \"$@\"";

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    if words.first().is_none_or(|word| word != "inside") {
        let again = Program::new("unshare")
            .args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", NETWORK, "network"])
            .arg(env::current_exe()?)
            .arg("inside")
            .args(words)
            .exec();
        return Err(again.into());
    }
    let full = words.iter().any(|word| word == "--full");
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(inside(full))
}
