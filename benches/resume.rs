//! How long a service that was killed in the middle of a deployment of many nodes takes until the
//! deployment goes on, beside the start of the same service with nothing to go on with.
//!
//! The real program, killed with signal 9; the machines are simulated. Prints a table; nothing is
//! asserted: `scripts/bench resume`.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

mod goals;
mod site;

use goals::{Aim, Goals};
use site::{NODES, Result, Site, kill};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

const ROUNDS: u32 = 5;

fn journal(state: &Path) -> Result<u64> {
    Ok(fs::metadata(state.join("state.redb"))?.len() >> 10)
}

fn row(what: &str, times: &mut [Duration], floor: Duration) -> Duration {
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    let [middle, most] = [median, worst].map(|time| time.as_secs_f64() * 1e3);
    let ratio = if floor.is_zero() { 1.0 } else { median.div_duration_f64(floor) };
    println!("{what:<62} {middle:>8.0} ms (worst {most:.0}) {ratio:>7.2} x an empty start");
    median
}

#[tokio::main]
async fn main() -> Result<()> {
    kadence::platform::crypto();
    let site = Site::new()?;
    let mut empty = Vec::new();
    for _ in 0..ROUNDS {
        let (child, time) = site.start().await?;
        kill(child)?;
        empty.push(time);
    }
    let floor =
        row(&format!("start for {NODES} nodes, nothing to go on with"), &mut empty, Duration::ZERO);

    let (mut child, _) = site.start().await?;
    let path = site.deploy(NODES).await?;
    site.told(&path, "|  wait_reboot", 1).await?;
    let (mut answers, mut goes_on) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS as usize {
        kill(child)?;
        let begun = Instant::now();
        let (again, time) = site.start().await?;
        answers.push(time);
        site.told(&path, "The service was restarted", round).await?;
        goes_on.push(begun.elapsed());
        child = again;
    }
    kill(child)?;
    row("start after kill -9 in a deployment of all, until it answers", &mut answers, floor);
    let time = row("the same, until the deployment goes on", &mut goes_on, floor);
    let mut goals = Goals::default();
    let time = (time.as_secs_f64(), "s");
    goals.note("resume of a deployment of 10 000 nodes", time, None, Aim::AtMost(2.0));
    goals.write()?;
    println!("the state is {} KiB", journal(&site.dir.path().join("state"))?);
    Ok(())
}
