//! `kadence lab demo`: the main job done for real, and proved.
//!
//! A lab is made, the service runs in it, `kadence deploy` installs an image on its nodes, each
//! node is asked what it runs, a report is written, and everything is taken down again, also
//! when it fails or is interrupted.
//!
//! * `stages` – one run, from the image to the proof
//! * `image` – what is installed, and what a proof compares with
//! * `programs` – the service and its client, run in the namespace as a user would
//! * `proof` – what a node says of itself, and what follows from it
//! * `report` – the end, for people and as JSON
//! * `breakdown` – where the time of the nodes went, and what the service itself took
//! * `usage` – what their machines used of the processors

mod breakdown;
mod image;
mod programs;
mod proof;
mod report;
mod stages;
mod usage;

use super::{
    LabError, Numbers, Place, Reporter, cli::Shape, console, down, error::Context, qemu::NodeFiles,
};
use clap::Args;
use image::ImageKind;
use report::Report;
use std::{path::PathBuf, process::ExitCode, time::Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Name of the demonstration's lab when none is given: a lab that somebody uses is not touched.
pub(super) const DEFAULT_NAME: &str = "kadence-demo";

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// How many nodes.
    #[arg(short = 'n', long, default_value_t = 3)]
    nodes: u8,
    #[command(flatten)]
    shape: Shape,
    /// What is installed.
    #[arg(long, value_enum, default_value = "tar")]
    image: ImageKind,
    /// Write the report there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave everything up.
    #[arg(long)]
    keep: bool,
    /// Boot these nodes into the deployment system and install nothing on them: they cannot be
    /// proved, which shows that the proof can fail.
    #[arg(long, value_name = "LIST", default_value = "", hide = true)]
    leave_in_deployment: Numbers,
    /// `kill -9` of the service when the deployment is in this step, and another start: the
    /// deployment goes on.
    #[arg(long, value_name = "STEP", hide = true)]
    kill_service_in: Option<String>,
}

/// Runs the demonstration in `place`. The code is 0 only if every node is proved.
pub(super) async fn run(
    place: &Place,
    args: DemoArgs,
    say: Reporter<'_>,
) -> Result<ExitCode, LabError> {
    let began = Instant::now();
    // From here on a signal ends the run below, and nothing ends the taking down.
    let mut signals = Signals::new()?;
    let mut report = Report::default();
    let ended = tokio::select! {
        ended = Box::pin(stages::run(place, &args, &mut report, say)) => ended,
        signal = signals.next() => Err(LabError::Interrupted { signal }),
    };
    let interrupted = matches!(ended, Err(LabError::Interrupted { .. }));
    report.conclude(ended);
    breakdown::add(place, &mut report).await;
    if report.is_well() {
        forget_logs(place)?;
    } else {
        report.logs = keep_logs(place);
    }
    report.tell(say);
    if let Some(file) = &args.json {
        report.write(file)?;
    }
    if args.keep && !interrupted && place.plan().is_ok() {
        say(&how_to_reach(place));
    } else {
        let start = Instant::now();
        down(place, &|_| {}).await?;
        say(&line(start, "taken down: processes, namespace, disks"));
    }
    say(&line(
        began,
        if report.is_well() { "all in all: proved" } else { "all in all: NOT proved" },
    ));
    Ok(if report.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `text` with the time since `start`.
fn line(start: Instant, text: &str) -> String {
    format!("{:6.1} s  {text}", start.elapsed().as_secs_f64())
}

/// The signals that end a run.
struct Signals([(Signal, &'static str); 3]);

impl Signals {
    fn new() -> Result<Self, LabError> {
        let catch = |kind| signal(kind).context(|| "catching signals".into());
        Ok(Self([
            (catch(SignalKind::interrupt())?, "SIGINT"),
            (catch(SignalKind::terminate())?, "SIGTERM"),
            (catch(SignalKind::hangup())?, "SIGHUP"),
        ]))
    }

    async fn next(&mut self) -> &'static str {
        let Self([(int, a), (term, b), (hup, c)]) = self;
        tokio::select! {
            _ = int.recv() => a,
            _ = term.recv() => b,
            _ = hup.recv() => c,
        }
    }
}

/// Where the logs of a failed run are kept: beside the lab, which goes.
fn logs_dir(place: &Place) -> PathBuf {
    let mut name = place.dir().file_name().unwrap_or_default().to_owned();
    name.push("-logs");
    place.dir().with_file_name(name)
}

fn forget_logs(place: &Place) -> Result<(), LabError> {
    let dir = logs_dir(place);
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Copies what the service, the lab and the nodes' consoles said; returns where it is now.
fn keep_logs(place: &Place) -> Vec<PathBuf> {
    let dir = logs_dir(place);
    let mut files = vec![programs::service_log(place), place.at("keeper.log")];
    let guests = place.plan().map(|plan| plan.guests).unwrap_or_default();
    for guest in &guests {
        let log = NodeFiles(place.node(&guest.name())).console_log();
        files.extend(console::kept(&log));
    }
    let copy = |from: &PathBuf| {
        let name = from.strip_prefix(place.dir()).ok()?.to_string_lossy().replace('/', "-");
        let to = dir.join(name);
        std::fs::copy(from, &to).ok().map(|_| to)
    };
    // A log that cannot be copied must not hide what the run found out.
    let made = forget_logs(place).is_ok() && std::fs::create_dir_all(&dir).is_ok();
    if made { files.iter().filter_map(copy).collect() } else { Vec::new() }
}

fn how_to_reach(place: &Place) -> String {
    let lab = format!(
        "{} lab --name {} --state-dir {}",
        place.program().display(),
        place.name(),
        place.dir().display()
    );
    format!(
        "left up:\n  log in:      {lab} ssh node-1\n  the console: {lab} console node-1\n  the client:  {lab} exec kadence --user root nodes\n  its log:     {}\n  take down:   {lab} down",
        programs::service_log(place).display()
    )
}
