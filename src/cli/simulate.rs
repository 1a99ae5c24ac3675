//! `kadence simulate`: a deployment on simulated machines, in virtual time.

use super::Failure;
use crate::{
    client::write_out,
    platform::sim::Faults,
    simulation::{Place, Report, Scenario},
};
use anyhow::{Context, anyhow};
use clap::Args;
use serde::Serialize;
use std::{
    fmt::Write,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
};

/// Arguments of `simulate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing is touched but this process: the machines, their disks and their time are simulated. \
The plan, the steps and the automaton are those of the service. The same arguments give the same run.\n\n\
Exit code 0: every invariant held, whatever became of the nodes.\n\n\
Example:\n  kadence simulate --nodes 200 --seed 7 --faults 0.02"
)]
pub(super) struct SimulateArgs {
    /// How many machines.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    nodes: u32,
    /// What all chance follows from.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Run so many seeds, from the first on.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seeds: u64,
    /// What goes wrong: a rate from 0 to 1 for everything but the disk of the server, or a file with
    /// rates and counts.
    #[arg(long, value_name = "FILE|RATE")]
    faults: Option<String>,
    /// Draw size, faults, image and loader from the seed as well.
    #[arg(long, conflicts_with_all = ["nodes", "faults"])]
    mixed: bool,
    /// Simulate a cluster of this configuration [default: a built-in site]
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// Which cluster of it [default: its first]
    #[arg(long, value_name = "NAME", requires = "config_dir")]
    cluster: Option<String>,
    /// Write a JSON object for each seed, one a line.
    #[arg(long)]
    json: bool,
}

impl SimulateArgs {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        // The runs have clocks of their own: not on a thread of this runtime.
        let done = tokio::task::spawn_blocking(move || self.runs()).await;
        done.map_err(anyhow::Error::from).and_then(|result| result).map_err(Failure::Service)
    }

    fn runs(&self) -> anyhow::Result<ExitCode> {
        let place = match &self.config_dir {
            Some(dir) => Place::of(dir, self.cluster.as_deref())?,
            None => Place::built_in()?,
        };
        let faults = self.faults.as_deref().map(faults).transpose()?.unwrap_or_default();
        let (mut held, mut broken) = (0, Vec::new());
        for seed in self.seed..self.seed.saturating_add(self.seeds.max(1)) {
            let scenario = if self.mixed {
                Scenario::drawn(seed)
            } else {
                Scenario { faults: faults.clone(), ..Scenario::new(seed, self.nodes) }
            };
            let again = self.again(seed);
            let report = run(&scenario, &place).with_context(|| format!("again: {again}"))?;
            self.tell(&report, &again)?;
            if report.held() { held += 1 } else { broken.push(seed) }
        }
        if self.seeds > 1 && !self.json {
            write_out(&format!("{held} of {} seeds held all invariants\n", self.seeds))?;
        }
        Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn tell(&self, report: &Report, again: &str) -> anyhow::Result<()> {
        if self.json {
            let told = Told { report, again: (!report.held()).then_some(again) };
            return Ok(write_out(&(serde_json::to_string(&told)? + "\n"))?);
        }
        if self.seeds == 1 || !report.held() {
            write_out(&format!("{report}\n"))?;
        }
        if !report.held() {
            write_out(&format!("  again: {again}\n"))?;
        }
        Ok(())
    }

    /// The command that repeats the run of one seed.
    fn again(&self, seed: u64) -> String {
        let mut command = format!("kadence simulate --seed {seed}");
        if self.mixed {
            command += " --mixed";
        } else {
            let _ = write!(command, " --nodes {}", self.nodes);
        }
        for (option, value) in [
            ("--faults", self.faults.clone()),
            ("--config-dir", self.config_dir.as_ref().map(|dir| dir.display().to_string())),
            ("--cluster", self.cluster.clone()),
        ] {
            // A word of a command line has no NUL, which is all that cannot be quoted.
            if let Some(Ok(value)) = value.as_deref().map(shlex::try_quote) {
                let _ = write!(command, " {option} {value}");
            }
        }
        command
    }
}

/// What programs read of a run.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// The command that repeats a run that broke an invariant.
    #[serde(skip_serializing_if = "Option::is_none")]
    again: Option<&'a str>,
}

/// Carries `scenario` out; a panic is an error as any other, which the command that repeats it
/// is told with.
fn run(scenario: &Scenario, place: &Place) -> anyhow::Result<Report> {
    let ran = catch_unwind(AssertUnwindSafe(|| scenario.run(place)));
    ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        Err(anyhow!("seed {} panicked: {text}", scenario.seed))
    })
}

/// A rate, or the name of a file.
fn faults(text: &str) -> anyhow::Result<Faults> {
    if let Ok(rate) = text.parse() {
        return Faults::uniform(rate).context("--faults");
    }
    let file = fs::read_to_string(text).with_context(|| {
        format!("--faults {text} is neither a rate nor a file that can be read")
    })?;
    Faults::parse(&file).with_context(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        simulate: SimulateArgs,
    }

    fn parse(command: &str) -> SimulateArgs {
        let words = shlex::split(command).unwrap();
        Cli::try_parse_from(words.into_iter().skip(1)).unwrap().simulate
    }

    #[test]
    fn a_broken_run_tells_the_command_that_repeats_it() {
        for (words, again) in [
            ("kadence simulate --seeds 9", "kadence simulate --seed 7 --nodes 10"),
            ("kadence simulate --mixed --seeds 9", "kadence simulate --seed 7 --mixed"),
            (
                "kadence simulate --nodes 3 --faults 'a b.yaml' --config-dir /etc/k --cluster c",
                "kadence simulate --seed 7 --nodes 3 --faults 'a b.yaml' --config-dir /etc/k --cluster c",
            ),
        ] {
            let args = parse(words);
            assert_eq!(args.again(7), again);
            assert_eq!(parse(again).again(7), again);
        }
    }

    #[test]
    fn programs_read_the_command_where_an_invariant_is_broken() {
        let place = Place::built_in().unwrap();
        let mut report = run(&Scenario::new(3, 1), &place).unwrap();
        let told = |report: &Report| {
            let again = (!report.held()).then_some("kadence simulate --seed 3 --nodes 1");
            serde_json::to_value(Told { report, again }).unwrap()
        };
        assert_eq!(told(&report).get("again"), None);
        report.broken.push("a node was lost".to_owned());
        let told = told(&report);
        assert_eq!(told["again"], "kadence simulate --seed 3 --nodes 1");
        assert_eq!((&told["seed"], &told["broken"][0]), (&3.into(), &"a node was lost".into()));
    }
}
