use super::{Limits, serve};
use crate::{
    Outcome, Server, Stage,
    testing::{LOCAL, PATIENCE, Site, content},
};
use std::{io, net::SocketAddr, os::unix::fs::symlink, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

struct Running {
    site: Site,
    server: SocketAddr,
    tasks: JoinSet<io::Result<()>>,
    stop: DropGuard,
}

async fn start(limits: Limits) -> Running {
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, site.service.clone(), limits, stop.clone()));
    Running { site, server, tasks, stop: stop.drop_guard() }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Sends `head` (request line and headers) and reads until the server closes.
async fn ask(server: SocketAddr, head: &str) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await.unwrap();
        let request = format!("{head}\r\nHost: boot\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let answer = timeout(PATIENCE, exchange).await.expect("an answer");
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: answer[end + 4..].to_vec() }
}

#[tokio::test]
async fn sends_files_whole_and_in_parts() {
    let mut running = start(Limits::default()).await;
    let bytes = content(1_000_000);
    running.site.file("my kernel", &bytes);
    for (head, status, range) in [
        ("GET /my%20kernel?x HTTP/1.1", 200, 0..1_000_000),
        ("GET /my%20kernel HTTP/1.1\r\nRange: bytes=10-19", 206, 10..20),
        ("GET /my%20kernel HTTP/1.1\r\nRange: bytes=600000-", 206, 600_000..1_000_000),
        ("GET /my%20kernel HTTP/1.1\r\nRange: bytes=-5", 206, 999_995..1_000_000),
        ("GET /my%20kernel HTTP/1.1\r\nRange: bytes=1000000-", 416, 0..0),
        ("GET /my%20kernel HTTP/1.1\r\nRange: nonsense", 200, 0..1_000_000),
        ("HEAD /my%20kernel HTTP/1.1", 200, 0..0),
    ] {
        let answer = ask(running.server, head).await;
        assert_eq!(answer.status, status, "{head}");
        assert!(answer.body == bytes[range.clone()], "{head}");
        if status == 206 {
            let expected = format!("bytes {}-{}/1000000", range.start, range.end - 1);
            assert_eq!(answer.header("content-range"), Some(&*expected));
        }
        let event = running.site.event().await;
        assert_eq!(
            (event.server, event.stage, &*event.what),
            (Server::Http, Stage::Asked, "/my kernel")
        );
        assert_eq!(running.site.end().await.1, range.len() as u64, "{head}");
    }
    let head = ask(running.server, "HEAD /my%20kernel HTTP/1.1").await;
    assert_eq!(head.header("content-length"), Some("1000000"));
}

#[tokio::test]
async fn a_file_that_did_not_change_is_not_sent_again() {
    let running = start(Limits::default()).await;
    running.site.file("file", b"0123456789");
    let first = ask(running.server, "GET /file HTTP/1.1").await;
    let (tag, date) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
    for (header, status) in [
        (format!("If-None-Match: {tag}"), 304),
        ("If-None-Match: \"other\"".to_owned(), 200),
        (format!("If-Modified-Since: {date}"), 304),
        (format!("Range: bytes=0-1\r\nIf-Range: {tag}"), 206),
        (format!("Range: bytes=0-1\r\nIf-Range: {date}"), 206),
        ("Range: bytes=0-1\r\nIf-Range: \"other\"".to_owned(), 200),
    ] {
        let answer = ask(running.server, &format!("GET /file HTTP/1.1\r\n{header}")).await;
        assert_eq!(answer.status, status, "{header}");
    }
}

#[tokio::test]
async fn a_profile_from_memory_is_not_to_be_kept() {
    let running = start(Limits::default()).await;
    running.site.profile("boot.ipxe", "#!ipxe");
    let answer = ask(running.server, "GET /boot.ipxe HTTP/1.1").await;
    assert_eq!((answer.status, &*answer.body), (200, b"#!ipxe".as_slice()));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn what_is_not_to_be_had() {
    let mut running = start(Limits::default()).await;
    running.site.file("file", b"x");
    symlink("/etc/passwd", running.site.root.path().join("link")).unwrap();
    for (line, status) in [
        ("GET /none HTTP/1.1", 404),
        ("GET / HTTP/1.1", 403),
        ("GET /../../etc/passwd HTTP/1.1", 403),
        ("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1", 403),
        ("GET /a%00b HTTP/1.1", 403),
        ("GET /%ff HTTP/1.1", 400),
        ("GET /link HTTP/1.1", 500),
        ("PUT /file HTTP/1.1\r\nContent-Length: 0", 405),
        ("DELETE /file HTTP/1.1", 405),
    ] {
        let answer = ask(running.server, line).await;
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{line}");
        let (outcome, bytes) = running.site.end().await;
        assert!(matches!(outcome, Outcome::Refused(_)) && bytes == 0, "{line}: {outcome:?}");
    }
}

#[tokio::test]
async fn strangers_are_refused_and_reported_once() {
    let mut running = start(Limits::default()).await;
    running.site.file("file", b"x");
    running.site.known.remove(LOCAL);
    for _ in 0..3 {
        assert_eq!(ask(running.server, "GET /file HTTP/1.1").await.status, 403);
    }
    assert_eq!(running.site.unread().len(), 1);
}

#[tokio::test]
async fn a_client_that_hangs_up_is_seen() {
    let mut running = start(Limits::default()).await;
    running.site.file("large", &content(64 * 1024 * 1024));
    let mut stream = TcpStream::connect(running.server).await.unwrap();
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: boot\r\n\r\n").await.unwrap();
    stream.read_exact(&mut [0; 4096]).await.unwrap();
    drop(stream);
    let (outcome, bytes) = running.site.end().await;
    assert_eq!(outcome, Outcome::Failed("given up".into()));
    assert!(bytes > 0 && bytes < 64 * 1024 * 1024);
}

#[tokio::test]
async fn one_connection_carries_several_requests() {
    let running = start(Limits::default()).await;
    running.site.file("file", b"content");
    let mut stream = TcpStream::connect(running.server).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /file HTTP/1.1\r\nHost: boot\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\ncontent") {
            let read = timeout(PATIENCE, stream.read_buf(&mut answer)).await.unwrap().unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        }
    }
}

/// Clients that send no request, or half of one, are cut off; others are served meanwhile.
#[tokio::test]
async fn slow_clients_hold_nobody() {
    let headers = Duration::from_millis(200);
    let running = start(Limits { headers, connections: 4, ..Limits::default() }).await;
    running.site.file("file", b"content");
    let mut slow = Vec::new();
    for text in ["", "GET /fi", "GET /file HTTP/1.1\r\nHost: x\r\n", "G"] {
        let mut stream = TcpStream::connect(running.server).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    // There is no room for this one before the slow ones are cut off.
    assert_eq!(ask(running.server, "GET /file HTTP/1.1").await.body, b"content");
    for mut stream in slow {
        let mut rest = Vec::new();
        // An answer of 408 or none, and the end.
        timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is closed").ok();
    }
}

/// Clients that take nothing of what they asked for hold neither others nor, for long, the server.
#[tokio::test]
async fn clients_that_do_not_read_hold_nobody() {
    let stall = Duration::from_millis(300);
    let mut running = start(Limits { stall, per_client: 1000, ..Limits::default() }).await;
    running.site.file("large", &content(32 * 1024 * 1024));
    let small = content(100_000);
    running.site.file("small", &small);
    let mut stuck = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(running.server).await.unwrap();
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: boot\r\n\r\n").await.unwrap();
        stuck.push(stream);
    }
    for _ in 0..20 {
        assert!(ask(running.server, "GET /small HTTP/1.1").await.body == small);
    }
    let mut cut = 0;
    while cut < stuck.len() {
        let (outcome, bytes) = running.site.end().await;
        if outcome == Outcome::Sent("all".into()) {
            assert_eq!(bytes, 100_000);
            continue;
        }
        assert!(matches!(outcome, Outcome::Failed(_)) && bytes < 32 * 1024 * 1024, "{outcome:?}");
        cut += 1;
    }
}

#[tokio::test]
async fn a_thousand_downloads_at_once() {
    let want = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let want = rustix::process::Rlimit { current: want.maximum, ..want };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, want).unwrap();
    let running = start(Limits { per_client: 2000, ..Limits::default() }).await;
    let bytes = content(300_000);
    running.site.file("kernel", &bytes);
    let mut downloads = JoinSet::new();
    for number in 0..1000 {
        let (server, start) = (running.server, number * 250);
        downloads.spawn(async move {
            let head = format!("GET /kernel HTTP/1.1\r\nRange: bytes={start}-");
            (start, ask(server, &head).await)
        });
    }
    while let Some(download) = downloads.join_next().await {
        let (start, answer) = download.unwrap();
        assert!(answer.status == 206 && answer.body == bytes[start..], "from {start}");
    }
}

#[tokio::test]
async fn a_file_that_becomes_shorter_ends_the_connection_and_is_told() {
    let mut running = start(Limits::default()).await;
    running.site.file("large", &content(64 * 1024 * 1024));
    let mut stream = TcpStream::connect(running.server).await.unwrap();
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: boot\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 4096];
    stream.read_exact(&mut answer).await.unwrap();
    let file = std::fs::File::options().write(true).open(running.site.root.path().join("large"));
    file.unwrap().set_len(1024 * 1024).unwrap();
    let rest = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it ends");
    assert!(rest.is_err() || answer.len() < 64 * 1024 * 1024);
    let (outcome, _) = running.site.end().await;
    let Outcome::Failed(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("shorter"), "{why}");
}

#[tokio::test]
async fn requests_may_come_before_their_answers() {
    let running = start(Limits::default()).await;
    running.site.file("a", b"first");
    running.site.file("b", b"second");
    let requests =
        "GET /a HTTP/1.1\r\nHost: x\r\n\r\nHEAD /b HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1";
    let answer = ask(running.server, requests).await;
    assert!(answer.body.starts_with(b"firstHTTP/1.1 200 OK\r\n"));
    assert!(answer.body.ends_with(b"\r\n\r\nsecond"));
}

/// What follows the head of such a request is not taken for another request.
#[tokio::test]
async fn a_body_is_not_read_and_the_answer_arrives() {
    let running = start(Limits::default()).await;
    running.site.file("file", b"content");
    for length in ["Content-Length: 40000", "Transfer-Encoding: chunked"] {
        let mut stream = TcpStream::connect(running.server).await.unwrap();
        let head = format!("POST /file HTTP/1.1\r\nHost: boot\r\n{length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&b"GET /file HTTP/1.1\r\n\r\n".repeat(1800)).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("it ends").unwrap();
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_and_ends_the_connection() {
    let running = start(Limits::default()).await;
    let long = format!("GET /{} HTTP/1.1", "x".repeat(20_000));
    for (head, status) in [("nonsense", 400), ("GET / HTTP/3.7", 400), (&long, 431)] {
        assert_eq!(ask(running.server, head).await.status, status, "{}", &head[..8]);
    }
}

#[tokio::test]
async fn a_client_has_so_many_connections_and_no_more() {
    let running = start(Limits { per_client: 2, ..Limits::default() }).await;
    running.site.file("file", b"content");
    let _idle = TcpStream::connect(running.server).await.unwrap();
    let second = TcpStream::connect(running.server).await.unwrap();
    let mut third = TcpStream::connect(running.server).await.unwrap();
    let closed = timeout(PATIENCE, third.read_to_end(&mut Vec::new())).await;
    assert_eq!(closed.expect("it is closed").unwrap_or(0), 0);
    drop(second);
    // Its place is free once the server has seen that it is gone.
    let again = async {
        loop {
            let mut stream = TcpStream::connect(running.server).await.unwrap();
            let request = b"GET /file HTTP/1.0\r\n\r\n";
            stream.write_all(request).await.ok();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.ok();
            if answer.ends_with(b"content") {
                break;
            }
        }
    };
    timeout(PATIENCE, again).await.expect("a free place");
}

#[tokio::test]
async fn stopping_ends_idle_connections() {
    let Running { site, server, mut tasks, stop } = start(Limits::default()).await;
    site.file("file", b"content");
    let _idle = TcpStream::connect(server).await.unwrap();
    assert_eq!(ask(server, "GET /file HTTP/1.1").await.status, 200);
    drop(stop);
    timeout(PATIENCE, tasks.join_next()).await.expect("it returns").unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn curl_resumes() {
    let running = start(Limits::default()).await;
    let bytes = content(500_000);
    running.site.file("image", &bytes);
    let part = running.site.root.path().join("part");
    std::fs::write(&part, &bytes[..123_456]).unwrap();
    let url = format!("http://{}/image", running.server);
    let mut curl = tokio::process::Command::new("curl");
    let curl = curl
        .args(["-sS", "--noproxy", "*", "--max-time", "100", "-C", "-", "-o"])
        .arg(&part)
        .arg(&url);
    assert!(curl.status().await.expect("curl is installed").success());
    assert!(std::fs::read(&part).unwrap() == bytes);
}

#[tokio::test]
async fn noise_leaves_the_server_standing() {
    let running = start(Limits::default()).await;
    running.site.file("file", b"still here");
    let noise = content(20_000);
    for chunk in noise.chunks(400) {
        let mut stream = TcpStream::connect(running.server).await.unwrap();
        stream.write_all(chunk).await.ok();
        stream.shutdown().await.ok();
        timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.expect("it is closed").ok();
    }
    assert_eq!(ask(running.server, "GET /file HTTP/1.1").await.body, b"still here");
}
