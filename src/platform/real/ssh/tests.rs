mod agent;
mod lab;

use super::{
    Ssh, SshOptions,
    sshd::{Sshd, node},
};
use crate::platform::{Command, Input, Output, Shell, ShellError};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{join_all, poll_immediate},
    stream::FuturesUnordered,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};
use tokio::{io::AsyncWriteExt, net::TcpListener, time::sleep};

const LONG: Duration = Duration::from_secs(120);
const SHORT: Duration = Duration::from_millis(700);
const LIMIT: usize = 64 << 20;

fn command(text: &str) -> Command {
    Command {
        errand: crate::platform::Errand::from(text).into(),
        input: Input::Empty,
        deadline: LONG,
        output_limit: LIMIT,
    }
}

async fn ok(shell: &Ssh, text: &str) -> Output {
    shell.run(&node("n1", [127, 0, 5, 1]), &command(text)).await.expect("it runs")
}

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[tokio::test]
async fn a_command_has_output_and_status_over_one_kept_connection() {
    let sshd = Sshd::start().await;
    let shell = sshd.shell();
    let output = ok(&shell, "echo out; echo err >&2; exit 3").await;
    assert_eq!((output.status, text(&output.stdout), text(&output.stderr)), (3, "out\n", "err\n"));
    assert_eq!(ok(&shell, "true").await, Output::default());
    assert_eq!(ok(&shell, "kill -9 $$").await.status, 128 + 9);
    assert_eq!(ok(&shell, "kill -TERM $$").await.status, 128 + 15);
    assert_eq!(sshd.log_ins(), 1);
    shell.forget(&node("n1", [127, 0, 5, 1])).await;
    ok(&shell, "true").await;
    assert_eq!(sshd.log_ins(), 2);
}

#[tokio::test]
async fn both_streams_can_be_large() {
    let sshd = Sshd::start().await;
    let shell = sshd.shell();
    let size = 9 << 20;
    let both = format!("head -c {size} /dev/zero & head -c {size} /dev/zero >&2; wait");
    let output = ok(&shell, &both).await;
    assert_eq!((output.stdout.len(), output.stderr.len(), output.status), (size, size, 0));
    let one = format!("head -c {size} /dev/zero >&2; echo end");
    let output = ok(&shell, &one).await;
    assert_eq!((text(&output.stdout), output.stderr.len()), ("end\n", size));
    assert_eq!(sshd.log_ins(), 1);
}

#[tokio::test]
async fn too_much_output_is_an_error_and_costs_the_connection_only() {
    let sshd = Sshd::start().await;
    let shell = sshd.shell();
    for (flood, limit) in [("head -c 1001 /dev/zero", 1000), ("cat /dev/zero >&2", 1000)] {
        let command = Command { output_limit: limit, ..command(flood) };
        let error = shell.run(&node("n1", [127, 0, 5, 1]), &command).await.expect_err("too much");
        assert_eq!(error, ShellError::Output { node: "n1".into(), limit });
    }
    let enough = Command { output_limit: 1000, ..command("head -c 1000 /dev/zero") };
    let output = shell.run(&node("n1", [127, 0, 5, 1]), &enough).await.expect("just enough");
    assert_eq!(output.stdout.len(), 1000);
}

#[tokio::test]
async fn input_comes_from_bytes_or_a_file() {
    let sshd = Sshd::start().await;
    let shell = sshd.shell();
    let n1 = node("n1", [127, 0, 5, 1]);
    let bytes = Command { input: Input::Bytes("hello".into()), ..command("cat; exit 4") };
    let output = shell.run(&n1, &bytes).await.expect("it runs");
    assert_eq!((text(&output.stdout), output.status), ("hello", 4));

    // Larger than every window; echoed, so that both ways are full at once.
    let content: Vec<u8> =
        (0..12_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let path = sshd.path("image");
    fs::write(&path, &content).expect("written");
    let file = |text| Command { input: Input::File(path.clone()), ..command(text) };
    assert!(shell.run(&n1, &file("cat")).await.expect("it runs").stdout == content);
    // The command closes its output at once and reads on.
    let copy = sshd.path("copy");
    let quiet = format!("exec cat >{} 2>&1", copy.display());
    assert_eq!(shell.run(&n1, &file(&quiet)).await.expect("it runs").status, 0);
    assert!(fs::read(&copy).expect("the copy") == content);
    // The command ends without reading.
    assert_eq!(shell.run(&n1, &file("exit 5")).await.expect("it runs").status, 5);
    assert_eq!(sshd.log_ins(), 1);

    for wrong in [sshd.path("missing"), sshd.folder.path().to_owned()] {
        let missing = Command { input: Input::File(wrong.clone()), ..command("touch /never") };
        let error = shell.run(&n1, &missing).await.expect_err("no such file");
        assert!(matches!(error, ShellError::Input { path, .. } if path == wrong.to_str().unwrap()));
    }
}

#[tokio::test]
async fn a_deadline_frees_the_only_thread() {
    let sshd = Sshd::start().await;
    let shell = Ssh::new(SshOptions { threads: 1, ..sshd.options() });
    let n1 = node("n1", [127, 0, 5, 1]);
    ok(&shell, "true").await;
    let sleep = Command { deadline: SHORT, ..command("sleep 1000") };
    let error = shell.run(&n1, &sleep).await.expect_err("too slow");
    assert_eq!(error, ShellError::Deadline { node: "n1".into(), after: SHORT });
    // The same node and another one: connection and thread are free.
    ok(&shell, "true").await;
    shell.run(&node("n2", [127, 0, 5, 2]), &command("true")).await.expect("it runs");
    // Likewise when the caller goes away.
    let started = sshd.path("started");
    let text = format!("touch {}; sleep 1000", started.display());
    let sleep = command(&text);
    tokio::select! {
        _ = shell.run(&n1, &sleep) => panic!("it sleeps"),
        () = async { while !started.exists() { tokio::time::sleep(Duration::from_millis(10)).await } } => {}
    }
    ok(&shell, "true").await;
}

#[tokio::test]
async fn a_listener_that_says_nothing_holds_no_thread() {
    let sshd = Sshd::start_at("127.0.5.1").await;
    let mut options = sshd.options();
    options.threads = 1;
    let _silent = TcpListener::bind(("127.0.5.66", sshd.port)).await.expect("a listener");
    let shell = Ssh::new(options);
    let silent = node("silent", [127, 0, 5, 66]);
    let patient = command("true");
    let mut waiting = pin!(shell.run(&silent, &patient));
    assert!(poll_immediate(&mut waiting).await.is_none());
    ok(&shell, "true").await;
    assert!(poll_immediate(&mut waiting).await.is_none());
    let hasty = Command { deadline: SHORT, ..command("true") };
    let error = shell.run(&silent, &hasty).await.expect_err("silence");
    assert_eq!(error, ShellError::Deadline { node: "silent".into(), after: SHORT });
}

#[tokio::test]
async fn silent_nodes_hold_nobody_for_longer_than_a_moment() {
    let sshd = Sshd::start_at("127.0.5.2").await;
    let _silent = TcpListener::bind(("127.0.5.67", sshd.port)).await.expect("a listener");
    let shell = sshd.shell();
    let (patient, dead) = (&command("true"), &shell);
    let silent = (0..2 * super::LOGINS).map(|number| async move {
        dead.run(&node(&format!("silent-{number}"), [127, 0, 5, 67]), patient).await
    });
    let mut silent = pin!(join_all(silent));
    assert!(poll_immediate(&mut silent).await.is_none(), "all places are taken");
    let well = node("well", [127, 0, 5, 2]);
    tokio::select! {
        biased;
        output = shell.run(&well, patient) => assert_eq!(output.expect("it runs").status, 0),
        _ = silent => panic!("the node that is well waits for those that are not"),
    }
}

#[tokio::test]
async fn a_server_that_needs_a_moment_to_greet_is_not_overrun() {
    let sshd = Sshd::start_at("127.0.5.3").await;
    let slow = TcpListener::bind(("127.0.5.68", sshd.port)).await.expect("a listener");
    let (open, most) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    let served = async {
        let mut guests = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = slow.accept() => {
                    let (mut stream, _) = accepted.expect("a connection");
                    most.fetch_max(open.fetch_add(1, Relaxed) + 1, Relaxed);
                    guests.push(async move {
                        sleep(super::SILENT + Duration::from_millis(200)).await;
                        open.fetch_sub(1, Relaxed);
                        // Whoever was waiting has gone at the worst.
                        let _ = stream.write_all(b"SSH-2.0-slow\r\n").await;
                    });
                }
                Some(()) = guests.next() => {}
            }
        }
    };
    let (shell, patient) = (&sshd.shell(), &command("true"));
    let asked = join_all((0..2 * super::LOGINS).map(|number| async move {
        shell.run(&node(&format!("slow-{number}"), [127, 0, 5, 68]), patient).await
    }));
    tokio::select! {
        answers = asked => assert!(answers.iter().all(Result::is_err), "they greet, and go"),
        () = served => {}
    }
    assert_eq!(most.load(Relaxed), super::LOGINS);
}

#[tokio::test]
async fn a_handshake_that_stops_half_way_ends_at_the_deadline() {
    let sshd = Sshd::start_at("127.0.5.1").await;
    let listener = TcpListener::bind(("127.0.5.67", sshd.port)).await.expect("a listener");
    let shell = Ssh::new(SshOptions { threads: 1, ..sshd.options() });
    let half = node("half", [127, 0, 5, 67]);
    let command = Command { deadline: SHORT, ..command("true") };
    let (result, _held) = tokio::join!(shell.run(&half, &command), async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"SSH-2.0-half\r\n").await.expect("written");
        stream
    });
    assert_eq!(
        result.expect_err("half"),
        ShellError::Deadline { node: "half".into(), after: SHORT }
    );
    ok(&shell, "true").await;
}

#[tokio::test]
async fn a_refused_port_and_a_stranger_are_told_apart() {
    let sshd = Sshd::start().await;
    let n1 = node("n1", [127, 0, 5, 1]);
    let free = TcpListener::bind("127.0.5.1:0").await.expect("a free port");
    let port = free.local_addr().expect("its address").port();
    drop(free);
    let shell = Ssh::new(SshOptions { port, ..sshd.options() });
    let error = shell.run(&n1, &command("true")).await.expect_err("refused");
    assert!(
        matches!(error, ShellError::Unreachable { ref why, .. } if why.contains("refused")),
        "{error}"
    );

    let key = sshd.path("stranger");
    let shell = Ssh::new(SshOptions { key: key.clone(), ..sshd.options() });
    let error = shell.run(&n1, &command("true")).await.expect_err("a stranger");
    assert_eq!(error, ShellError::Key { node: "n1".into(), key: key.display().to_string() });
}

#[tokio::test]
async fn the_key_is_read_at_each_connection() {
    let sshd = Sshd::start().await;
    let n1 = node("n1", [127, 0, 5, 1]);
    let key = sshd.path("later");
    let shell = Ssh::new(SshOptions { key: key.clone(), ..sshd.options() });
    let why = |error| match error {
        ShellError::KeyFile { path, why } if path == key.display().to_string() => why,
        other => panic!("{other}"),
    };
    let missing = shell.run(&n1, &command("true")).await.expect_err("no key");
    assert!(why(missing).contains("No such file"));
    fs::write(&key, "not a key\n").expect("written");
    let nonsense = shell.run(&n1, &command("true")).await.expect_err("no key");
    assert!(!why(nonsense).is_empty());
    fs::copy(sshd.path("client"), &key).expect("a copy");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("its mode");
    shell.run(&n1, &command("true")).await.expect("it runs");
}

#[tokio::test]
async fn a_host_key_changes_at_a_boot_only() {
    let mut sshd = Sshd::start().await;
    let shell = sshd.shell();
    let n1 = node("n1", [127, 0, 5, 1]);
    ok(&shell, "true").await;
    sshd.reinstall().await;
    // What was connected stays connected; a broken connection has to be made anew.
    ok(&shell, "true").await;
    let killed = shell.run(&n1, &command("kill -9 $PPID; sleep 1000")).await;
    assert!(matches!(killed, Err(ShellError::Unreachable { .. })), "{killed:?}");
    for _ in 0..2 {
        match shell.run(&n1, &command("true")).await {
            Err(ShellError::HostKey { node, was, now }) => {
                assert!(node == "n1" && was != now && was.starts_with("SHA256:"), "{was} {now}");
            }
            other => panic!("{other:?}"),
        }
    }
    shell.forget(&n1).await;
    ok(&shell, "true").await;
}

#[tokio::test]
async fn a_server_that_dies_is_an_error_and_then_forgotten() {
    let sshd = Sshd::start().await;
    let shell = sshd.shell();
    let n1 = node("n1", [127, 0, 5, 1]);
    // The shell's parent is the server of this connection. It dies while a command
    // runs, and then between two commands.
    let killed = shell.run(&n1, &command("echo; kill -9 $PPID; sleep 1000")).await;
    assert!(matches!(killed, Err(ShellError::Unreachable { .. })), "{killed:?}");
    assert_eq!(ok(&shell, "true").await.status, 0);
    let parent = text(&ok(&shell, "echo $PPID").await.stdout).trim().to_owned();
    let other = sshd.shell();
    ok(&other, &format!("kill -9 {parent}")).await;
    assert_eq!(ok(&shell, "echo still").await.stdout, "still\n");
}

#[tokio::test]
async fn fifty_nodes_at_once() {
    let sshd = Sshd::start().await;
    let shell = Ssh::new(SshOptions { threads: 16, ..sshd.options() });
    for round in 0..2 {
        let runs = (1..=50).map(|i| {
            let shell = &shell;
            async move {
                let node = node(&format!("n{i}"), [127, 0, 6, i]);
                shell.run(&node, &command(&format!("echo {round} {i} $SSH_CONNECTION"))).await
            }
        });
        for (i, output) in (1..=50).zip(join_all(runs).await) {
            let output = output.expect("it runs");
            let said = text(&output.stdout);
            assert!(said.starts_with(&format!("{round} {i} ")), "{said}");
            assert!(said.contains(&format!(" 127.0.6.{i} ")), "{said}");
        }
    }
    assert_eq!(sshd.log_ins(), 50);
}

#[tokio::test]
async fn commands_for_one_node_wait_for_each_other() {
    let sshd = Sshd::start().await;
    let shell = sshd.shell();
    let line = sshd.path("line");
    let alone = format!("mkdir {0} && sleep 0.05 && rmdir {0}", line.display());
    let runs = join_all((0..8).map(|_| ok(&shell, &alone))).await;
    assert!(runs.iter().all(|output| output.status == 0), "{runs:?}");
    assert_eq!(sshd.log_ins(), 1);
}
