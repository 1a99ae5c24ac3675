//! Clients that are slow, broken or malicious: each is bounded, and the others notice nothing.

use crate::common::Service;
use serde_json::json;
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// More than the service's own patience with a client.
const LONG: Duration = Duration::from_secs(120);

fn connect(service: &Service) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", service.port)).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Sends `bytes` and reads until the service closes.
fn raw(service: &Service, bytes: &[u8]) -> String {
    let mut stream = connect(service);
    // The service may have enough before all of it is sent.
    stream.write_all(bytes).ok();
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "it hangs");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn what_is_no_http_is_ended() {
    let service = Service::new();
    let flood = |header: &dyn Fn(usize) -> String| {
        let headers: String = (0..20_000).map(header).collect();
        format!("GET /version HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
    };
    let cases = [
        ("\x16\x03\x01 hello\r\n\r\n".to_owned(), "400"),
        ("GET /version\r\n\r\n".to_owned(), "400"),
        ("GET /nodes HTTP/1.1\r\nHost: a\r\nX-Kadeploy-User: a\0b\r\n\r\n".to_owned(), "400"),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000)), "414"),
        (flood(&|number| format!("X-{number}: y\r\n")), "431"),
        (flood(&|_| format!("X: {}\r\n", "y".repeat(100))), "431"),
        ("PUT /power HTTP/1.1\r\nContent-Length: -5\r\n\r\n".to_owned(), "400"),
        (
            "PUT /power HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}".to_owned(),
            "400",
        ),
    ];
    for (bytes, status) in cases {
        let answer = raw(&service, bytes.as_bytes());
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.is_empty() || answer.starts_with(&expected), "{status}: {answer}");
    }
    service.nobody().get("/version").await.ok();
}

#[tokio::test]
async fn an_address_may_be_as_long_as_it_always_could() {
    let service = Service::new();
    let get = |address: &str| {
        let user = "X-Kadeploy-User: anna\r\nConnection: close";
        raw(&service, format!("GET {address} HTTP/1.1\r\nHost: a\r\n{user}\r\n\r\n").as_bytes())
    };
    // What an old client sends for 3 998 nodes.
    let many = format!("/nodes?list=true{}", "&nodes=node-1.lab.test".repeat(4_543));
    let longest = format!("{many}&nodes=node-[2-3].lab.test");
    assert!((99_950..=100_000).contains(&longest.len()), "{}", longest.len());
    let answer = get(&longest);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for node in ["node-1.lab.test", "node-3.lab.test"] {
        assert!(answer.contains(node), "{node}: {answer}");
    }
    // What it sends for ten thousand, which its own service refused as well.
    let more = format!("/nodes?list=true{}", "&nodes=node-1.lab.test".repeat(10_000));
    let path = format!("/{}?list=true", "a".repeat(70_000));
    for address in [format!("{many}&nodes={}", "a".repeat(60)), more, path] {
        let answer = get(&address);
        assert!(answer.starts_with("HTTP/1.1 414"), "{answer}");
        let text = "\r\n\r\nRequest-URI Too Long -- the address cannot be longer than 100000 characters: \
                    name ranges";
        assert!(answer.contains(text), "{answer}");
    }
}

#[tokio::test]
async fn half_a_request_is_not_taken_for_a_whole_one() {
    let service = Service::new();
    let anna = service.user("anna");
    // As YAML it would be understood.
    let body = "nodes: [node-1]\nstatus: 'on'\n";
    let head = format!(
        "PUT /power HTTP/1.1\r\nHost: a\r\nX-Kadeploy-User: anna\r\nContent-Type: application/x-yaml\r\nContent-Length: {}\r\n\r\n",
        body.len() + 20
    );
    let mut stream = connect(&service);
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok();
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(anna.get("/power").await.ok().json(), json!([]));
    assert!(service.orders("node-1").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_ended_and_keep_nobody_waiting() {
    let service = Service::new();
    let head = "PUT /power HTTP/1.1\r\nHost: a\r\nX-Kadeploy-User: anna\r\n";
    let body = format!("{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{");
    let mut slow: Vec<TcpStream> = (0..100).map(|_| connect(&service)).collect();
    for (index, stream) in slow.iter_mut().enumerate() {
        let start = if index % 2 == 0 { head } else { &body };
        stream.write_all(start.as_bytes()).unwrap();
    }
    // Others are served meanwhile.
    service.nobody().get("/version").await.ok();
    // None of them says any more: each is ended, with an answer or without.
    for stream in &mut slow {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap_or("none");
        assert!(["none", "408", "411"].contains(&status), "{answer}");
    }
    assert_eq!(service.user("anna").get("/power").await.ok().json(), json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_ended() {
    let service = Service::new();
    let mut stream = connect(&service);
    let ask = "GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n";
    // Answers to all of them are more than there is room for on the way.
    stream.write_all(ask.repeat(500).as_bytes()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    let ended = loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Once nobody is there, it is told so.
        match stream.write(b"G") {
            Err(error) if error.kind() != ErrorKind::WouldBlock => break error.kind(),
            _ => assert!(begun.elapsed() < LONG, "it is kept for ever"),
        }
    };
    assert!([ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&ended), "{ended}");
    service.nobody().get("/version").await.ok();
}

#[tokio::test]
async fn queries_and_paths_of_any_size_are_answered() {
    let service = Service::new();
    let anna = service.user("anna");
    let many = vec!["nodes=node-1"; 3000].join("&");
    let answer = anna.get(&format!("/nodes?list&{many}")).await.ok();
    assert_eq!(answer.json(), json!(["node-1.lab.test"]));
    for query in ["%ff%fe", "nodes=%00", "=&=&&&", "nodes", "nodes[]=a", "since=-1", "&&nodes=%"] {
        let answer = anna.get(&format!("/nodes?{query}")).await;
        assert!([200, 400, 404].contains(&answer.status), "{query}: {answer:?}");
    }
    anna.get("/nodes/%ff%fe").await.refused(404, &[]);
    let long = anna.get(&format!("/nodes/{}", "a".repeat(30_000))).await;
    long.refused(404, &["File Not Found"]);
}
