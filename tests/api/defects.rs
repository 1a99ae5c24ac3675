//! What was wrong in Kadeploy 3 and is tested nowhere else.

use crate::common::{Answer, Service, Site, wid};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
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

/// A web server that leads from any address to another, and gives files no tag.
#[derive(Clone)]
struct Web {
    base: String,
    /// What it was asked.
    asked: Arc<Mutex<Vec<String>>>,
    /// What is in its files.
    content: Arc<Mutex<&'static str>>,
}

impl Web {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let web = Self { base, asked: Arc::default(), content: Arc::new(Mutex::new("an image")) };
        let server = web.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                server.answer(stream.unwrap());
            }
        });
        web
    }

    fn answer(&self, mut stream: TcpStream) {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|many| many == 1) {
            head.push(byte[0]);
        }
        let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
        self.asked.lock().unwrap().push(line.clone());
        let content = *self.content.lock().unwrap();
        let answer = if line.contains("/old") {
            let base = &self.base;
            format!(
                "HTTP/1.1 302 Found\r\nLocation: {base}/new?key=1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
        } else {
            let length = content.len();
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
        };
        // Who has what he wants may be gone.
        stream.write_all(answer.as_bytes()).ok();
        if line.starts_with("GET /new") {
            stream.write_all(content.as_bytes()).ok();
        }
    }

    fn was_asked(&self, what: &str) -> bool {
        self.asked.lock().unwrap().iter().any(|line| line.contains(what))
    }
}

#[tokio::test]
async fn files_of_the_web_have_queries_move_and_need_no_tag() {
    let service = Service::new();
    let anna = service.user("anna");
    let web = Web::new();
    let image = json!({"file": format!("{}/old/image.tgz?version=7", web.base), "kind": "tar", "compression": "gzip"});
    let environment = service.anonymous(json!({"image": image}));
    let deploy = json!({"nodes": ["node-1"], "environment": environment});
    let path = format!("/deployment/{}", wid(&anna.post("/deployment", &deploy).await));
    let poll = anna.done(&path).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-1.lab.test"]), "{poll}");
    assert!(web.was_asked("/old/image.tgz?version=7 ") && web.was_asked("GET /new?key=1 "));
}

#[tokio::test]
async fn files_of_the_web_without_a_tag_are_recorded_by_what_is_in_them() {
    let service = Service::new();
    let anna = service.user("anna");
    let web = Web::new();
    let file = format!("{}/old/image.tgz", web.base);
    let mut description = service.description();
    description["image"]["file"] = json!(file);
    anna.post("/environments", &json!({"environment": description})).await.ok();
    let update = json!({"update_image_checksum": true, "last": true});
    anna.put("/environments/anna/debian", &update).await.refused_with(14, &[]);
    let deploy = async || {
        let body = json!({"nodes": ["node-1"], "environment": {"name": "debian"}});
        let path = format!("/deployment/{}", wid(&anna.post("/deployment", &body).await));
        (anna.done(&path).await, path)
    };
    // Of the same length: nothing but the content tells it.
    *web.content.lock().unwrap() = "an emage";
    let (poll, path) = deploy().await;
    assert_eq!(poll["error"], true);
    let words = ["Checksum of the file", &file, "an update is necessary"];
    anna.get(&format!("{path}/error")).await.refused_with(5, &words);
    anna.put("/environments/anna/debian", &update).await.ok();
    assert_eq!(deploy().await.0["nodes"]["ok"], json!(["node-1.lab.test"]));
}
