//! Whole deployments on simulated machines: many seeds, mixed sizes, mixed faults.
//!
//! `KADENCE_SEEDS` says how many seeds are run, `KADENCE_FIRST_SEED` which is the first.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail by panicking, as tests do")]

use kadence::{
    platform::sim::{FaultKind, Faults},
    simulation::{Boot, Images, Place, Report, Scenario},
};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, available_parallelism},
};

/// Seeds of one run, if nothing else is said: a few seconds of one core.
const SEEDS: u64 = 40;

/// Most that a run may leave on the heap, bytes: what caches of the process grow by.
const KEPT: i64 = 64 << 10;

/// Drawn scenarios that broke an invariant once. One that fails is added here with what it
/// found.
const FOUND: &[u64] = &[
    // A node whose order could not be written down was lost where others were ordered with more force.
    26, 63,
];

fn place() -> Place {
    Place::built_in().unwrap()
}

/// Says how a run that panics is repeated.
struct Again(String);

impl Drop for Again {
    #[expect(clippy::print_stderr, reason = "who looks at a failure wants to repeat it")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("again: {}", self.0);
        }
    }
}

#[track_caller]
fn held(report: &Report, again: &str) {
    assert!(report.held(), "{report}\nagain: {again}");
}

/// Runs a scenario; all invariants must hold.
#[track_caller]
fn run(scenario: &Scenario) -> Report {
    let report = scenario.run(&place()).unwrap();
    held(&report, &format!("{scenario:?}"));
    report
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn every_seed_holds_all_invariants() {
    let (first, count) = (number("KADENCE_FIRST_SEED", 1), number("KADENCE_SEEDS", SEEDS));
    let seeds = Mutex::new(FOUND.iter().copied().chain(first..first + count));
    let [ok, ko, restarts] = [0; 3].map(AtomicUsize::new);
    let most = AtomicI64::new(0);
    let work = || {
        let place = place();
        let next = || seeds.lock().unwrap().next();
        // What is made once in a thread, or in the process, is made here.
        drop(Scenario::drawn(first).run(&place).unwrap());
        while let Some(seed) = next() {
            let again = Again(format!("kadence simulate --mixed --seed {seed}"));
            let heap = allocation_counter::measure(|| {
                let report = Scenario::drawn(seed).run(&place).unwrap();
                held(&report, &again.0);
                ok.fetch_add(report.ok, Relaxed);
                ko.fetch_add(report.ko, Relaxed);
                restarts.fetch_add(report.restarts, Relaxed);
            });
            assert!(heap.bytes_max > 1 << 17, "nobody counts: {heap:?}");
            let kept = heap.bytes_current;
            most.fetch_max(kept, Relaxed);
            assert!(kept <= KEPT, "{kept} bytes are left of a run\nagain: {}", again.0);
        }
    };
    thread::scope(|scope| {
        let threads = available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let [ok, ko, restarts] = [ok, ko, restarts].map(AtomicUsize::into_inner);
    // Else the faults are none, or nothing but faults: such runs prove nothing.
    println!("{count} seeds: {ok} nodes ok, {ko} ko, {restarts} restarts");
    println!("what a run leaves on the heap: {} bytes at most", most.into_inner());
    assert!(ok > ko && ko > 0 && restarts > 0, "{ok} ok, {ko} ko, {restarts} restarts");
}

#[test]
fn the_same_seed_gives_the_same_journal() {
    let (place, other) = (place(), place());
    // 13, 21 and 40: a command that hangs until its step is over.
    for seed in [3, 4, 5, 6, 13, 21, 40] {
        let scenario = Scenario::drawn(seed);
        let [first, second] = [&place, &other].map(|place| scenario.run(place).unwrap());
        assert_eq!(first, second);
        assert_eq!(first.journal.sha256, second.journal.sha256);
    }
    let [one, two] = [1, 2].map(|seed| Scenario::new(seed, 8).run(&place).unwrap());
    assert_ne!(one.journal.sha256, two.journal.sha256);
}

#[test]
fn without_faults_every_node_is_deployed_however_it_is_done() {
    use config::model::Method::{GpxeLinux, GrubPxe, Ipxe, PxeLinux};
    for method in [Ipxe, PxeLinux, GpxeLinux, GrubPxe] {
        for boot in [Boot::Configured, Boot::Firmware] {
            for images in [Images::Tar, Images::Partition] {
                let method = Some(method);
                let report = run(&Scenario { method, boot, images, ..Scenario::new(1, 12) });
                assert_eq!(
                    (report.ok, report.ko),
                    (12, 0),
                    "{method:?} {boot:?} {images:?}: {report}"
                );
                let step =
                    if boot == Boot::Firmware { "BootNewEnvClassical" } else { "BootNewEnvKexec" };
                assert_eq!(report.steps[step].nodes, 12, "{report}");
            }
        }
    }
}

/// One kind of fault at a rate; the report.
#[track_caller]
fn with(kind: FaultKind, rate: f64) -> Report {
    let mut scenario = Scenario::new(5, 20);
    scenario.faults.set_rate(kind, rate);
    run(&scenario)
}

#[test]
fn each_fault_fails_nodes_with_a_reason_that_names_it() {
    let cases = [
        (FaultKind::BmcCredentials, "refused user"),
        (FaultKind::BmcSessions, "no free session"),
        (FaultKind::BmcSilent, "did not answer"),
        (FaultKind::BmcSlow, "did not answer"),
        (FaultKind::BootLost, "nothing answers at its address"),
        (FaultKind::BootStuck, "nothing answers at its address"),
        (FaultKind::BootPanic, "nothing answers at its address"),
        (FaultKind::DhcpLost, "not the deployment system"),
        (FaultKind::TftpLost, "not the deployment system"),
        (FaultKind::DnsGone, "the name server does not answer"),
        (FaultKind::SshRefused, "connection refused"),
        (FaultKind::SshReset, "connection reset"),
        (FaultKind::SshHangs, "SetDeploymentEnvUntrusted"),
        (FaultKind::DiskSmall, "this layout needs"),
        (FaultKind::DiskWriteError, "Input/output error"),
        (FaultKind::DiskFills, "No space left on device"),
        (FaultKind::RelayDies, "the connection broke off"),
        (FaultKind::RelayStalls, "nothing came any more"),
    ];
    for (kind, words) in cases {
        let report = with(kind, 1.0);
        assert!(report.ko > 0, "{kind:?}: {report}");
        assert!(report.causes.keys().any(|cause| cause.contains(words)), "{kind:?}: {report}");
    }
}

#[test]
fn what_only_takes_longer_fails_nobody() {
    for (kind, rate) in
        [(FaultKind::BootSlow, 0.2), (FaultKind::RelayStalls, 0.05), (FaultKind::DhcpLost, 0.1)]
    {
        let report = with(kind, rate);
        assert_eq!(report.ok, 20, "{kind:?}: {report}");
    }
}

#[test]
fn a_clock_that_jumps_changes_nothing() {
    let [steady, jumps] = [0.0, 1.0].map(|rate| with(FaultKind::ClockJumps, rate));
    assert_eq!((steady.ok, steady.seconds), (20, jumps.seconds));
    assert_eq!(steady, jumps);
}

#[test]
fn a_disk_of_the_server_that_fails_costs_a_restart_and_no_node() {
    let full = with(FaultKind::DiskFull, 0.05);
    assert!(full.ok == 20 && full.restarts > 0, "{full}");
    // Whoever could not be ordered something for it is tried again.
    let restarts = (1..=6).map(|seed| {
        let mut scenario = Scenario::new(seed, 8);
        scenario.faults.set_rate(FaultKind::JournalWrite, 0.01);
        let report = run(&scenario);
        assert_eq!(report.ok, 8, "{report}");
        report.restarts
    });
    assert!(restarts.sum::<usize>() > 0);
}

#[test]
fn a_bmc_that_lies_is_not_believed() {
    let report = with(FaultKind::BmcLies, 0.5);
    assert!(report.ok >= 15, "{report}");
    // Who had lied was asked again.
    let honest = with(FaultKind::BmcLies, 0.0);
    assert!(report.deeds.power > honest.deeds.power, "{report}\n{honest}");
}

#[test]
fn a_few_faults_cost_a_few_nodes() {
    let scenario = Scenario { faults: Faults::uniform(0.002).unwrap(), ..Scenario::new(11, 200) };
    let report = run(&scenario);
    assert!(report.ok >= 180, "{report}");
}
