mod client;
mod flood;
mod hostile;
mod proxy;

use super::{Limits, bind, serve};
use crate::{
    Outcome, Server, Stage,
    testing::{PATIENCE, Site, content},
};
use client::{Fetch, fetch};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tftpd::OptionType::{BlockSize, TransferSize, WindowSize};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

struct Running {
    site: Site,
    server: SocketAddr,
    tasks: JoinSet<io::Result<()>>,
    stop: DropGuard,
}

/// Quick to send again, and patient.
fn limits() -> Limits {
    Limits { timeout: Duration::from_millis(200), sends: 100, ..Limits::default() }
}

fn start(limits: Limits) -> Running {
    let site = Site::new();
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let server = socket.local_addr().unwrap();
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(socket, site.service.clone(), limits, stop.clone()));
    Running { site, server, tasks, stop: stop.drop_guard() }
}

fn sent() -> Outcome {
    Outcome::Sent("all acknowledged".into())
}

#[tokio::test]
async fn sends_files_of_every_size_with_every_option() {
    let mut running = start(limits());
    for len in [0, 1, 511, 512, 513, 1468 * 3, 100_000] {
        let bytes = content(len);
        running.site.file("file", &bytes);
        for asked in [
            fetch("file"),
            fetch("/file").with(TransferSize, 0),
            fetch("file").with(BlockSize, 1468).with(WindowSize, 16).with(TransferSize, 0),
            fetch("file").with(BlockSize, 65464).with(WindowSize, 65535),
            fetch("file").with(BlockSize, 8),
        ] {
            let fetched = asked.run(running.server).await.unwrap();
            assert!(fetched.content == bytes, "{len} bytes with {:?}", asked.options);
            assert_eq!(fetched.agreed.len(), asked.options.len());
            for option in fetched.agreed.iter().filter(|o| o.option == TransferSize) {
                assert_eq!(option.value, len as u64);
            }
            let asked_event = running.site.event().await;
            assert_eq!((asked_event.server, asked_event.stage), (Server::Tftp, Stage::Asked));
            assert_eq!(running.site.end().await, (sent(), len as u64));
        }
    }
}

#[tokio::test]
async fn sends_a_profile_from_memory_to_its_node() {
    let mut running = start(limits());
    running.site.profile("pxelinux.cfg/7F000001", "DEFAULT local");
    let fetched = fetch("pxelinux.cfg/7F000001").run(running.server).await.unwrap();
    assert_eq!(fetched.content, b"DEFAULT local");
    assert_eq!(running.site.end().await, (sent(), 13));
}

#[tokio::test]
async fn netascii_ends_its_lines_in_cr_lf() {
    let running = start(limits());
    running.site.file("text", b"a\nb\rc\r\n");
    let asked = Fetch { mode: "NetASCII", ..fetch("text").with(TransferSize, 0) };
    let fetched = asked.run(running.server).await.unwrap();
    assert_eq!(fetched.content, b"a\r\nb\r\0c\r\0\r\n");
    assert!(fetched.agreed.is_empty(), "the length is not known beforehand");
}

#[tokio::test]
async fn loss_costs_time_and_no_content() {
    let mut running = start(limits());
    let bytes = content(200_000);
    running.site.file("file", &bytes);
    for window in [1, 8, 64] {
        let asked = fetch("file").with(BlockSize, 1024).with(WindowSize, window);
        let fetched = Fetch { lose: 30, ..asked }.run(running.server).await.unwrap();
        assert!(fetched.content == bytes, "window {window}");
    }
    // The last acknowledgement may be among what was lost.
    assert!((199_000..=200_000).contains(&running.site.end().await.1));
}

/// What is lost, comes twice or late on the way is somebody else's doing: neither side knows.
#[tokio::test]
async fn a_bad_network_costs_time_and_no_content() {
    let mut running = start(limits());
    let bytes = content(300_000);
    running.site.file("file", &bytes);
    for (seed, window) in [(1, 1), (2, 4), (3, 16), (4, 64)] {
        let network = proxy::start(running.server, seed).await;
        let asked = fetch("file").with(BlockSize, 1428).with(WindowSize, window);
        let fetched = asked.run(network.address).await.unwrap();
        assert!(fetched.content == bytes, "window {window}");
        assert!(network.harm() > 0, "window {window}: nothing was lost");
        assert!(running.site.end().await.1 > 290_000);
    }
}

#[tokio::test]
async fn block_numbers_roll_over() {
    let running = start(limits());
    let bytes = content(8 * 66_000 + 3);
    running.site.file("large", &bytes);
    let asked = fetch("large").with(BlockSize, 8).with(WindowSize, 64);
    assert!(asked.run(running.server).await.unwrap().content == bytes);
}

#[tokio::test]
async fn repeated_acknowledgements_do_not_multiply() {
    let running = start(Limits { timeout: PATIENCE, ..limits() });
    running.site.file("file", &content(512 * 100));
    let fetched = Fetch { acks: 2, ..fetch("file") }.run(running.server).await.unwrap();
    assert_eq!(fetched.data_packets, 101, "each block was sent once");
}

#[tokio::test]
async fn a_thousand_clients_at_once() {
    // Each has a socket, and so has each transfer.
    let want = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let want = rustix::process::Rlimit { current: want.maximum, ..want };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, want).unwrap();
    let mut running = start(Limits { timeout: Duration::from_secs(2), ..limits() });
    let bytes = content(60_000);
    running.site.file("kernel", &bytes);
    let mut clients = JoinSet::new();
    for number in 0..1000 {
        let window = if number % 2 == 0 { 1 } else { 16 };
        let from = Ipv4Addr::from_bits(0x7f01_0000 + number);
        running.site.known.insert(from.into());
        let asked = fetch("kernel").with(BlockSize, 1468).with(WindowSize, window);
        let (asked, server) = (Fetch { from, ..asked }, running.server);
        clients.spawn(async move { asked.run(server).await });
    }
    let mut good = 0;
    while let Some(fetched) = clients.join_next().await {
        assert!(fetched.unwrap().unwrap().content == bytes);
        good += 1;
    }
    assert_eq!(good, 1000);
    let mut ended = 0;
    while ended < 1000 {
        running.site.end().await;
        ended += 1;
    }
}

#[tokio::test]
async fn above_the_limit_clients_wait_their_turn() {
    let running = start(Limits { transfers: 2, ..limits() });
    let bytes = content(50_000);
    running.site.file("file", &bytes);
    let mut clients = JoinSet::new();
    for _ in 0..6 {
        let server = running.server;
        clients.spawn(async move { fetch("file").run(server).await });
    }
    while let Some(fetched) = clients.join_next().await {
        assert!(fetched.unwrap().unwrap().content == bytes);
    }
}

#[tokio::test]
async fn curl_agrees() {
    let running = start(limits());
    let bytes = content(300_000);
    running.site.file("file", &bytes);
    for size in ["512", "1400"] {
        let url = format!("tftp://{}/file", running.server);
        let mut curl = tokio::process::Command::new("curl");
        let output = curl.args(["-sS", "--max-time", "100", "--tftp-blksize", size, &url]).output();
        let output = output.await.expect("curl with TFTP is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == bytes, "block size {size}");
    }
}

#[tokio::test]
async fn stopping_gives_running_transfers_up() {
    let Running { mut site, server, mut tasks, stop } = start(limits());
    site.file("file", &content(5000));
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&fetch("file").request(), server).await.unwrap();
    assert_eq!(site.event().await.stage, Stage::Asked);
    drop(stop);
    timeout(PATIENCE, tasks.join_next()).await.expect("it returns").unwrap().unwrap().unwrap();
    assert_eq!(site.end().await, (Outcome::Failed("given up".into()), 0));
}
