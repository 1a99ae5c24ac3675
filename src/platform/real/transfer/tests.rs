//! Broadcasts over a shell that runs commands on this machine, each node with an address
//! of its own on loopback. The relays are real.

mod program;

use super::*;
use crate::{
    nodes::{Firmware, Node},
    platform::{Broken, Command, Input, Output, ShellError},
};
use program::program;
use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Stdio,
    sync::{Mutex, atomic::AtomicU64},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// No two have the same name.
static JOBS: AtomicU64 = AtomicU64::new(0);

/// Nothing here takes so long, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// `sh -c` on this machine, with the node's index in `$NODE` and `$OUT` its own path.
pub(super) struct LocalShell {
    dir: PathBuf,
    pub(super) path: String,
    /// What runs the shell of a node; nothing: this process.
    pub(super) within: fn(&Node) -> Vec<String>,
    /// Damages files on their way, where set.
    damage: bool,
    /// Names of nodes that were sent a file.
    sent: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl Shell for LocalShell {
    async fn run(&self, node: &Node, command: &Command) -> Result<Output, ShellError> {
        let shell = ["/bin/sh", "-c", &command.errand.text()].map(str::to_owned);
        let words = [(self.within)(node), shell.to_vec()].concat();
        let mut child = tokio::process::Command::new(&words[0])
            .args(&words[1..])
            .env("PATH", &self.path)
            .env("OUT", self.dir.join(node.short()))
            .env("NODE", node.short())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut input = match &command.input {
            Input::Empty => Vec::new(),
            Input::Bytes(bytes) => bytes.to_vec(),
            Input::File(path) => {
                self.sent.lock().unwrap().push(node.name.clone());
                fs::read(path).unwrap()
            }
        };
        if self.damage && matches!(command.input, Input::File(_)) {
            input.push(0);
        }
        let mut stdin = child.stdin.take().unwrap();
        let ran = async {
            // A command may end before it has read everything.
            let _ = stdin.write_all(&input).await;
            drop(stdin);
            child.wait_with_output().await.unwrap()
        };
        let output = timeout(command.deadline, ran).await.map_err(|_| ShellError::Deadline {
            node: node.name.clone(),
            after: command.deadline,
        })?;
        Ok(Output {
            status: output.status.code().unwrap(),
            stdout: output.stdout.into(),
            stderr: output.stderr.into(),
        })
    }

    async fn forget(&self, _node: &Node) {}
}

pub(super) struct Bed {
    pub(super) dir: TempDir,
    pub(super) shell: Arc<LocalShell>,
    transfer: RelayTransfer,
    pub(super) image: Vec<u8>,
}

impl Bed {
    pub(super) fn new() -> Self {
        Self::with(|_, _| {})
    }

    pub(super) fn with(alter: impl FnOnce(&mut LocalShell, &mut RelaySettings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let image: Vec<u8> =
            (0..5_000_011u32).map(|at| (at ^ (at >> 7)).to_le_bytes()[0]).collect();
        fs::write(dir.path().join("image"), &image).unwrap();
        let mut settings =
            RelaySettings::new(program().to_owned(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let folder = |name| dir.path().join(name).to_str().unwrap().to_owned();
        // The first does not exist, the second has a character that shells care about.
        settings.folders = vec![folder("nowhere"), folder("it's here")];
        fs::create_dir(&settings.folders[1]).unwrap();
        let mut shell = LocalShell {
            dir: dir.path().to_owned(),
            path: "/usr/bin:/bin".into(),
            within: |_| Vec::new(),
            damage: false,
            sent: Mutex::default(),
        };
        alter(&mut shell, &mut settings);
        let shell = Arc::new(shell);
        let transfer = RelayTransfer::new(shell.clone(), settings);
        Self { dir, shell, transfer, image }
    }

    pub(super) fn job(&self, nodes: usize, command: &str) -> TransferJob {
        TransferJob {
            file: self.dir.path().join("image"),
            receivers: (0..nodes).map(|index| receiver(index, command)).collect(),
            deadline: PATIENCE,
            by: Carrier::Relay,
            name: format!("{} {}", self.dir.path().display(), JOBS.fetch_add(1, Ordering::Relaxed)),
            suspended: CancellationToken::new(),
            broken: Broken::default(),
        }
    }

    pub(super) fn assert_received(&self, node: &Node) {
        assert!(fs::read(self.dir.path().join(node.short())).unwrap() == self.image);
    }

    fn sent(&self) -> usize {
        self.shell.sent.lock().unwrap().len()
    }
}

pub(super) fn node(index: usize) -> Arc<Node> {
    Arc::new(Node {
        name: format!("n{index}.example.org"),
        cluster: "c".into(),
        address: Ipv4Addr::new(127, 0, 1, u8::try_from(index + 1).unwrap()),
        macs: Vec::new(),
        firmware: Firmware::Bios,
        bmc: None,
        rack: None,
        switch: None,
    })
}

pub(super) fn receiver(index: usize, command: &str) -> Receiver {
    Receiver { node: node(index), errand: command.into(), resumes: false }
}

pub(super) const SAVE: &str = r#"cat > "$OUT""#;

#[tokio::test]
async fn the_relay_is_sent_where_it_is_missing_and_used_where_it_is() {
    let bed = Bed::new();
    let job = bed.job(3, SAVE);
    let seen = Mutex::new([0; 3]);
    let progress = |progress: Progress| {
        assert_eq!(progress.total, bed.image.len() as u64);
        seen.lock().unwrap()[progress.node] = progress.written;
    };
    for round in 0..2 {
        let results = bed.transfer.broadcast(&job, &progress).await;
        for Receiver { node, .. } in &job.receivers {
            assert_eq!(results[&node.name], Ok(()), "round {round}");
            bed.assert_received(node);
            fs::remove_file(bed.dir.path().join(node.short())).unwrap();
        }
        assert_eq!(*seen.lock().unwrap(), [bed.image.len() as u64; 3]);
        // The three share one folder here, so some may find what another was sent.
        assert!((1..=3).contains(&bed.sent()), "round {round}: {}", bed.sent());
        if round == 0 {
            bed.shell.sent.lock().unwrap().truncate(1);
        }
    }
    assert_eq!(bed.sent(), 1, "nothing was sent in the second round");
    let home = bed.dir.path().join("it's here/kadence");
    assert_eq!(fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(&home).unwrap().count(), 1, "nothing is left but the relay");
}

#[tokio::test]
async fn an_installed_relay_of_this_version_is_used() {
    let bed = Bed::with(|shell, _| {
        let bin = shell.dir.join("bin");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(program(), bin.join("kadence-relay")).unwrap();
        shell.path = format!("{}:{}", bin.display(), shell.path);
    });
    let job = bed.job(1, SAVE);
    let results = bed.transfer.broadcast(&job, &|_| {}).await;
    assert_eq!(results[&job.receivers[0].node.name], Ok(()));
    bed.assert_received(&job.receivers[0].node);
    assert_eq!(bed.sent(), 0);
}

/// The error of the only node.
async fn error_of(bed: &Bed, job: &TransferJob) -> TransferError {
    bed.transfer.broadcast(job, &|_| {}).await.into_values().next().unwrap().unwrap_err()
}

#[tokio::test]
async fn a_relay_that_cannot_be_put_there_is_a_start_error() {
    let damaged = Bed::with(|shell, _| shell.damage = true);
    let nowhere = Bed::with(|_, settings| settings.folders.truncate(1));
    let unreadable = Bed::with(|_, settings| settings.program = "/nonexistent/relay".into());
    let foreign = Bed::with(|shell, settings| {
        // The folder's name leads elsewhere: not ours alone.
        let target = shell.dir.join("elsewhere");
        fs::create_dir(&target).unwrap();
        let home = Path::new(&settings.folders[1]).join("kadence");
        std::os::unix::fs::symlink(target, home).unwrap();
    });
    for (bed, expected) in [
        (damaged, "what arrived is not the relay: digest "),
        (nowhere, "no folder to run a relay from: "),
        (unreadable, "there is no relay on n0.example.org and none to send: cannot read "),
        (foreign, "no folder to run a relay from: "),
    ] {
        let error = error_of(&bed, &bed.job(1, SAVE)).await;
        let TransferError::Start(why) = &error else { panic!("{error:?}") };
        assert!(why.starts_with(expected), "{why}");
    }
}

#[tokio::test]
async fn failures_come_in_the_terms_of_the_port() {
    let bed = Bed::new();
    let command = r#"[ "$NODE" != n0 ] || { echo full >&2; exit 3; }; cat > "$OUT""#;
    let job = bed.job(2, command);
    let results = bed.transfer.broadcast(&job, &|_| {}).await;
    let stderr = "full".to_owned();
    let failed = TransferError::Command { command: command.to_owned(), status: 3, stderr };
    assert_eq!(results["n0.example.org"], Err(failed));
    assert_eq!(results["n1.example.org"], Ok(()));
    bed.assert_received(&job.receivers[1].node);

    let short = error_of(&bed, &bed.job(1, "exec head -c 9 > /dev/null")).await;
    assert!(matches!(&short, TransferError::Stream(why) if why.contains("5000011")), "{short}");

    let mut late = bed.job(1, "cat > /dev/null; exec sleep 600");
    late.deadline = Duration::from_secs(10);
    assert_eq!(error_of(&bed, &late).await, TransferError::Deadline(late.deadline));

    let mut missing = bed.job(1, SAVE);
    missing.file = "/nonexistent/image".into();
    let error = error_of(&bed, &missing).await;
    assert!(error.to_string().contains("/nonexistent/image"), "{error}");
}

#[tokio::test]
async fn dropping_the_call_ends_relays_and_commands() {
    let bed = Bed::new();
    let mut job = bed.job(2, r#"echo $$ > "$OUT"; cat > /dev/null; exec sleep 600"#);
    // A node that cannot take part ends the wait with its reason.
    job.deadline = PATIENCE / 3;
    let pid = |node: &Node| {
        let text = fs::read_to_string(bed.dir.path().join(node.short())).ok()?;
        text.strip_suffix('\n')?.parse::<u32>().ok()
    };
    let running = async {
        while job.receivers.iter().any(|one| pid(&one.node).is_none()) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        results = bed.transfer.broadcast(&job, &|_| {}) => panic!("it ended: {results:?}"),
        done = timeout(PATIENCE, running) => done.unwrap(),
    }
    for Receiver { node, .. } in &job.receivers {
        let stat = format!("/proc/{}/stat", pid(node).unwrap());
        // A corpse that its new parent has not buried is as good as gone.
        let lives = || fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        let dying = async {
            while lives() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, dying).await.expect("the command is killed");
    }
}

/// Takes half of the image, says that it was begun once more, and waits.
const HALF: &str = r#"head -c 2500000 > "$OUT"; echo begun >> "$OUT.begun"
    until [ -e "$OUT.go" ]; do sleep 0.1; done; exec cat >> "$OUT""#;

/// The service is stopped in the middle, and started again.
#[tokio::test]
async fn a_broadcast_that_is_suspended_is_gone_on_with() {
    let bed = Bed::new();
    let path = |node: &Node, end: &str| bed.dir.path().join(format!("{}.{end}", node.short()));
    let job = bed.job(3, HALF);
    let nodes: Vec<_> = job.receivers.iter().map(|one| Arc::clone(&one.node)).collect();
    let is_under_way = async |node, name| bed.transfer.under_way(node, name, PATIENCE).await;
    assert!(!is_under_way(&nodes[0], &job.name).await);
    let suspended = async {
        while nodes.iter().any(|node| !path(node, "begun").exists()) {
            sleep(Duration::from_millis(10)).await;
        }
        job.suspended.cancel();
        // Tasks that are cancelled are dropped a moment later.
        sleep(Duration::from_millis(300)).await;
    };
    tokio::select! {
        results = bed.transfer.broadcast(&job, &|_| {}) => panic!("it ended: {results:?}"),
        () = suspended => {}
    }
    for node in &nodes {
        assert!(is_under_way(node, &job.name).await, "{}", node.name);
        assert!(!is_under_way(node, "another").await);
        fs::write(path(node, "go"), "").unwrap();
    }
    let resumes = |node: &Arc<Node>| Receiver {
        node: Arc::clone(node),
        errand: "exit 9".into(),
        resumes: true,
    };
    let receivers = nodes.iter().map(resumes).collect();
    let again = TransferJob { receivers, suspended: CancellationToken::new(), ..job.clone() };
    let results = bed.transfer.broadcast(&again, &|_| {}).await;
    for node in &nodes {
        assert_eq!(results[&node.name], Ok(()));
        bed.assert_received(node);
        assert_eq!(fs::read_to_string(path(node, "begun")).unwrap(), "begun\n");
    }
}
