//! Broadcasts by real commands on this machine.

use super::*;
use crate::platform::real::transfer::tests::Bed;
use std::fs;
use tokio::time::{sleep, timeout};

fn site(command: &str) -> SiteCommand {
    let connector = "ssh -l root".to_owned();
    SiteCommand { command: command.to_owned(), connector, by_address: false }
}

fn job(bed: &Bed, nodes: usize) -> TransferJob {
    let path = bed.dir.path().join("stored").display().to_string();
    let mut job = bed.job(nodes, "");
    for one in &mut job.receivers {
        one.errand = Errand::Store { path: path.clone() };
    }
    job
}

#[tokio::test]
async fn the_command_gets_image_nodes_connector_and_what_takes_it() {
    let bed = Bed::new();
    let dir = bed.dir.path().display();
    let command = format!(
        "cp NODEFILE {dir}/nodes && echo 'TAKTUK_CONNECTOR' > {dir}/connector && \
         sh -c 'DECOMPRESS' < ENVFILE"
    );
    let results = broadcast(&*bed.shell, &job(&bed, 2), &site(&command)).await;
    assert_eq!(results.into_values().collect::<Vec<_>>(), [Ok(()), Ok(())]);
    let read = |name: &str| fs::read_to_string(bed.dir.path().join(name)).unwrap();
    assert_eq!(read("nodes"), "n0.example.org\nn1.example.org\n");
    assert_eq!(read("connector"), "ssh -l root\n");
    assert!(fs::read(bed.dir.path().join("stored")).unwrap() == bed.image);
    let by_address = SiteCommand { by_address: true, ..site(&command) };
    broadcast(&*bed.shell, &job(&bed, 2), &by_address).await;
    assert_eq!(read("nodes"), "127.0.1.1\n127.0.1.2\n");
}

#[tokio::test]
async fn a_command_that_fails_or_takes_too_long_fails_all_nodes() {
    let bed = Bed::new();
    let results = broadcast(&*bed.shell, &job(&bed, 2), &site("echo broken >&2; exit 4")).await;
    for result in results.into_values() {
        let why = result.unwrap_err().to_string();
        assert!(why.starts_with("Error while processing to the file broadcast with "), "{why}");
        assert!(why.ends_with("(exited with status 4) broken"), "{why}");
    }
    let started = bed.dir.path().join("started");
    let slow = format!("touch {}; sleep 1000", started.display());
    let short = TransferJob { deadline: Duration::from_secs(2), ..job(&bed, 1) };
    let results = broadcast(&*bed.shell, &short, &site(&slow)).await;
    assert_eq!(results.into_values().next(), Some(Err(TransferError::Deadline(short.deadline))));
    assert!(started.exists());
}

#[tokio::test]
async fn what_cannot_stand_in_a_command_is_refused_before_it_runs() {
    let bed = Bed::new();
    let mut job = job(&bed, 1);
    job.file = bed.dir.path().join("an image; touch it");
    fs::write(&job.file, "x").unwrap();
    let results = broadcast(&*bed.shell, &job, &site("true ENVFILE")).await;
    let why = results.into_values().next().unwrap().unwrap_err().to_string();
    assert!(why.contains("cannot stand in a command"), "{why}");
}

/// The other half of the test below: a service in the middle of a broadcast.
#[tokio::test]
#[ignore = "run by the test below, which kills it"]
async fn a_broadcast_that_does_not_end() {
    let bed = Bed::new();
    let folder = std::env::var("folder").unwrap();
    let command = format!("sh -c 'echo $$ > {folder}/pid; exec sleep 1000'; touch {folder}/after");
    broadcast(&*bed.shell, &job(&bed, 1), &site(&command)).await;
}

#[tokio::test]
async fn the_command_ends_with_a_service_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored"])
        .arg("platform::real::transfer::site::tests::a_broadcast_that_does_not_end")
        .env("folder", folder.path())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = || {
        let text = fs::read_to_string(folder.path().join("pid")).ok()?;
        text.strip_suffix('\n')?.parse::<u32>().ok()
    };
    // A corpse that its new parent has not buried is as good as gone.
    let lives = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    };
    let wait = async |until: &dyn Fn() -> bool| {
        let waiting = async {
            while !until() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(300), waiting).await.expect("it comes to that");
    };
    wait(&|| pid().is_some()).await;
    let command = pid().unwrap();
    assert!(lives(command));
    service.kill().await.unwrap();
    wait(&|| !lives(command)).await;
    assert!(!folder.path().join("after").exists(), "nothing comes after it");
}
