//! What the system is asked to do before a commit is acknowledged.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

/// Commits that are watched.
const COMMITS: usize = 30;

/// Whether processes may be traced: containers often forbid it.
fn may_trace() -> bool {
    let traced = Command::new("strace").args(["-qq", "-e", "trace=none", "true"]).output();
    traced.expect("strace, which `scripts/setup test` installs").status.success()
}

/// Runs the child of the crash tests with one workflow under strace, until it has
/// acknowledged enough; the trace, or none if it did not.
fn trace(directory: &TempDir) -> Option<String> {
    let log = directory.path().join("trace");
    let mut child = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=pwrite64,fdatasync,fsync,write", "-s", "64", "-o"])
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::crash::child", "--ignored", "--nocapture"])
        .env(crash::DIRECTORY, directory.path())
        .env(crash::WORKFLOWS, "1")
        .env(crash::COMMITS, COMMITS.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let lines = BufReader::new(child.stdout.take()?).lines();
    let acknowledged = lines.map_while(Result::ok).filter(|line| line.contains("ack ")).count();
    child.wait().ok()?;
    (acknowledged >= COMMITS).then(|| std::fs::read_to_string(log).unwrap())
}

/// What one line of a trace is about.
#[derive(Debug, PartialEq)]
enum Event {
    Write,
    Sync,
    Acknowledged,
}

/// A call that was interrupted by another thread's has two lines: a write counts when it
/// begins, a sync when it has ended.
fn event(line: &str, syncing: &mut Vec<String>) -> Option<Event> {
    let (thread, call) = line.split_once(' ')?;
    let call = call.trim_start();
    let state = call.contains(engine::FILE);
    if call.starts_with("write(") && call.contains("\"ack ") {
        return Some(Event::Acknowledged);
    }
    if call.starts_with("pwrite64(") && state {
        return Some(Event::Write);
    }
    if (call.starts_with("fdatasync(") || call.starts_with("fsync(")) && state {
        if call.ends_with("<unfinished ...>") {
            syncing.push(thread.to_owned());
            return None;
        }
        return call.ends_with("= 0").then_some(Event::Sync);
    }
    let resumed = call.contains("fdatasync resumed") || call.contains("fsync resumed");
    if resumed && call.ends_with("= 0") && syncing.iter().any(|waiting| waiting == thread) {
        syncing.retain(|waiting| waiting != thread);
        return Some(Event::Sync);
    }
    None
}

#[test]
fn between_the_writes_of_a_commit_and_its_acknowledgement_stands_a_sync() {
    let directory = TempDir::new().unwrap();
    if !may_trace() {
        println!("not run: strace must not trace here");
        return;
    }
    let trace = trace(&directory).unwrap();
    let mut syncing = Vec::new();
    let events: Vec<Event> = trace.lines().filter_map(|line| event(line, &mut syncing)).collect();
    let commits: Vec<&[Event]> =
        events.split_inclusive(|event| *event == Event::Acknowledged).collect();
    let mut watched = 0;
    for commit in commits.iter().filter(|commit| commit.last() == Some(&Event::Acknowledged)) {
        let [.., before, _] = commit else { panic!("acknowledged without a write: {commit:?}") };
        assert!(commit.contains(&Event::Write), "{commit:?}");
        assert_eq!(*before, Event::Sync, "acknowledged before a sync: {commit:?}");
        watched += 1;
    }
    println!("{watched} commits, each with a sync between its writes and its acknowledgement");
    assert!(watched >= COMMITS, "{watched}");
}
