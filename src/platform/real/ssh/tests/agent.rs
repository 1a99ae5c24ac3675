//! Keys of an ssh-agent, host keys of files, and the other words of a connector.

use super::{
    super::{Ssh, SshOptions},
    Sshd, command, node,
};
use crate::platform::{Shell, ShellError};
use config::{Connector, SshConnector};
use std::{fs, path::PathBuf, process::Stdio, time::Duration};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, UnixStream},
    process::{Child, Command},
};

/// A real agent in the foreground; it ends with the test.
struct Agent {
    folder: TempDir,
    _child: Child,
}

impl Agent {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("agent");
        let child = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("ssh-agent starts");
        while UnixStream::connect(&socket).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { folder, _child: child }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    async fn add(&self, key: PathBuf) {
        let mut added = Command::new("ssh-add");
        added.arg("-q").arg(key).env("SSH_AUTH_SOCK", self.socket());
        let status = added.stdin(Stdio::null()).stderr(Stdio::null()).status().await;
        assert!(status.expect("ssh-add runs").success());
    }
}

fn connector(text: &str) -> SshConnector {
    match Connector::parse(text) {
        Connector::Ssh(ssh) => ssh,
        Connector::Command { why, .. } => panic!("{why}"),
    }
}

fn with(sshd: &Sshd, key: &str, text: &str) -> Ssh {
    let connector = Some(connector(text));
    Ssh::new(SshOptions { key: sshd.path(key), connector, ..sshd.options() })
}

#[tokio::test]
async fn a_key_that_only_the_agent_has_opens_the_door() {
    let (sshd, agent) = (Sshd::start().await, Agent::start().await);
    let n1 = node("n1", [127, 0, 5, 1]);
    let text = format!("ssh -A -o IdentityAgent={}", agent.socket().display());
    // The service's own key is one that the node does not know; then, only the public half of one.
    for key in ["stranger", "client.pub"] {
        let shell = with(&sshd, key, &text);
        let error = shell.run(&n1, &command("true")).await.expect_err("not yet");
        assert!(matches!(error, ShellError::Key { .. }), "{error}");
    }
    agent.add(sshd.path("stranger")).await;
    agent.add(sshd.path("client")).await;
    for key in ["stranger", "client.pub"] {
        let shell = with(&sshd, key, &text);
        let output = shell.run(&n1, &command("exit 7")).await.expect("the agent has the key");
        assert_eq!(output.status, 7);
    }
    // Keys that no file names do not count where the connector says so.
    let only = format!("{text} -o IdentitiesOnly=yes");
    let error = with(&sshd, "stranger", &only).run(&n1, &command("true")).await;
    assert!(matches!(error, Err(ShellError::Key { .. })), "{error:?}");
    let named = format!("{only} -i {}", sshd.path("client.pub").display());
    with(&sshd, "stranger", &named).run(&n1, &command("true")).await.expect("it is named");
}

#[tokio::test]
async fn a_key_with_a_passphrase_needs_the_agent_and_says_so() {
    let (sshd, agent) = (Sshd::start().await, Agent::start().await);
    let n1 = node("n1", [127, 0, 5, 1]);
    agent.add(sshd.path("client")).await;
    let locked = std::process::Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "secret words", "-f"])
        .arg(sshd.path("client"))
        .status();
    assert!(locked.expect("ssh-keygen runs").success());
    let gone = format!("ssh -o IdentityAgent={}.gone", agent.socket().display());
    let error = with(&sshd, "client", &gone).run(&n1, &command("true")).await.expect_err("locked");
    let told = error.to_string();
    assert!(matches!(error, ShellError::KeyFile { .. }) && told.contains("ssh-agent"), "{told}");
    let text = format!("ssh -o IdentityAgent={}", agent.socket().display());
    with(&sshd, "client", &text).run(&n1, &command("true")).await.expect("the agent has it");
}

#[tokio::test]
async fn host_keys_of_files_are_checked_as_the_connector_says() {
    let mut sshd = Sshd::start().await;
    let n1 = node("n1", [127, 0, 5, 1]);
    let file = sshd.path("known");
    let text = |how: &str| {
        format!(
            "ssh -o IdentityAgent=none -o StrictHostKeyChecking={how} -o UserKnownHostsFile={} \
             -o GlobalKnownHostsFile=none",
            file.display()
        )
    };
    let strict = with(&sshd, "client", &text("yes"));
    let error = strict.run(&n1, &command("true")).await.expect_err("nobody knows it");
    assert!(error.to_string().contains("under the name [n1]:"), "{error}");
    let accepting = with(&sshd, "client", &text("accept-new"));
    accepting.run(&n1, &command("true")).await.expect("it is new");
    let written = fs::read_to_string(&file).expect("written");
    assert!(written.starts_with(&format!("[n1]:{} ssh-ed25519 ", sshd.port)), "{written}");
    strict.run(&n1, &command("true")).await.expect("now it is known");
    // OpenSSH reads what was written.
    let found = std::process::Command::new("ssh-keygen")
        .arg("-F")
        .arg(format!("[n1]:{}", sshd.port))
        .arg("-f")
        .arg(&file)
        .stdout(Stdio::null())
        .status();
    assert!(found.expect("ssh-keygen runs").success());
    // It hashes the names, and they are found all the same.
    let mut hashed = std::process::Command::new("ssh-keygen");
    hashed.args(["-q", "-H", "-f"]).arg(&file);
    assert!(hashed.stderr(Stdio::null()).stdout(Stdio::null()).status().expect("runs").success());
    assert!(fs::read_to_string(&file).expect("read").starts_with("|1|"));
    strict.forget(&n1).await;
    strict.run(&n1, &command("true")).await.expect("it is known by its hash");

    sshd.reinstall().await;
    for how in ["yes", "accept-new"] {
        let shell = with(&sshd, "client", &text(how));
        let error = shell.run(&n1, &command("true")).await.expect_err("another key");
        assert!(error.to_string().contains("is another than in"), "{error}");
    }
    with(&sshd, "client", &text("no")).run(&n1, &command("true")).await.expect("any key");
}

#[tokio::test]
async fn user_port_key_and_time_of_the_connector_count() {
    let sshd = Sshd::start().await;
    let n1 = node("n1", [127, 0, 5, 1]);
    let user = sshd.options().user;
    let options = SshOptions {
        user: "nobody-at-all".into(),
        port: 1,
        connector: Some(connector(&format!(
            "ssh -A -q -l {user} -p {} -i {} -o IdentityAgent=none -o ServerAliveInterval=5",
            sshd.port,
            sshd.path("client").display()
        ))),
        ..SshOptions::new(sshd.path("stranger"))
    };
    Ssh::new(options).run(&n1, &command("true")).await.expect("it runs");

    let silent = TcpListener::bind(("127.0.5.68", 0)).await.expect("a listener");
    let port = silent.local_addr().expect("its address").port();
    let text = format!("ssh -p {port} -o ConnectTimeout=1 -o IdentityAgent=none");
    let shell = with(&sshd, "client", &text);
    let error =
        shell.run(&node("n2", [127, 0, 5, 68]), &command("true")).await.expect_err("silence");
    assert!(error.to_string().contains("within 1s (ConnectTimeout)"), "{error}");
}
