//! Who may come in.

use crate::bed::{BLOCK, Bed, relay};
use relay::{
    frame::{self, PREAMBLE},
    message::{Message, Secret, Ticket, Timing},
    source::Failure,
};
use std::{path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What `kadence-relay start` says to a ticket, and whether it was content.
async fn start(ticket: &Ticket) -> (bool, String) {
    let mut child =
        relay().arg("start").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&serde_json::to_vec(ticket).unwrap()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn a_wrong_token_is_refused() {
    let mut bed = Bed::new(2, 4 * BLOCK, r#"cat > "$OUT""#).await;
    let report = bed
        .run_with(async |index, mut ticket| {
            if index == 0 {
                return Ok(ticket);
            }
            ticket.token = Secret::random().unwrap();
            let (content, said) = start(&ticket).await;
            assert!(!content);
            Err(said)
        })
        .await;
    assert_eq!(report.outcomes[0], Ok(()));
    let Err(Failure::Launch(said)) = &report.outcomes[1] else { panic!("{report:?}") };
    let server = bed.job.server;
    let refusal = format!("the server at {server} refused this relay: the token is not one");
    assert!(said.starts_with(&refusal), "{said}");
}

#[tokio::test]
async fn a_token_is_good_once_and_start_leaves_a_relay_behind() {
    let mut bed = Bed::new(2, 4 * BLOCK, "cat > /dev/null").await;
    let tried = tokio::sync::Notify::new();
    let report = bed
        .run_with(async |index, ticket| {
            if index == 1 {
                // The broadcast cannot end before node 0 has tried its token twice.
                tried.notified().await;
                return Ok(ticket);
            }
            assert_eq!(start(&ticket).await, (true, "joined\n".to_owned()));
            let (content, said) = start(&ticket).await;
            assert!(!content && said.contains("has been used"), "{said}");
            tried.notify_one();
            // A launch whose answer is lost: the relay is there all the same.
            Err("connection lost".to_owned())
        })
        .await;
    assert_eq!(report.outcomes, vec![Ok(()), Ok(())]);
}

/// Two starts at once put the same relay into one place: the first runs on from a file whose name is
/// another's by then.
#[tokio::test]
async fn a_relay_whose_file_was_replaced_starts_all_the_same() {
    let program = Path::new(env!("CARGO_BIN_EXE_kadence-relay"));
    let dir = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
    let copy = dir.path().join("relay");
    std::fs::hard_link(program, &copy).unwrap();
    let mut child = tokio::process::Command::new(&copy)
        .arg("start")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::fs::remove_file(&copy).unwrap();
    // Nobody listens there: that is what it must say, not that it cannot find itself.
    let server = ([127, 0, 0, 1], 1).into();
    let ticket = Ticket {
        server,
        token: Secret::random().unwrap(),
        name: "n".into(),
        listen: server.ip(),
        timing: Timing::default(),
        run: None,
        resume: false,
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&serde_json::to_vec(&ticket).unwrap()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("127.0.0.1:1: Connection refused"), "{said}");
}

#[tokio::test]
async fn strangers_get_nothing() {
    let mut bed = Bed::new(1, 4 * BLOCK, r#"cat > "$OUT""#).await;
    let server = bed.job.server;
    let report = bed
        .run_with(async |_, ticket| {
            let silence = Duration::from_secs(60);
            let stream = TcpStream::connect(server).await.unwrap();
            let (mut reader, mut writer) = frame::open(stream, silence).await.unwrap();
            let get = Message::Get {
                pass: Secret::random().unwrap(),
                node: "eve".into(),
                from: 0,
                to: None,
                holds: true,
                instead: None,
            };
            writer.message(&get).await.unwrap();
            let answer = reader.message("refused").await.unwrap();
            assert!(matches!(answer, Message::Refused { .. }), "{answer:?}");

            // Another protocol gets our preamble and the end.
            let mut stream = TcpStream::connect(server).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            // Its unread bytes may turn the end into a reset.
            let _ = stream.read_to_end(&mut answer).await;
            assert!(PREAMBLE.starts_with(&answer), "{answer:?}");
            Ok(ticket)
        })
        .await;
    assert_eq!(report.outcomes, vec![Ok(())]);
    bed.assert_received(0);
}
