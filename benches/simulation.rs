//! The cost of a whole deployment on simulated machines: plan, steps, automaton and machines, in
//! one process.
//!
//! Prints a table; nothing is asserted: `scripts/bench simulation`. The ratios are to a run of 100
//! nodes, which is measured in turns with the others: what a node costs must not grow with their
//! number. The memory is that of the service and of the machines it is shown. The server's disk, which a
//! simulation keeps in memory too, is told beside it: the peak of the heap, and of what is in it
//! besides the disk, looked at every few milliseconds.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]
#![expect(clippy::cast_precision_loss, reason = "megabytes")]

mod goals;

use goals::{Aim, Goals};
use kadence::{
    platform::sim::Faults,
    simulation::{Place, Report, Scenario},
    store::MemoryDisk,
};
use peak::PEAK;
use std::{
    error::Error,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// Peak of the heap, counted by the allocator.
mod peak {
    use peak_alloc::PeakAlloc;

    #[global_allocator]
    pub(crate) static PEAK: PeakAlloc = PeakAlloc;
}

/// Nodes of the run that the others are compared with.
const FEW: u32 = 100;
/// A run of few nodes is short: the mean of so many is taken.
const ROUNDS: u32 = 20;

struct Measured {
    report: Report,
    time: Duration,
    /// Bytes at the peak.
    heap: usize,
    /// The same without the server's disk.
    without_disk: usize,
}

/// How often the heap is looked at.
const LOOK: Duration = Duration::from_millis(5);

fn measure(scenario: &Scenario, place: &Place) -> Result<Measured, Box<dyn Error>> {
    PEAK.reset_peak_usage();
    let before = PEAK.current_usage();
    let (over, running) = channel::<()>();
    let look = thread::spawn(move || {
        let mut most = 0;
        while running.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            // The disk first: what grows in between counts as memory.
            let disk = MemoryDisk::held();
            most = most.max(PEAK.current_usage().saturating_sub(disk));
        }
        most
    });
    let begun = Instant::now();
    let report = scenario.run(place);
    let time = begun.elapsed();
    drop(over);
    let most = look.join().map_err(|_| "the watch over the heap broke")?;
    let report = report?;
    if !report.held() {
        return Err(format!("an invariant was broken\n{report}").into());
    }
    let heap = PEAK.peak_usage() - before;
    Ok(Measured { report, time, heap, without_disk: most.saturating_sub(before) })
}

/// Time of a node, milliseconds.
fn each(time: Duration, nodes: u32) -> f64 {
    time.as_secs_f64() * 1e3 / f64::from(nodes)
}

/// Time of a node in runs of few, milliseconds.
fn few(faults: &Faults, place: &Place) -> Result<f64, Box<dyn Error>> {
    let mut time = Duration::ZERO;
    for seed in 0..ROUNDS {
        let scenario = Scenario { faults: faults.clone(), ..Scenario::new(seed.into(), FEW) };
        time += measure(&scenario, place)?.time;
    }
    Ok(each(time / ROUNDS, FEW))
}

fn main() -> Result<(), Box<dyn Error>> {
    let place = Place::built_in()?;
    println!(
        "{:<28} {:>9} {:>12} {:>22} {:>12} {:>12}   nodes that failed",
        "deployment of", "time", "a node", "ratio to 100 nodes", "heap a node", "without disk"
    );
    let mut goals = Goals::default();
    for (rate, note, limit) in [(0.0, "without faults", 60.0), (0.02, "with 2 % faults", 120.0)] {
        let faults = Faults::uniform(rate)?;
        // What is measured first would pay for the first pages of the heap.
        few(&faults, &place)?;
        for nodes in [1_000, 10_000] {
            let floor = few(&faults, &place)?;
            let scenario = Scenario { faults: faults.clone(), ..Scenario::new(1, nodes) };
            let Measured { report, time, heap, without_disk } = measure(&scenario, &place)?;
            let node = each(time, nodes);
            println!(
                "{:<28} {:>7.2} s {:>9.3} ms {:>20.2} x {:>8} KiB {:>8} KiB   {}",
                format!("{nodes} {note}"),
                time.as_secs_f64(),
                node,
                node / floor,
                heap / nodes as usize / 1024,
                without_disk / nodes as usize / 1024,
                report.ko,
            );
            if nodes < 10_000 {
                continue;
            }
            let name = format!("{nodes} nodes {note}");
            goals.note(&name, (time.as_secs_f64(), "s"), None, Aim::AtMost(limit));
            let beside = Some(("among 100", floor));
            goals.note(
                &format!("a node among 10 000 {note}"),
                (node, "ms"),
                beside,
                Aim::RatioAtMost(1.3),
            );
            let kib = |bytes: usize| bytes as f64 / f64::from(nodes) / 1024.0;
            let beside = Some(("with the server's disk", kib(heap)));
            let memory = (kib(without_disk), "KiB");
            goals.note(
                &format!("memory of a node among 10 000 {note}"),
                memory,
                beside,
                Aim::AtMost(8.0),
            );
        }
    }
    goals.write()?;
    Ok(())
}
