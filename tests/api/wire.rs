//! What old clients need to the letter.

use crate::common::{Answer, Service};
use flate2::read::GzDecoder;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Read;

/// The `Accept-Encoding` of old clients.
const GZIP: &str = "gzip;q=1.0,deflate;q=0.6,identity;q=0.3";

#[tokio::test]
async fn structures_are_compressed_for_those_who_read_it_and_texts_never() {
    let service = Service::new();
    let get = async |path: &str, encoding: &str| {
        let request = service.user("anna").request(Method::GET, path);
        let response = request.header("accept-encoding", encoding).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let said = response.headers()["content-encoding"].to_str().unwrap().to_owned();
        let length = response.headers()["content-length"].to_str().unwrap().to_owned();
        let bytes = response.bytes().await.unwrap().to_vec();
        assert_eq!(length, bytes.len().to_string());
        (said, bytes)
    };
    let plain = service.user("anna").get("/nodes").await.ok();
    assert_eq!(plain.header("content-encoding"), Some(""));
    let (said, bytes) = get("/nodes", GZIP).await;
    let mut text = String::new();
    GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!((said.as_str(), &text), ("gzip", &plain.text));
    for encoding in ["identity", "gzip;q=0", "deflate"] {
        assert_eq!(get("/nodes", encoding).await, (String::new(), plain.text.clone().into()));
    }
    assert_eq!(get("/version", GZIP).await, (String::new(), b"test\n".to_vec()));
}

#[tokio::test]
async fn what_takes_neither_json_nor_yaml_gets_nothing_not_even_texts() {
    let service = Service::new();
    let get = async |path: &str, accept: &str| {
        Answer::to(service.user("anna").request(Method::GET, path).header("accept", accept)).await
    };
    get("/version", "text/html").await.refused(406, &["Not Acceptable -- application/json"]);
    get("/version", "text/plain").await.refused(406, &[]);
    get("/version", "application/x-yaml").await.ok();
    // What monitors and browsers ask for has one form.
    get("/metrics", "text/plain").await.ok();
    get("/openapi.json", "text/html").await.ok();
}

#[tokio::test]
async fn lists_of_operations_have_symbols_as_keys_in_yaml() {
    let service = Service::new();
    let anna = service.user("anna");
    let yaml = async |path: &str| {
        let request = anna.request(Method::GET, path).header("accept", "application/x-yaml");
        Answer::to(request).await.ok().text
    };
    assert_eq!(yaml("/power").await, "--- []\n");
    let on = json!({"nodes": ["node-1"], "status": "on"});
    let wid = crate::common::wid(&anna.put("/power", &on).await);
    anna.done(&format!("/power/{wid}")).await;
    let text = yaml("/power").await;
    let start = format!(
        "---\n- :wid: {wid}\n  :user: anna\n  :done: true\n  :error: false\n  :start_time: "
    );
    assert!(text.starts_with(&start), "{text}");
    let end = "  :logs: true\n  :nodes:\n    :ok:\n    - node-1.lab.test\n    :ko: []\n  :time: ";
    assert!(text.contains(end), "{text}");
    let state = yaml(&format!("/power/{wid}/state")).await;
    assert!(
        state.starts_with("---\nnode-1.lab.test:\n  :macro:\n  :micro:\n  :state: ok\n"),
        "{state}"
    );
    let nodes = yaml("/nodes").await;
    let first = "---\nnode-1.lab.test:\n  state: powered\n  user: anna\n  environment:\n    name:\n    version:\n    user:\n";
    assert!(nodes.starts_with(first), "{nodes}");
    assert!(nodes.ends_with("node-3.lab.test:\n"), "{nodes}");
    let info = yaml("/info").await;
    assert!(info.starts_with("---\n:pxe: PXElinux\n:automata:\n  alpha:\n"), "{info}");
    assert!(info.contains("    - name: SetDeploymentEnvDummy\n      retries: 0\n"), "{info}");
}

#[tokio::test]
async fn paths_are_those_of_the_original() {
    let service = Service::new();
    let anna = service.user("anna");
    let cases = [
        ("GET", "/deployment/D-1", 400),
        ("GET", "/deployment/D-1/", 400),
        ("DELETE", "/deployment/D-1", 405),
        ("GET", "/deployment/D-1/none", 404),
        ("GET", "/deployment/D-1/logs/alpha/more", 404),
        ("PUT", "/deployment", 405),
        ("PUT", "/reboot", 405),
        ("PUT", "/rights", 405),
        ("HEAD", "/nodes", 405),
        ("DELETE", "/deployment", 404),
        ("POST", "/deployment/D-1", 404),
        ("GET", "/deployment/D-1/retry", 404),
        ("DELETE", "/environments", 404),
        ("DELETE", "/environments/anna", 404),
        ("POST", "/environments/anna/debian", 404),
        ("DELETE", "/rights", 404),
        ("POST", "/rights/anna", 404),
        ("GET", "/environments/anna/debian", 404),
        ("GET", "/environments/anna/debian/1", 404),
        ("GET", "/stats/none", 404),
        ("GET", "/none", 404),
        ("GET", "/deployment?", 200),
        ("GET", "//deployment//", 200),
    ];
    for (method, path, status) in cases {
        let request = anna.request(method.parse().unwrap(), path);
        let answer = Answer::to(request.json(&json!({}))).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    let gone = anna.delete("/deployment/D-1").await;
    assert_eq!(gone.header("allow"), Some("POST,PUT,GET,HEAD"));
    anna.get("/power/P-1").await.refused_with(1, &["Invalid workflow ID"]);
}

#[tokio::test]
async fn who_asks_is_looked_at_before_what_is_asked_and_rights_at_the_end() {
    let service = Service::new();
    let bad = |request: reqwest::RequestBuilder| {
        Answer::to(request.body("{").header("content-type", "application/json"))
    };
    bad(service.nobody().request(Method::POST, "/deployment")).await.refused(401, &[]);
    bad(service.user("anna").request(Method::POST, "/deployment")).await.refused(415, &[]);
    let wrong = json!({"nodes": ["zz"]});
    service.user("anna").post("/rights", &wrong).await.refused_with(2, &["zz"]);
    let right = json!({"nodes": ["node-1"]});
    service.user("anna").post("/rights", &right).await.refused(403, &["Only administrators"]);
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_says_an_empty_line() {
    let service = Service::new();
    let (anna, root) = (service.user("anna"), service.user("root"));
    service.hold("node-1");
    let on = json!({"nodes": ["node-1"], "status": "on"});
    let wid = crate::common::wid(&anna.put("/power", &on).await);
    let dry = json!({"dry_run": true});
    let empty = |answer: Answer| {
        let answer = answer.ok();
        assert_eq!(answer.text, "\n");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=\"UTF-8\""));
    };
    let delete = async |path: &str| Answer::to(anna.request(Method::DELETE, path).json(&dry)).await;
    empty(delete(&format!("/power/{wid}")).await);
    assert_eq!(anna.get(&format!("/power/{wid}")).await.ok().json()["done"], false);
    delete("/power/P-1").await.refused(405, &[]);
    empty(anna.post("/environments?dry_run", &json!({"environment": service.description()})).await);
    assert_eq!(anna.get("/environments").await.ok().json(), json!([]));
    anna.post("/environments?dry_run", &json!({"environment": {}})).await.refused_with(7, &[]);
    empty(root.post("/rights?dry_run=false", &json!({"username": "anna"})).await);
    service.release("node-1");
    anna.done(&format!("/power/{wid}")).await;
}

#[tokio::test]
async fn a_dry_run_starts_nothing_also_where_it_is_a_get_and_reads_nothing_for_good() {
    let service = Service::new();
    let anna = service.user("anna");
    let on = json!({"nodes": ["node-1"], "status": "on", "debug": true});
    let path = format!("/power/{}", crate::common::wid(&anna.put("/power", &on).await));
    anna.done(&path).await;
    let asked = ["/power?nodes=node-2", "/nodes?list", "/power?"].map(str::to_owned);
    let parts = ["", "/logs?", "/debugs?", "/state?", "/status?"];
    let parts = parts.map(|part| format!("{path}{}", if part.is_empty() { "?" } else { part }));
    for path in asked.iter().chain(&parts) {
        let answer = anna.get(&format!("{path}&dry_run=true")).await.ok();
        assert_eq!(answer.text, "\n", "{path}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=\"UTF-8\""));
    }
    anna.get("/power?nodes=zz&dry_run").await.refused_with(2, &["zz"]);
    assert!(service.orders("node-2").is_empty());
    assert_eq!(anna.get("/power").await.ok().json().as_array().unwrap().len(), 1);
    let log = anna.get(&format!("{path}/logs")).await.ok().text;
    assert!(log.contains("Launching a power operation"), "{log}");
    // What cannot be checked without doing it is not done.
    let dry = json!({"dry_run": true});
    for path in [format!("{path}/continue"), format!("{path}/abort"), format!("{path}/retry")] {
        anna.post(&path, &dry).await.refused_with(4, &["Parameter 'dry_run'"]);
    }
    anna.post("/tokens", &dry).await.refused_with(4, &["Parameter 'dry_run'"]);
    service.user("root").post("/reload", &dry).await.refused_with(4, &["Parameter 'dry_run'"]);
}

#[tokio::test]
async fn fields_come_in_the_order_of_the_original() {
    let service = Service::new();
    let anna = service.user("anna");
    let on = json!({"nodes": ["node-2", "node-1"], "status": "on", "debug": true});
    let created = anna.put("/power/", &on).await.ok();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&created.json()), ["wid", "resources"]);
    let resources = &created.json()["resources"];
    let expected = ["resource", "log", "logs", "state", "status", "error", "debug", "debugs"];
    assert_eq!(keys(resources), expected);
    assert!(resources["resource"].as_str().unwrap().ends_with('/'));
    let wid = crate::common::wid(&created);
    let poll = anna.done(&format!("/power/{wid}")).await;
    let expected =
        ["wid", "user", "done", "error", "start_time", "logs", "debugs", "nodes", "time"];
    assert_eq!(keys(&poll), expected);
    // Nodes that were used come first, by name.
    anna.put("/power/", &json!({"nodes": ["node-3"], "status": "on"})).await.ok();
    let nodes = anna.get("/nodes").await.ok().json();
    let expected = ["node-1.lab.test", "node-2.lab.test", "node-3.lab.test", "beta-1.lab.test"];
    assert_eq!(keys(&nodes), expected);
}

#[tokio::test]
async fn every_path_has_its_trailing_slash_and_refuses_head_and_what_it_does_not_do() {
    let service = Service::new();
    let root = service.user("root");
    let ask = async |method: &str, path: &str| {
        Answer::to(root.request(method.parse().unwrap(), path)).await
    };
    for (method, path, _) in kadence::api::routes() {
        // These answer for ever, do something, or count what they are asked.
        let acts = method == "POST" && path == "/rights";
        if acts || ["/events", "/reload", "/metrics"].contains(&path) {
            continue;
        }
        let filled: Vec<&str> =
            path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
        let filled = filled.join("/");
        let plain = ask(method.as_str(), &filled).await;
        let slash = ask(method.as_str(), &format!("{filled}/")).await;
        assert_eq!((plain.status, plain.text), (slash.status, slash.text), "{method} {filled}/");
        let head = ask("HEAD", &filled).await;
        let by_path = path.starts_with("/environments/");
        let refused = if by_path { [404, 405] } else { [405, 405] };
        assert!(refused.contains(&head.status) && head.text.is_empty(), "{filled}: {head:?}");
        let patch = ask("PATCH", &filled).await.refused(405, &["Method Not Allowed -- "]);
        assert!(patch.header("allow").unwrap().contains(method.as_str()), "{filled}: {patch:?}");
        ask(method.as_str(), &format!("{filled}/a/b/c/d/e"))
            .await
            .refused(404, &["File Not Found"]);
    }
    for path in ["/", "/x", "/deploymentx", "/versions", "/deployment/../version/x"] {
        ask("GET", path).await.refused(404, &["File Not Found"]);
    }
}

#[tokio::test]
async fn names_of_headers_are_written_as_the_original_writes_them() {
    use std::io::Write;
    let service = Service::new();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", service.port)).unwrap();
    let head =
        "POST /deployment/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Kadeploy-User: anna\r\n";
    let body = r#"{"nodes":["zz"]}"#;
    let length = body.len();
    let kind = "Content-Type: application/json";
    write!(stream, "{head}{kind}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    let info = "X-Application-Error-Info: SW52YWxpZCBub2RlIGxpc3QgLS0gUGFyYW1ldGVyICdub2Rlcyc6IFRoZSBub2RlICd6eicgZG9lcyBub3QgZXhpc3Q=\r\n";
    for line in
        ["X-Application-Error-Code: 2\r\n", info, "Content-Type: text/plain; charset=\"UTF-8\"\r\n"]
    {
        assert!(answer.contains(line), "{line:?} is not in {answer}");
    }
    let text = "\r\n\r\nInvalid node list -- Parameter 'nodes': The node 'zz' does not exist\n";
    assert!(answer.ends_with(text), "{answer}");
}

#[tokio::test]
async fn names_in_paths_and_queries_may_be_encoded_once_or_twice() {
    let service = Service::new();
    let anna = service.user("anna");
    for name in ["debian test", "a+b", "50%", "d\u{e9}bian/x"] {
        let mut description = service.description();
        description["name"] = json!(name);
        anna.post("/environments", &json!({"environment": description})).await.ok();
        let form = |text: &str| -> String {
            url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
        };
        let once = form(name);
        let twice = form(&once);
        for encoded in [&once, &twice] {
            let found = anna.get(&format!("/environments?last=true&name={encoded}")).await.ok();
            assert_eq!(found.json()[0]["name"], name, "{encoded}");
            let path = format!("/environments/anna/{encoded}/1");
            let toggled = anna.put(&path, &json!({"toggle_destructive": true})).await.ok();
            assert_eq!(toggled.json()["name"], name, "{encoded}");
        }
        let gone = anna.delete(&format!("/environments/anna/{twice}")).await.ok();
        assert_eq!(gone.json()[0]["name"], name);
    }
}
