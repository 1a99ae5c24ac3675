//! `kadence store`: the state of a service that does not run, looked at and repaired.

use super::{ConfigDir, Failure, table::lines};
use crate::{
    client::{Printer, tell},
    store::{self, Findings, Repaired, StoreError},
};
use clap::{Args, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// Exit code where something is damaged, and after a repair where something is lost.
pub(super) const DAMAGED: u8 = 2;

/// Arguments of `store`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kadence store check\n  kadence store repair --state-dir /var/lib/kadence\n\n\
        The service must not run. Exit code: 0 all is as it was written, or could be repaired without\n\
        loss; 2 something is damaged, or was lost in the repair; 1 it could not be told or done.\n\
        A repair copies the files of the state into a directory beside them first."
)]
pub(super) struct StoreArgs {
    #[command(subcommand)]
    verb: StoreVerb,
}

#[derive(Debug, Subcommand)]
enum StoreVerb {
    /// Tell whether the state is as it was written. Changes nothing.
    #[command(after_help = "Example:\n  kadence store check --state-dir /var/lib/kadence --json")]
    Check(Which),
    /// Keep what can be read of a damaged state, after a copy of it.
    #[command(after_help = "Example:\n  kadence store repair --config-dir /etc/kadeploy3")]
    Repair(Which),
}

/// Which state.
#[derive(Debug, Args)]
struct Which {
    /// Directory of the state [default: `state_dir` of the configuration]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigDir,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl StoreArgs {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        match self.verb {
            StoreVerb::Check(which) => which.check(),
            StoreVerb::Repair(which) => which.repair(),
        }
    }
}

impl Which {
    fn directory(&self) -> Result<PathBuf, Failure> {
        if let Some(directory) = &self.state_dir {
            return Ok(directory.clone());
        }
        Ok(config::load(&self.config.config_dir)?.config.server.state_dir)
    }

    fn check(&self) -> Result<ExitCode, Failure> {
        let found = store::check(&self.directory()?).map_err(failure)?;
        Printer { json: self.json }.answer(&found, || text(&found))?;
        Ok(code(found.is_sound()))
    }

    fn repair(&self) -> Result<ExitCode, Failure> {
        let progress =
            &mut |done: usize, of: usize| tell(&format!("{done} of {of} records are written"));
        let repaired = store::repair(&self.directory()?, progress).map_err(failure)?;
        Printer { json: self.json }.answer(&repaired, || repaired_text(&repaired))?;
        Ok(code(!repaired.found.is_lossy()))
    }
}

fn code(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) }
}

fn failure(error: StoreError) -> Failure {
    Failure::Service(error.into())
}

fn text(found: &Findings) -> String {
    let count = |(tree, count): (&String, &u64)| format!("  {count:>8}  {tree}");
    let mut text = vec![match &found.damage {
        None => format!("{}: all is as it was written", found.directory.display()),
        Some(damage) => damage.clone(),
    }];
    text.push(format!(
        "{} bytes, {} transactions; records that can be read:",
        found.bytes, found.transaction
    ));
    text.extend(found.records.iter().map(count));
    if found.stale > 0 {
        text.push(format!("{} of them are as they were before the last transaction", found.stale));
    }
    text.extend(found.unreadable.iter().map(|place| format!("cannot be read: {place}")));
    for cut in &found.cut {
        text.push(format!(
            "the journal of {} ends with record {}: {} records behind a gap are left out",
            cut.wid, cut.kept, cut.left_out
        ));
    }
    lines(text)
}

fn repaired_text(repaired: &Repaired) -> String {
    let last = match &repaired.copy {
        None => "nothing was to be repaired".to_owned(),
        Some(copy) => format!(
            "repaired: what could be read was kept, the files as they were are in {}",
            copy.display()
        ),
    };
    text(&repaired.found) + &lines([last])
}
