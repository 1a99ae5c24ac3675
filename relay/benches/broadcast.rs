//! One image to many nodes over links of a given speed: the relay beside one plain copy over TCP to
//! one node, which is the limit, and beside udpcast where it is installed.
//!
//! Run by `scripts/bench broadcast`, as root: the network is made of namespaces. Prints a table;
//! nothing is asserted. Rounds are taken in turns. `--json FILE` writes the goals, `--chart FILE` a
//! chart; `--case NUMBER` takes one case only, `--rounds NUMBER` more or fewer rounds.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its table")]
#![expect(clippy::unwrap_used, reason = "a benchmark that fails says where")]

#[path = "broadcast/goals.rs"]
mod goals;

use relay::{
    message::{Ticket, Timing},
    source::{self, Broadcast, DEFAULT_BLOCK, DEFAULT_RING, Member, Shape},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Mutex,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 1);
/// Far more than any way needs.
const LIMIT: Duration = Duration::from_secs(120);
/// Ticks of a second in /proc (`getconf CLK_TCK` is 100 on every Linux of today).
const TICKS: f64 = 100.0;

/// What is measured: nodes, megabits per second, MiB, relays that are killed on the way.
#[derive(Clone, Copy, PartialEq)]
struct Case {
    nodes: u32,
    rate: u32,
    mib: u32,
    killed: u32,
}

impl Case {
    /// Are processors the limit, and not links?
    fn is_of_processors(self) -> bool {
        self.rate >= 10_000
    }
}

const CASES: [Case; 4] = [
    Case { nodes: 4, rate: 100, mib: 64, killed: 0 },
    Case { nodes: 16, rate: 100, mib: 64, killed: 0 },
    Case { nodes: 4, rate: 1000, mib: 256, killed: 0 },
    Case { nodes: 16, rate: 100, mib: 64, killed: 3 },
];
const FULL: [Case; 1] = [Case { nodes: 64, rate: 10_000, mib: 64, killed: 0 }];

/// One measurement: wall time, and processor time of all processes, seconds; the latter in the
/// end per node and GB.
#[derive(Clone, Copy)]
struct Run {
    wall: f64,
    cpu: f64,
}

/// Medians of a case.
struct Figures {
    case: Case,
    copy: Run,
    relay: Run,
    udpcast: Option<Run>,
}

impl Figures {
    fn name(&self) -> String {
        let Case { nodes, rate, mib, killed } = self.case;
        let killed = if killed > 0 { format!(", {killed} killed") } else { String::new() };
        format!("{mib} MiB to {nodes} nodes at {rate} Mbit/s{killed}")
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Copy,
    Relay,
    Udpcast,
}

fn main() {
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == "inside") {
        return inside(&words[1..]);
    }
    let value =
        |name: &str| words.iter().position(|word| word == name).map(|at| words[at + 1].clone());
    let full = words.iter().any(|word| word == "--full");
    let rounds =
        value("--rounds").map_or(if full { 5 } else { 3 }, |rounds| rounds.parse().unwrap());
    let only: Option<usize> = value("--case").map(|number| number.parse().unwrap());
    println!(
        "{:<52} {:>22} {:>8} {:>16}",
        "broadcast", "median (min-max) s", "x copy", "CPU s / node GB"
    );
    let cases = CASES.into_iter().chain(FULL.into_iter().filter(|_| full));
    let chosen = (1..).zip(cases).filter(|(number, _)| only.is_none_or(|only| only == *number));
    let all: Vec<Figures> = chosen.map(|(_, case)| outside(case, rounds)).collect();
    if let Some(path) = value("--json") {
        fs::write(path, serde_json::to_vec_pretty(&goals::goals(&all)).unwrap()).unwrap();
    }
    if let Some(path) = value("--chart") {
        fs::write(path, goals::chart(&all)).unwrap();
    }
}

/// Makes the network of a case and runs this program in it.
fn outside(case: Case, rounds: usize) -> Figures {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/network.sh");
    let Case { nodes, rate, mib, killed } = case;
    let output = std::process::Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh"])
        .arg(script)
        .args([nodes.to_string(), rate.to_string()])
        .arg(env::current_exe().unwrap())
        .args(["inside".to_owned(), mib.to_string(), killed.to_string(), rounds.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the network could not be made: is this root?");
    let runs: Vec<(String, f64, f64)> = serde_json::from_slice(&output.stdout).unwrap();
    let one = f64::from(mib) * 1024.0 * 1024.0 / 1e9;
    let mut figures = Figures { case, copy: NOTHING, relay: NOTHING, udpcast: None };
    for way in ["copy", "relay", "udpcast"] {
        let sorted = |value: fn(&(String, f64, f64)) -> f64| {
            let mut values: Vec<f64> = runs.iter().filter(|run| run.0 == way).map(value).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let (wall, cpu) = (sorted(|run| run.1), sorted(|run| run.2));
        let Some(middle) = wall.get(wall.len() / 2).copied() else { continue };
        let receivers = if way == "copy" { 1 } else { nodes - killed };
        let run = Run { wall: middle, cpu: cpu[cpu.len() / 2] / one / f64::from(receivers) };
        match way {
            "copy" => figures.copy = run,
            "relay" => figures.relay = run,
            _ => figures.udpcast = Some(run),
        }
        println!(
            "{:<52} {middle:>8.2} ({:.2}-{:.2}) {:>8.3} {:>16.2}",
            format!("{way}: {}", figures.name()),
            wall[0],
            wall[wall.len() - 1],
            middle / figures.copy.wall,
            run.cpu,
        );
    }
    figures
}

const NOTHING: Run = Run { wall: f64::NAN, cpu: f64::NAN };

/// In the network: all ways in turns; prints what was measured.
fn inside(words: &[String]) {
    let number = |at: usize| words[at].parse::<usize>().unwrap();
    let (mib, killed, rounds) = (number(0), number(1), number(2));
    let nodes: Vec<String> =
        env::var("NODES").unwrap().split_whitespace().map(str::to_owned).collect();
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let image = dir.path().join("image");
    fs::write(&image, bytes(mib * 1024 * 1024)).unwrap();
    let bench = Bench { nodes, image, killed };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut runs = Vec::new();
    let udpcast = fs::exists("/usr/bin/udp-sender").unwrap() && killed == 0;
    for _ in 0..rounds {
        for (way, name) in [(Way::Copy, "copy"), (Way::Relay, "relay"), (Way::Udpcast, "udpcast")] {
            if way == Way::Udpcast && !udpcast {
                continue;
            }
            let before = cpu();
            let wall = runtime.block_on(bench.run(way));
            let run = Run { wall, cpu: cpu() - before };
            runs.push((name, run.wall, run.cpu));
        }
    }
    println!("{}", serde_json::to_string(&runs).unwrap());
}

struct Bench {
    /// Processes in the namespaces of the nodes.
    nodes: Vec<String>,
    image: PathBuf,
    killed: usize,
}

impl Bench {
    /// Seconds from when all receivers were ready.
    async fn run(&self, way: Way) -> f64 {
        match way {
            Way::Copy => self.copy().await,
            Way::Relay => self.relay().await,
            Way::Udpcast => self.udpcast().await,
        }
    }

    /// A program on a node.
    fn on(&self, index: usize, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.nodes[index], "-n", program]).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    async fn copy(&self) -> f64 {
        let listener = TcpListener::bind((SERVER, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let source = format!("TCP:{SERVER}:{port}");
        let mut child = self
            .on(0, "socat")
            .args(["-u", "-b", "262144", &source, "OPEN:/dev/null"])
            .spawn()
            .unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = stream.into_std().unwrap();
        let image = self.image.clone();
        let begun = Instant::now();
        // The kernel copies: nothing is faster.
        let copy = move || {
            stream.set_nonblocking(false).unwrap();
            std::io::copy(&mut fs::File::open(image).unwrap(), &mut stream).unwrap();
        };
        tokio::task::spawn_blocking(copy).await.unwrap();
        child.wait().await.unwrap();
        begun.elapsed().as_secs_f64()
    }

    /// What is sent, by the server at that address.
    fn job(&self, server: SocketAddr) -> Broadcast {
        let member = |index: usize| Member {
            name: format!("node{index}"),
            address: Ipv4Addr::new(10, 98, 1, u8::try_from(index + 1).unwrap()).into(),
            command: "exec cat > /dev/null".into(),
            group: String::new(),
            resumes: false,
        };
        Broadcast {
            file: self.image.clone(),
            members: (0..self.nodes.len()).map(member).collect(),
            server,
            deadline: LIMIT,
            timing: Timing::default(),
            block: DEFAULT_BLOCK,
            ring: DEFAULT_RING,
            shape: Shape::default(),
            rate: None,
            total_rate: None,
            run: None,
            leaving: std::sync::Arc::default(),
        }
    }

    async fn relay(&self) -> f64 {
        let listener = TcpListener::bind((SERVER, 0)).await.unwrap();
        let job = self.job(listener.local_addr().unwrap());
        let (ready, children) = (Mutex::new(Instant::now()), Mutex::new(Vec::new()));
        let launch = async |index: usize, ticket: Ticket| {
            let child = self.join(index, &ticket).await;
            children.lock().unwrap().push((index, child));
            *ready.lock().unwrap() = Instant::now();
            Ok(())
        };
        let done = Mutex::new(vec![0.0; self.nodes.len()]);
        let size = fs::metadata(&self.image).unwrap().len();
        let progress = |index: usize, taken: u64| {
            if taken == size {
                done.lock().unwrap()[index] = ready.lock().unwrap().elapsed().as_secs_f64();
            }
        };
        let killing = async {
            for number in 0..self.killed {
                // Spread over the line and over the time; not drawn, so that rounds are alike.
                tokio::time::sleep(Duration::from_millis(1_300)).await;
                let victim = 2 + number * self.nodes.len() / self.killed.max(1);
                let children = children.lock().unwrap();
                let child: &Child = &children.iter().find(|(index, _)| *index == victim).unwrap().1;
                let id = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)).unwrap();
                kill_process(id, Signal::KILL).unwrap();
            }
        };
        let (report, ()) =
            tokio::join!(source::broadcast(listener, &job, launch, &progress), killing);
        let report = report.unwrap();
        // What makes a round different from the others.
        for slow in &report.slow {
            eprintln!("# {slow:?}");
        }
        for loss in &report.losses {
            eprintln!("# {loss}");
        }
        if report.sent > size + size / 8 {
            eprintln!("# {} bytes were sent for {size}", report.sent);
        }
        let well = report.outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(well, self.nodes.len() - self.killed);
        for (_, mut child) in children.into_inner().unwrap() {
            child.wait().await.unwrap();
        }
        done.into_inner().unwrap().into_iter().fold(0.0, f64::max)
    }

    /// A relay that has joined.
    async fn join(&self, index: usize, ticket: &Ticket) -> Child {
        let mut child =
            self.on(index, env!("CARGO_BIN_EXE_kadence-relay")).arg("run").spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&serde_json::to_vec(ticket).unwrap()).await.unwrap();
        drop(stdin);
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).await.unwrap();
        assert_eq!(line, "joined\n");
        child
    }

    async fn udpcast(&self) -> f64 {
        let common = ["--nokbd", "--interface", "eth", "--portbase", "9000"];
        let receive = |index| {
            self.on(index, "udp-receiver").args(common).args(["-f", "/dev/null"]).spawn().unwrap()
        };
        let receivers: Vec<Child> = (0..self.nodes.len()).map(receive).collect();
        // They say that they are there again and again.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        let sender = Command::new("udp-sender")
            .args(common)
            .args(["--full-duplex", "--min-wait", "0", "--min-receivers"])
            .arg(self.nodes.len().to_string())
            .arg("-f")
            .arg(&self.image)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .status();
        let sender = tokio::time::timeout(LIMIT, sender).await.expect("udp-sender ends").unwrap();
        let wall = begun.elapsed().as_secs_f64();
        assert!(sender.success());
        for mut receiver in receivers {
            receiver.wait().await.unwrap();
        }
        wall
    }
}

/// Processor time of this process and of those it has waited for, seconds (proc(5),
/// `/proc/pid/stat`, fields 14 to 17).
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11..15].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS
}

/// Bytes that nothing makes smaller.
fn bytes(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}
