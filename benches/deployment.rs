//! One machine from power-on to a proved Debian, and four at once, beside a plain shell script
//! that does the same by hand (`benches/lab-baseline`).
//!
//! The real thing on both sides: virtual machines, their BMCs, their firmware. Needs root and what
//! `scripts/demo` builds. Prints the goals and nothing is asserted: `scripts/bench deployment`.
//! `--json FILE` writes them; `--full` takes more rounds, `--rounds N` another number with one
//! machine; `--name` is that of the lab.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

mod goals;

use futures_util::future::select_all;
use goals::{Aim, Goals};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    signal::unix::{Signal, SignalKind, signal},
    time::{sleep, timeout},
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const KADENCE: &str = env!("CARGO_BIN_EXE_kadence");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/lab-baseline");
/// Of one run: four emulated machines on a busy machine took a quarter of an hour.
const DEADLINE: Duration = Duration::from_secs(45 * 60);
/// In which a run that is ended takes its lab down.
const CLEANUP: Duration = Duration::from_secs(60);

const SYSTEM: &str = "power-on to the deployment system";
const DISK: &str = "disk";
const IMAGE: &str = "image";
const SETTINGS: &str = "settings";
const LOADER: &str = "boot loader";
const REBOOT: &str = "reboot to the installed system";
const PROOF: &str = "proof";
const SERVICE: &str = "the service itself";
/// Rows of the table, in the order of a deployment.
const PHASES: [&str; 8] = [SYSTEM, DISK, IMAGE, SETTINGS, LOADER, REBOOT, PROOF, SERVICE];

/// The phase that a step belongs to: `Macro/micro` of ours, a word of the script.
fn phase(step: &str) -> &'static str {
    let (stage, micro) = step.split_once('/').unwrap_or(("", step));
    match micro {
        "send_environment" | "decompress_environment" | "image" => IMAGE,
        "install_bootloader" | "sync" | "boot-loader" => LOADER,
        "create_partition_table" | "disk" => DISK,
        _ if micro.starts_with("format_") => DISK,
        "mount_deploy_part" if stage.starts_with("SetDeploymentEnv") => DISK,
        "settings" => SETTINGS,
        _ if stage.starts_with("BroadcastEnv") => SETTINGS,
        "reboot-asked" | "installed-system" => REBOOT,
        _ if stage.starts_with("BootNewEnv") => REBOOT,
        "proof" => PROOF,
        _ => SYSTEM,
    }
}

/// What one run took, seconds.
struct Run {
    /// From the request, or the first order, to the proof of the last node.
    wall: f64,
    /// Processor time of a machine: the mean of all.
    cpu: f64,
    /// The means of all nodes.
    phases: BTreeMap<&'static str, f64>,
}

impl Run {
    fn new(wall: f64, cpu: &[f64], steps: &[BTreeMap<String, f64>]) -> Result<Self> {
        if cpu.is_empty() || cpu.len() != steps.len() {
            return Err("a report does not tell what each machine used".into());
        }
        let nodes = f64::from(u32::try_from(steps.len())?);
        let mut phases = BTreeMap::new();
        for (step, time) in steps.iter().flatten() {
            *phases.entry(phase(step)).or_default() += time / nodes;
        }
        Ok(Self { wall, cpu: cpu.iter().sum::<f64>() / nodes, phases })
    }
}

/// The report of the demonstration.
#[derive(Deserialize)]
struct Demo {
    stages: BTreeMap<String, f64>,
    seconds: BTreeMap<String, BTreeMap<String, f64>>,
    guest_cpu: BTreeMap<String, f64>,
    service: Option<Own>,
}

#[derive(Deserialize)]
struct Own {
    all: f64,
}

/// The report of the script.
#[derive(Deserialize)]
struct ByHand {
    wall: f64,
    nodes: BTreeMap<String, Node>,
}

#[derive(Deserialize)]
struct Node {
    cpu: f64,
    steps: BTreeMap<String, f64>,
}

/// Runs deployments; Ctrl-C ends the one that runs, which takes its lab down.
struct Bench {
    name: String,
    reports: TempDir,
    signals: Vec<Signal>,
}

impl Bench {
    fn new() -> Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Ok(Self {
            name: goals::option("--name").unwrap_or_else(|| "kadence-bench".into()),
            reports: tempfile::tempdir()?,
            signals: kinds.into_iter().map(signal).collect::<std::io::Result<_>>()?,
        })
    }

    fn report(&self) -> PathBuf {
        self.reports.path().join("report.json")
    }

    async fn ours(&mut self, nodes: u8) -> Result<Run> {
        let mut command = Command::new(KADENCE);
        command.args(["lab", "--name", &self.name, "demo", "--nodes", &nodes.to_string()]);
        let demo: Demo = self.run(command.arg("--json").arg(self.report())).await?;
        let stage = |name| demo.stages.get(name).copied().ok_or("a stage has no time");
        let (deploy, proof) = (stage("deploy")?, stage("proof")?);
        let cpu: Vec<f64> = demo.guest_cpu.into_values().collect();
        let steps: Vec<_> = demo.seconds.into_values().collect();
        let mut run = Run::new(deploy + proof, &cpu, &steps)?;
        run.phases.insert(PROOF, proof);
        run.phases.extend(demo.service.map(|own| (SERVICE, own.all)));
        Ok(run)
    }

    async fn by_hand(&mut self, nodes: u8) -> Result<Run> {
        let mut command = Command::new(SCRIPT);
        let name = format!("{}-by-hand", self.name);
        command.args(["--kadence", KADENCE, "--name", &name, "--nodes", &nodes.to_string()]);
        let script: ByHand = self.run(command.arg("--json").arg(self.report())).await?;
        let (cpu, steps): (Vec<f64>, Vec<_>) =
            script.nodes.into_values().map(|node| (node.cpu, node.steps)).unzip();
        Run::new(script.wall, &cpu, &steps)
    }

    /// Runs it to its end, and reads its report.
    async fn run<T: DeserializeOwned>(&mut self, command: &mut Command) -> Result<T> {
        // A process group of its own: Ctrl-C is for us, and we end it in order.
        let mut child = command.stdin(Stdio::null()).process_group(0).spawn()?;
        let signals = self.signals.iter_mut().map(|signal| Box::pin(signal.recv()));
        let interrupted = async { drop(select_all(signals).await) };
        let why = tokio::select! {
            status = child.wait() => return self.read(status?),
            () = sleep(DEADLINE) => "a deployment did not come to its end in time",
            () = interrupted => "interrupted",
        };
        end(child).await?;
        Err(why.into())
    }

    fn read<T: DeserializeOwned>(&self, status: ExitStatus) -> Result<T> {
        if !status.success() {
            return Err(format!("a deployment failed: {status}").into());
        }
        Ok(serde_json::from_slice(&fs::read(self.report())?)?)
    }

    /// So many nodes, both ways in turn.
    async fn rounds(&mut self, rounds: usize, nodes: u8) -> Result<[Vec<Run>; 2]> {
        let mut runs = [Vec::new(), Vec::new()];
        for round in 1..=rounds {
            println!("nodes: {nodes}, round {round} of {rounds}: Kadence");
            runs[0].push(self.ours(nodes).await?);
            println!("nodes: {nodes}, round {round} of {rounds}: by hand");
            runs[1].push(self.by_hand(nodes).await?);
        }
        Ok(runs)
    }
}

/// Asks it to end, and waits until it has taken its lab down.
async fn end(mut child: Child) -> Result<()> {
    let pid = child.id().and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?));
    if let Some(pid) = pid {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    }
    timeout(CLEANUP, child.wait()).await.map_err(|_| "a lab was not taken down")??;
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}

/// Median, least and most.
fn spread(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    match values {
        [] => "-".into(),
        [one] => format!("{one:.1}"),
        _ => format!("{:.1} ({least:.1}-{most:.1})", median(values)),
    }
}

/// What both ways took, phase by phase.
fn table(title: &str, runs: &[Vec<Run>; 2]) {
    println!("\n{title:<34}{:>22}{:>22}", "Kadence, s", "by hand, s");
    let row = |label: &str, of: &dyn Fn(&Run) -> Option<f64>| {
        let [ours, theirs] =
            [0, 1].map(|way: usize| spread(&runs[way].iter().filter_map(of).collect::<Vec<_>>()));
        println!("{label:<34}{ours:>22}{theirs:>22}");
    };
    for phase in PHASES {
        row(phase, &|run| run.phases.get(phase).copied());
    }
    row("all, to the last proof", &|run| Some(run.wall));
    row("processor time of a machine", &|run| Some(run.cpu));
    println!();
}

async fn measure(full: bool) -> Result<()> {
    let mut bench = Bench::new()?;
    let (singles, fours) = if full { (3, 2) } else { (2, 1) };
    let singles = goals::option("--rounds").map_or(Ok(singles), |rounds| rounds.parse())?;
    let one = bench.rounds(singles, 1).await?;
    let four = bench.rounds(fours, 4).await?;
    table("one node", &one);
    table("four nodes at once, of a node", &four);
    let of =
        |runs: &[Run], value: fn(&Run) -> f64| median(&runs.iter().map(value).collect::<Vec<_>>());
    let [wall, cpu] = [|run: &Run| run.wall, |run: &Run| run.cpu];
    let [ours, script] = &one;
    let mut goals = Goals::default();
    let (name, beside) = ("one node: request to proof", ("a plain script", of(script, wall)));
    goals.note(name, (of(ours, wall), "s"), Some(beside), Aim::RatioAtMost(1.0));
    let (name, beside) = ("one node: processor time", ("a plain script", of(script, cpu)));
    goals.note(name, (of(ours, cpu), "s"), Some(beside), Aim::RatioAtMost(1.0));
    let [many, scripts] = &four;
    let (name, beside) = ("four nodes: processor time of each", ("one node", of(ours, cpu)));
    goals.note(name, (of(many, cpu), "s"), Some(beside), Aim::RatioAtMost(1.0));
    let (name, beside) = ("four nodes: request to proof", ("four scripts", of(scripts, wall)));
    goals.note(name, (of(many, wall), "s"), Some(beside), Aim::RatioAtMost(1.2));
    goals.write()?;
    Ok(())
}

fn main() -> Result<()> {
    let full = env::args().any(|word| word == "--full");
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(full))
}
