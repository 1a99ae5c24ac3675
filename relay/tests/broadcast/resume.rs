//! The server is killed in the middle, and another one goes on.

use crate::{
    bed::{BLOCK, Bed, PATIENCE, bytes, is_dead, kill, member, relay, until, written_pid},
    broken::parent,
};
use relay::{
    message::{Ticket, Timing},
    source::{self, Broadcast, Member, Shape},
};
use rustix::process::{Pid, Signal};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::TcpListener,
    process::{Child, Command},
    time::timeout,
};

const NODES: usize = 4;
const IMAGE: usize = 200 * BLOCK;

/// Takes half of the blocks, says who it is, and waits for the word to take the others.
const WAITING: &str = r#"head -c 6553600 > "$OUT"; echo $$ > "$OUT.pid"
    until [ -e "${OUT%?}.go" ]; do sleep 0.1; done; exec cat >> "$OUT""#;

/// What is on disk when the server is gone.
struct Stage(tempfile::TempDir);

impl Stage {
    fn new() -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        fs::write(stage.path("image"), bytes(IMAGE)).unwrap();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A server in a process of its own. Nodes of `resuming`, by their digits, are to go on.
    fn server(&self, resuming: &str) -> Child {
        Command::new(env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "resume::a_server"])
            .envs([("STAGE", self.0.path().as_os_str()), ("RESUMING", resuming.as_ref())])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// The commands of the nodes, once the first server is dead.
    async fn interrupted(&self) -> Vec<Pid> {
        let mut server = self.server("");
        let mut commands = Vec::new();
        for index in 0..NODES {
            commands.push(written_pid(&self.path(&format!("out{index}.pid"))).await);
        }
        server.kill().await.unwrap();
        commands
    }

    /// The next server goes on: for each node what came of it, and the bytes that it sent.
    async fn gone_on(&self, resuming: &str) -> (Vec<String>, usize) {
        let mut server = self.server(resuming);
        let ended = timeout(PATIENCE, server.wait()).await.expect("it ends").unwrap();
        assert!(ended.success());
        let report = fs::read_to_string(self.path("report")).unwrap();
        serde_json::from_str(&report).unwrap()
    }

    fn assert_received(&self, index: usize) {
        let got = fs::read(self.path(&format!("out{index}"))).unwrap();
        assert!(got == bytes(IMAGE), "member {index} has the image");
    }
}

#[tokio::test]
async fn the_nodes_keep_what_they_have() {
    let stage = Stage::new();
    let commands = stage.interrupted().await;
    fs::write(stage.path("out.go"), "").unwrap();
    let (outcomes, sent) = stage.gone_on("0123").await;
    assert_eq!(outcomes, vec!["well"; NODES]);
    assert!(sent < IMAGE * 6 / 10, "{sent} bytes of {IMAGE} were sent again");
    for (index, command) in commands.into_iter().enumerate() {
        stage.assert_received(index);
        until("the command is the one of before, and has ended", || is_dead(command)).await;
        assert_eq!(written_pid(&stage.path(&format!("out{index}.pid"))).await, command);
    }
}

#[tokio::test]
async fn who_has_nothing_any_more_begins_anew_or_not_at_all() {
    let stage = Stage::new();
    let commands = stage.interrupted().await;
    for index in [1, 2] {
        kill(parent(commands[index]), Signal::KILL);
        kill(commands[index], Signal::KILL);
    }
    fs::write(stage.path("out.go"), "").unwrap();
    // Of the two that were killed, one is to go on with what it has, and the other is not.
    let (outcomes, _) = stage.gone_on("013").await;
    let nothing = "there is nothing here to go on with";
    assert_eq!(outcomes, ["well", nothing, "well", "well"]);
    for index in [0, 2, 3] {
        stage.assert_received(index);
    }
}

/// A server that ends what it does leaves nothing behind, whether another one could go on or not.
#[tokio::test]
async fn a_broadcast_that_is_given_up_is_not_gone_on_with() {
    let mut bed = Bed::new(2, 200 * BLOCK, WAITING).await;
    bed.job.run = Some(bed.dir.path().display().to_string());
    bed.job.timing.resume = PATIENCE * 2;
    let files = [0, 1].map(|index| bed.out(index).with_extension("pid"));
    let running = async {
        for file in &files {
            written_pid(file).await;
        }
    };
    tokio::select! {
        report = bed.run() => panic!("it ended: {report:?}"),
        () = running => {}
    }
    bed.exited(0).await;
    bed.exited(1).await;
}

#[tokio::test]
#[ignore = "run by the tests above, as a process that can be killed"]
async fn a_server() {
    let stage = PathBuf::from(env::var("STAGE").unwrap());
    let resuming = env::var("RESUMING").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let member = |index: usize| Member {
        resumes: resuming.contains(&index.to_string()),
        ..member(index, WAITING)
    };
    let job = Broadcast {
        file: stage.join("image"),
        members: (0..NODES).map(member).collect(),
        server: listener.local_addr().unwrap(),
        deadline: PATIENCE,
        timing: Timing { beat: Duration::from_millis(200), ..Timing::default() },
        block: BLOCK,
        ring: 4,
        shape: Shape::default(),
        rate: None,
        total_rate: None,
        run: Some(stage.display().to_string()),
        leaving: std::sync::Arc::default(),
    };
    let launch = async |index, ticket| start(&stage, index, &ticket).await;
    let report = source::broadcast(listener, &job, launch, &|_, _| {}).await.unwrap();
    let outcomes = report.outcomes.into_iter();
    let outcomes: Vec<String> = outcomes
        .map(|outcome| outcome.map_or_else(|error| error.to_string(), |()| "well".to_owned()))
        .collect();
    let report = serde_json::to_vec(&(outcomes, report.sent)).unwrap();
    fs::write(stage.join("report"), report).unwrap();
}

/// The relay outlives the server, as on a node.
async fn start(stage: &Path, index: usize, ticket: &Ticket) -> Result<(), String> {
    let mut child = relay()
        .arg("start")
        .env("OUT", stage.join(format!("out{index}")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&serde_json::to_vec(ticket).unwrap()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}
