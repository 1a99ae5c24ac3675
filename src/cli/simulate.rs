//! `kadence simulate`: a deployment on simulated machines, in virtual time.

use super::Failure;
use crate::{
    client::write_out,
    platform::sim::Faults,
    simulation::{Place, Report, Scenario},
};
use anyhow::Context;
use clap::Args;
use std::{fmt::Write, fs, path::PathBuf, process::ExitCode};

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
    /// What goes wrong: a rate from 0 to 1 for everything, or a file with rates and counts.
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
            let report = scenario.run(&place)?;
            self.tell(&report)?;
            if report.held() { held += 1 } else { broken.push(seed) }
        }
        if self.seeds > 1 && !self.json {
            write_out(&format!("{held} of {} seeds held all invariants\n", self.seeds))?;
        }
        Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn tell(&self, report: &Report) -> anyhow::Result<()> {
        if self.json {
            return Ok(write_out(&(serde_json::to_string(report)? + "\n"))?);
        }
        if self.seeds == 1 || !report.held() {
            write_out(&format!("{report}\n"))?;
        }
        if !report.held() {
            write_out(&format!("  again: {}\n", self.again(report.seed)))?;
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
            if let Some(value) = value {
                let _ = write!(command, " {option} '{value}'");
            }
        }
        command
    }
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
