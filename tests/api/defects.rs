//! What was wrong in Kadeploy 3 and is tested nowhere else.

use crate::common::{Answer, Service, Site, wid};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

#[tokio::test]
async fn nodes_that_are_well_are_told_while_others_still_run() {
    let service = Service::new();
    let anna = service.user("anna");
    service.hold("node-2");
    let on = json!({"nodes": ["node-[1-2]"], "status": "on"});
    let path = format!("/power/{}", wid(&anna.put("/power", &on).await));
    anna.shows(&path, "\"ok\": [\n      \"node-1.lab.test\"").await;
    let poll = anna.get(&path).await.ok().json();
    let nodes = json!({"ok": ["node-1.lab.test"], "ko": [], "processing": ["node-2.lab.test"]});
    assert_eq!((&poll["done"], &poll["nodes"]), (&json!(false), &nodes));
    service.release("node-2");
    anna.done(&path).await;
}

#[tokio::test]
async fn what_is_asked_for_at_the_end_and_not_configured_is_nothing() {
    let service = Service::new();
    let anna = service.user("anna");
    let on = json!({"nodes": ["node-1"], "status": "on", "hook": true});
    let path = format!("/power/{}", wid(&anna.put("/power", &on).await));
    let poll = anna.done(&path).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-1.lab.test"]));
}

#[tokio::test]
async fn clients_must_serve_their_files_encrypted_where_the_site_says_so() {
    let site = Site::new();
    site.edit(
        "server.conf",
        "secure_server: false",
        "secure_server: false, force_secure_client: true",
    );
    let service = Service::on(site);
    let anna = service.user("anna");
    let environment = service.anonymous(json!({}));
    let recorded = json!({"environment": service.description()});
    let asked = [
        (Method::POST, "/deployment", json!({"nodes": ["node-1"], "environment": environment})),
        (Method::POST, "/reboot", json!({"nodes": ["node-1"], "kind": "simple", "dry_run": true})),
        (Method::POST, "/environments", recorded),
        (Method::PUT, "/environments/anna/debian/1", json!({"toggle_destructive": true})),
    ];
    for (method, path, body) in asked {
        let ask = async |client: &str| {
            let mut body: Value = body.clone();
            body["client"] = json!(client);
            Answer::to(anna.request(method.clone(), path).json(&body)).await
        };
        let refused = ask("http://anna.lab.test:4000").await;
        refused.refused_with(3, &["Parameter 'client'", "https://", "--secure"]);
        let made = ask("https://anna.lab.test:4000").await.ok();
        let made: Value = serde_json::from_str(&made.text).unwrap_or_default();
        if let Some(wid) = made["wid"].as_str() {
            anna.done(&format!("{path}/{wid}")).await;
        }
    }
}

/// A web server that leads from any address to another, and gives files no tag; what it was asked.
fn web_server() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (asked, url) = (Arc::<Mutex<Vec<String>>>::default(), base.clone());
    let kept = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|many| many == 1)
            {
                head.push(byte[0]);
            }
            let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
            kept.lock().unwrap().push(line.clone());
            let answer = if line.contains("/old") {
                format!(
                    "HTTP/1.1 302 Found\r\nLocation: {url}/new?key=1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n".to_owned()
            };
            // Who has what he wants may be gone.
            stream.write_all(answer.as_bytes()).ok();
            if line.starts_with("GET /new") {
                stream.write_all(b"an image").ok();
            }
        }
    });
    (base, asked)
}

#[tokio::test]
async fn files_of_the_web_have_queries_move_and_need_no_tag() {
    let service = Service::new();
    let anna = service.user("anna");
    let (base, asked) = web_server();
    let image = json!({"file": format!("{base}/old/image.tgz?version=7"), "kind": "tar", "compression": "gzip"});
    let environment = service.anonymous(json!({"image": image}));
    let deploy = json!({"nodes": ["node-1"], "environment": environment});
    let path = format!("/deployment/{}", wid(&anna.post("/deployment", &deploy).await));
    let poll = anna.done(&path).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-1.lab.test"]), "{poll}");
    let asked = asked.lock().unwrap().clone();
    let has = |what: &str| asked.iter().any(|line| line.contains(what));
    assert!(has("/old/image.tgz?version=7 ") && has("GET /new?key=1 "), "{asked:#?}");
}
