//! A process that is killed while it commits loses nothing it was told is safe.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;

/// Names the directory for the child; without it the child's part does nothing.
pub(super) const DIRECTORY: &str = "KADENCE_TEST_STORE";

/// Workflows that the child journals at once; 8 if it is not said.
pub(super) const WORKFLOWS: &str = "KADENCE_TEST_WORKFLOWS";

/// Commits after which each workflow of the child ends; without it, never.
pub(super) const COMMITS: &str = "KADENCE_TEST_COMMITS";

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Not a test by itself: what the process that is killed does. Each commit that
/// was acknowledged is written out as `workflow number`.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(EmbeddedStore::open(directory).unwrap());
        let mut tasks = JoinSet::new();
        let commits = setting(COMMITS).unwrap_or(u64::MAX);
        for workflow in 0..setting(WORKFLOWS).unwrap_or(8) {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                let id = format!("D-{workflow}");
                let mut last = store.journal(&id, 0, usize::MAX).await.unwrap().len() as u64;
                for _ in 0..commits {
                    last += 1;
                    let change = Change::new()
                        .append(&id, last, body(last))
                        .put_operation(operation(&id, last));
                    store.commit(change).await.unwrap();
                    let line = format!("ack {workflow} {last}\n");
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            });
        }
        tasks.join_all().await;
    });
}

/// Runs the child, kills it after `lines` acknowledgements, and adds to `acked`
/// all that it wrote until it died.
fn run_and_kill(directory: &TempDir, lines: usize, acked: &mut BTreeMap<u64, u64>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::crash::child", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // The harness writes its own words, also in front of ours.
        let line = line.unwrap();
        let Some((_, ack)) = line.split_once("ack ") else { continue };
        let Some((workflow, seq)) = ack.split_once(' ') else { continue };
        let (workflow, seq): (u64, u64) = (workflow.parse().unwrap(), seq.parse().unwrap());
        let last = acked.entry(workflow).or_insert(0);
        *last = seq.max(*last);
        seen += 1;
        if seen == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= lines, "the child ended by itself after {seen} commits");
}

#[tokio::test]
async fn a_killed_process_loses_nothing_acknowledged() {
    let directory = TempDir::new().unwrap();
    let mut acked = BTreeMap::new();
    for lines in [1, 40, 173, 300, 77, 500] {
        run_and_kill(&directory, lines, &mut acked);
        let store = EmbeddedStore::open(directory.path()).unwrap();
        for (workflow, last) in &acked {
            let id = format!("D-{workflow}");
            let journal = store.journal(&id, 0, usize::MAX).await.unwrap();
            let found = journal.len() as u64;
            assert!(found >= *last, "{id}: {last} were acknowledged, {found} are there");
            for (record, n) in journal.iter().zip(1..) {
                assert_eq!((record.seq, record.at_ms, record.body.get()), (n, n, body(n).get()));
            }
            let other = store.operation(&id).await.unwrap();
            assert_eq!(other, Some(operation(&id, found)), "a change was made by half");
        }
    }
}
