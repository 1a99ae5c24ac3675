//! Clients that are wrong, gone, or not ours.

use super::{limits, start};
use crate::{
    Outcome, Stage,
    testing::{LOCAL, PATIENCE, content},
    tftp::{
        Limits,
        tests::client::{Fetch, fetch},
    },
};
use proptest::prelude::*;
use std::{net::SocketAddr, os::unix::fs::symlink, time::Duration};
use tftpd::{ErrorCode, OptionType::WindowSize, Packet};
use tokio::{net::UdpSocket, time::timeout};

async fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

async fn receive(socket: &UdpSocket) -> (Packet, SocketAddr) {
    let mut buffer = [0; 2048];
    let received = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.expect("a packet");
    let (len, from) = received.unwrap();
    (Packet::deserialize(&buffer[..len]).unwrap(), from)
}

fn ack(block: u16) -> Vec<u8> {
    Packet::Ack(block).serialize().unwrap()
}

#[tokio::test]
async fn refusals_say_why_and_nothing_of_the_server() {
    let mut running = start(limits());
    std::fs::create_dir(running.site.root.path().join("sub")).unwrap();
    symlink("/etc/passwd", running.site.root.path().join("link")).unwrap();
    for (name, code) in [
        ("missing", ErrorCode::FileNotFound),
        ("sub", ErrorCode::FileNotFound),
        ("../../etc/passwd", ErrorCode::AccessViolation),
        ("..\\..\\etc\\passwd", ErrorCode::AccessViolation),
        ("", ErrorCode::AccessViolation),
        ("link", ErrorCode::NotDefined),
    ] {
        let (refused, text) = fetch(name).run(running.server).await.unwrap_err();
        assert_eq!(refused, code, "{name}: {text}");
        assert!(!text.contains('/'), "{text}");
        let (outcome, bytes) = running.site.end().await;
        assert!(matches!(outcome, Outcome::Refused(_)) && bytes == 0, "{outcome:?}");
    }
    let mail = Fetch { mode: "mail", ..fetch("sub") }.run(running.server).await.unwrap_err();
    assert_eq!(mail.0, ErrorCode::IllegalOperation);
}

#[tokio::test]
async fn writing_is_refused() {
    let mut running = start(limits());
    let client = socket().await;
    let (filename, mode) = ("new".to_owned(), "octet".to_owned());
    let write = Packet::Wrq { filename, mode, options: vec![] }.serialize().unwrap();
    client.send_to(&write, running.server).await.unwrap();
    let (answer, _) = receive(&client).await;
    assert!(matches!(answer, Packet::Error { code: ErrorCode::AccessViolation, .. }), "{answer:?}");
    assert_eq!(running.site.end().await, (Outcome::Refused("a request to write".into()), 0));
    assert!(!running.site.root.path().join("new").exists());
}

#[tokio::test]
async fn strangers_are_refused_and_reported_once() {
    let mut running = start(limits());
    running.site.file("file", b"x");
    running.site.known.remove(LOCAL);
    for _ in 0..3 {
        let (code, _) = fetch("file").run(running.server).await.unwrap_err();
        assert_eq!(code, ErrorCode::AccessViolation);
    }
    let events = running.site.unread();
    assert_eq!(events.len(), 1);
    assert!(matches!(events[0].stage, Stage::Ended { outcome: Outcome::Stranger, .. }));
    running.site.known.insert(LOCAL);
    assert_eq!(fetch("file").run(running.server).await.unwrap().content, b"x");
}

#[tokio::test]
async fn another_port_is_told_off_and_disturbs_nothing() {
    let mut running = start(Limits { timeout: PATIENCE, ..limits() });
    let bytes = content(700);
    running.site.file("file", &bytes);
    let (client, other) = (socket().await, socket().await);
    client.send_to(&fetch("file").request(), running.server).await.unwrap();
    let (first, transfer) = receive(&client).await;
    assert!(matches!(&first, Packet::Data { block_num: 1, data } if *data == bytes[..512]));
    other.send_to(&ack(1), transfer).await.unwrap();
    let (told, _) = receive(&other).await;
    assert!(matches!(told, Packet::Error { code: ErrorCode::UnknownId, .. }), "{told:?}");
    client.send_to(&ack(1), transfer).await.unwrap();
    let (second, _) = receive(&client).await;
    assert!(matches!(&second, Packet::Data { block_num: 2, data } if *data == bytes[512..]));
    client.send_to(&ack(2), transfer).await.unwrap();
    assert_eq!(running.site.end().await.1, 700);
}

#[tokio::test]
async fn a_request_that_is_repeated_starts_one_transfer() {
    let mut running = start(Limits { timeout: PATIENCE, ..limits() });
    running.site.file("file", &content(100));
    let client = socket().await;
    for _ in 0..3 {
        client.send_to(&fetch("file").request(), running.server).await.unwrap();
    }
    let (_, transfer) = receive(&client).await;
    client.send_to(&ack(1), transfer).await.unwrap();
    running.site.end().await;
    // Another one on the same port, as firmware does, is answered by a new transfer.
    let again = fetch("file").run_on(&client, running.server).await.unwrap();
    assert_eq!(again.content, content(100));
    running.site.end().await;
    assert!(running.site.unread().is_empty());
}

#[tokio::test]
async fn a_late_copy_of_a_request_does_not_end_the_transfer() {
    let mut running = start(Limits { timeout: PATIENCE, ..limits() });
    running.site.file("file", &content(600));
    let client = socket().await;
    client.send_to(&fetch("file").request(), running.server).await.unwrap();
    let (_, first) = receive(&client).await;
    client.send_to(&ack(1), first).await.unwrap();
    receive(&client).await;
    client.send_to(&fetch("file").request(), running.server).await.unwrap();
    let (_, second) = receive(&client).await;
    assert_ne!(first, second);
    let unwanted = Packet::Error { code: ErrorCode::UnknownId, msg: String::new() };
    client.send_to(&unwanted.serialize().unwrap(), second).await.unwrap();
    assert!(matches!(running.site.end().await, (Outcome::Failed(_), 0)));
    client.send_to(&ack(2), first).await.unwrap();
    assert_eq!(running.site.end().await.1, 600);
}

#[tokio::test]
async fn another_request_from_the_same_port_ends_the_old_transfer() {
    let mut running = start(Limits { timeout: PATIENCE, ..limits() });
    running.site.file("file", &content(2000));
    let client = socket().await;
    client.send_to(&fetch("file").request(), running.server).await.unwrap();
    let (_, old) = receive(&client).await;
    client.send_to(&ack(1), old).await.unwrap();
    receive(&client).await;
    let other = fetch("file").with(WindowSize, 2);
    let again = other.run_on(&client, running.server).await.unwrap();
    assert_eq!(again.content, content(2000));
    assert_eq!(running.site.end().await, (Outcome::Failed("given up".into()), 512));
    assert_eq!(running.site.end().await.1, 2000);
}

#[tokio::test]
async fn a_client_that_gives_up_is_believed() {
    let mut running = start(Limits { timeout: PATIENCE, ..limits() });
    running.site.file("file", &content(5000));
    let client = socket().await;
    client.send_to(&fetch("file").request(), running.server).await.unwrap();
    let (_, transfer) = receive(&client).await;
    let full = Packet::Error { code: ErrorCode::DiskFull, msg: "no room".to_owned() };
    client.send_to(&full.serialize().unwrap(), transfer).await.unwrap();
    let (outcome, bytes) = running.site.end().await;
    let Outcome::Failed(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("no room") && bytes == 0, "{why}");
}

#[tokio::test]
async fn a_client_that_vanishes_is_given_up() {
    let timeout = Duration::from_millis(5);
    let mut running = start(Limits { timeout, sends: 3, ..limits() });
    running.site.file("file", &content(5000));
    let client = socket().await;
    for (asked, block) in [(fetch("file"), 1), (fetch("file").with(WindowSize, 4), 0)] {
        client.send_to(&asked.request(), running.server).await.unwrap();
        let why = format!("the client stopped answering at block {block}");
        assert_eq!(running.site.end().await, (Outcome::Failed(why.into()), 0));
    }
}

#[tokio::test]
async fn garbage_leaves_the_server_standing() {
    let running = start(limits());
    running.site.file("file", b"still here");
    let client = socket().await;
    client.send_to(b"\x00\x01name without an end", running.server).await.unwrap();
    let (answer, _) = receive(&client).await;
    assert!(matches!(answer, Packet::Error { code: ErrorCode::IllegalOperation, .. }));
    let noise = content(40_000);
    for (index, start) in (0..noise.len() - 600).step_by(37).enumerate() {
        let mut packet = noise[start..start + index % 600].to_vec();
        if let [first, second, ..] = packet.as_mut_slice() {
            (*first, *second) = (0, index.to_le_bytes()[0] % 8);
        }
        client.send_to(&packet, running.server).await.unwrap();
    }
    assert_eq!(fetch("file").run(running.server).await.unwrap().content, b"still here");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn no_packet_makes_the_codec_panic(
        opcode in 0..8u8,
        rest in prop::collection::vec(prop_oneof![Just(0u8), Just(b'0'), any::<u8>()], 0..64),
        cut in 0..3usize,
    ) {
        let packet = [[0, opcode].as_slice(), &rest].concat();
        let _ = Packet::deserialize(&packet[cut.min(packet.len())..]);
        let _ = Packet::deserialize(&packet);
    }
}
