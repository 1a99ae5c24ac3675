//! Bodies: formats, sizes, and what cannot be read.

use crate::common::{Answer, Service};
use reqwest::Method;
use serde_json::json;

async fn send(service: &Service, kind: Option<&str>, body: Vec<u8>) -> Answer {
    let request = service.user("anna").request(Method::POST, "/deployment").body(body);
    Answer::to(match kind {
        Some(kind) => request.header("content-type", kind),
        None => request,
    })
    .await
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_and_nothing_changes() {
    let service = Service::new();
    let anna = service.user("anna");
    let before = anna.everything().await;
    let (json, yaml) = (Some("application/json"), Some("application/x-yaml; charset=utf-8"));
    let not =
        |what: &str| format!("Unsupported Media Type -- Invalid {what} content in request's body");
    let no_hash = "Unsupported Media Type -- The content of the request's body must be a Hash";
    let deep = |open: &str, close: &str| [open.repeat(20_000), close.repeat(20_000)].concat();
    let aliases: String =
        ('b'..='z').fold("a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, name| {
            let last = char::from(name as u8 - 1);
            let list = vec![format!("*{last}"); 9].join(",");
            format!("{text}{name}: &{name} [{list}]\n")
        });
    let cases = [
        (json, b"{".to_vec(), not("JSON")),
        (json, b"\xff\xfe{}".to_vec(), not("JSON")),
        (json, b"{\"nodes\": [\"\xc3\x28\"]}".to_vec(), not("JSON")),
        (json, br#"{"nodes": ["\ud800"]}"#.to_vec(), not("JSON")),
        (json, deep("[", "]").into_bytes(), not("JSON")),
        (json, deep("{\"a\":", "}").into_bytes(), not("JSON")),
        (json, b"[]".to_vec(), no_hash.into()),
        (json, b"null".to_vec(), no_hash.into()),
        (yaml, b"nodes: [".to_vec(), not("YAML")),
        (yaml, b"\xff\xfe\xfd".to_vec(), not("YAML")),
        (yaml, deep("[", "]").into_bytes(), not("YAML")),
        (yaml, aliases.into_bytes(), not("YAML")),
        (yaml, b"- a".to_vec(), no_hash.into()),
        (None, b"{}".to_vec(), "The Content-Type HTTP header has to be set".into()),
        (Some("text/html"), b"{}".to_vec(), "The Content-Type text/html is not supported".into()),
    ];
    for (kind, body, text) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let answer = send(&service, kind, body).await;
        assert!(answer.text.contains(&text), "{shown}: {answer:?}");
        answer.refused(415, &[]);
    }
    let supported = send(&service, Some("text/html"), b"{}".to_vec()).await;
    supported.refused(415, &["Supported: application/json, application/x-yaml"]);
    assert_eq!(anna.everything().await, before);
}

#[tokio::test]
async fn a_body_of_two_megabytes_is_refused() {
    let service = Service::new();
    let body = json!({"nodes": ["node-1"], "client": "x".repeat(2 << 20)}).to_string();
    let answer = send(&service, Some("application/json"), body.into_bytes()).await;
    answer.refused(413, &["cannot be greater than 1048576 bytes"]);
    // One that just fits is read.
    let body = json!({"nodes": ["zz"], "client": "x".repeat((1 << 20) - 100)}).to_string();
    let answer = send(&service, Some("application/json"), body.into_bytes()).await;
    answer.refused_with(2, &["zz"]);
}

#[tokio::test]
async fn a_body_in_chunks_is_refused() {
    let service = Service::new();
    let piece = Ok::<_, std::io::Error>(r#"{"nodes": ["node-1"], "status": "on"}"#);
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter([piece]));
    let request = service.user("anna").request(Method::PUT, "/power").body(body);
    let answer = Answer::to(request.header("content-type", "application/json")).await;
    answer.refused(411, &["Content-Length"]);
    assert_eq!(service.user("anna").get("/power").await.ok().json(), json!([]));
}

#[tokio::test]
async fn a_body_may_be_yaml() {
    let service = Service::new();
    let anna = service.user("anna");
    let body = "nodes:\n- node-1\n- node-2\nstatus: 'on'\nverbose_level: 5\n";
    let request = anna.request(Method::PUT, "/power").body(body);
    let answer = Answer::to(request.header("content-type", "application/x-yaml")).await;
    let poll = anna.done(&format!("/power/{}", crate::common::wid(&answer))).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-1.lab.test", "node-2.lab.test"]));
}
