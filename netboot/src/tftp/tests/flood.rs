//! Too many requests, by mistake or in the name of another.

use super::{limits, start};
use crate::{
    testing::{PATIENCE, content},
    tftp::{
        Limits,
        tests::client::{Fetch, fetch},
    },
};
use std::{collections::HashSet, net::Ipv4Addr};
use tftpd::{
    OptionType::{BlockSize, WindowSize},
    Packet,
};
use tokio::{net::UdpSocket, time::timeout};

const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// All that is in the queue of `socket` now: who sent it, and what.
fn arrived(socket: &UdpSocket) -> Vec<(u16, Packet)> {
    let mut buffer = [0; 2048];
    let next = || {
        let (len, from) = socket.try_recv_from(&mut buffer).ok()?;
        Some((from.port(), Packet::deserialize(&buffer[..len]).unwrap()))
    };
    std::iter::from_fn(next).collect()
}

#[tokio::test]
async fn a_client_that_asks_too_fast_is_slowed_down_and_nobody_else() {
    let running = start(Limits { requests: 1, ..limits() });
    running.site.known.insert(OTHER.into());
    running.site.file("file", b"content");
    let greedy = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..500 {
        greedy.send_to(&fetch("missing").request(), running.server).await.unwrap();
    }
    // It comes behind all of these in the queue of the server.
    let other = Fetch { from: OTHER, ..fetch("file") }.run(running.server).await.unwrap();
    assert_eq!(other.content, b"content");
    greedy.readable().await.unwrap();
    let answers = arrived(&greedy).len();
    // Two at once, and one for each second that it took.
    assert!((2..100).contains(&answers), "{answers} answers");
    // It is served again later: the client of the tests repeats its request.
    let later = timeout(PATIENCE, fetch("file").run(running.server)).await.unwrap();
    assert_eq!(later.unwrap().content, b"content");
}

/// Whoever asks in the name of a victim has it hit by a few packets, of options or one block each: not by
/// windows, and not by as many transfers as he likes.
#[tokio::test]
async fn the_server_does_not_make_a_flood_larger() {
    let running = start(Limits { unheard: 3, timeout: PATIENCE, requests: 1000, ..limits() });
    running.site.known.insert(OTHER.into());
    running.site.file("file", &content(1_000_000));
    let victim = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let request = fetch("file").with(BlockSize, 1428).with(WindowSize, 64);
    let mut more = Vec::new();
    for _ in 0..30 {
        // A request that was sent twice is one transfer; those of other ports are others.
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for socket in [&socket, &victim] {
            socket.send_to(&request.request(), running.server).await.unwrap();
        }
        more.push(socket);
    }
    let other = Fetch { from: OTHER, ..request.clone() }.run(running.server).await.unwrap();
    assert_eq!(other.content.len(), 1_000_000);
    let mut packets = Vec::new();
    for socket in more.iter().chain([&victim]) {
        // Nothing tells when nothing comes any more: what is there now is counted.
        timeout(std::time::Duration::from_millis(20), socket.readable()).await.ok();
        packets.extend(arrived(socket));
    }
    let transfers: HashSet<u16> = packets.iter().map(|(port, _)| *port).collect();
    assert_eq!((transfers.len(), packets.len()), (3, 3), "{packets:?}");
    assert!(packets.iter().all(|(_, packet)| matches!(packet, Packet::Oack(_))));
}
