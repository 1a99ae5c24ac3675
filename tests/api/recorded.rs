//! Recorded environments: who sees them, and what becomes of them.

use crate::common::{Answer, Service, User};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
};

async fn record(user: User<'_>, changes: Value) -> Answer {
    let mut description = user.service().description();
    description.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    user.post("/environments/", &json!({"environment": description})).await
}

/// `user name version visibility` of each.
async fn list(user: User<'_>, query: &str) -> Vec<String> {
    let answer = user.get(&format!("/environments?{query}")).await.ok().json();
    let word = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
    let line = |one: &Value| {
        let (user, name, sees) = (word(one, "user"), word(one, "name"), word(one, "visibility"));
        format!("{user} {name} {} {sees}", one["version"])
    };
    answer.as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn each_sees_what_he_may_in_the_order_of_the_original() {
    let service = Service::new();
    let (anna, ben, root) = (service.user("anna"), service.user("ben"), service.user("root"));
    record(root, json!({"name": "base", "visibility": "public"})).await.ok();
    record(root, json!({"name": "base", "version": 2, "visibility": "public"})).await.ok();
    record(anna, json!({"name": "shared", "visibility": "shared"})).await.ok();
    record(anna, json!({"name": "mine"})).await.ok();
    record(ben, json!({"name": "his"})).await.ok();
    let public = ["root base 2 public", "root base 1 public"];
    let own = ["anna mine 1 private", "anna shared 1 shared"];
    assert_eq!(list(anna, "").await, [&public[..], &own[..]].concat());
    assert_eq!(list(anna, "last=true").await, [&public[..1], &own[..]].concat());
    assert_eq!(list(anna, "username=anna").await, own);
    // Shared ones are seen by those who name their owner.
    assert_eq!(list(ben, "username=anna").await, own[1..]);
    assert_eq!(list(ben, "").await, [&public[..], &["ben his 1 private"]].concat());
    assert_eq!(list(root, "last").await.len(), 4);
    assert_eq!(list(root, "username=anna").await, own);
    // Names are patterns.
    assert_eq!(list(anna, "name=%25&last").await.len(), 3);
    assert_eq!(list(anna, "name=sh_r%25").await, own[1..]);
    assert_eq!(list(anna, "name=BASE&version=1").await, public[1..]);
    anna.get("/environments?name=hi%25").await.refused(404, &[]);
    assert_eq!(list(ben, "username=carl").await, [""; 0]);
}

#[tokio::test]
async fn administrators_record_for_others_and_only_they_have_public_ones() {
    let service = Service::new();
    let (anna, root) = (service.user("anna"), service.user("root"));
    let text = "Forbidden -- Only administrators can use the \"public\" tag";
    record(anna, json!({"visibility": "public"})).await.refused(403, &[text]);
    // Not in the name of one who is none, either.
    record(root, json!({"visibility": "public", "user": "anna"})).await.refused(403, &[text]);
    record(root, json!({"user": "anna"})).await.ok();
    assert_eq!(list(anna, "").await, ["anna debian 1 private"]);
    // Others record for themselves, whatever they write.
    record(anna, json!({"user": "root", "name": "x"})).await.ok();
    assert_eq!(list(anna, "name=x").await, ["anna x 1 private"]);
}

#[tokio::test]
async fn only_the_environment_of_the_path_is_changed() {
    let service = Service::new();
    let (anna, ben, root) = (service.user("anna"), service.user("ben"), service.user("root"));
    for user in [anna, ben] {
        for version in [1, 2] {
            record(user, json!({"version": version})).await.ok();
        }
    }
    let path = "/environments/anna/debian";
    let shared = json!({"visibility": "shared", "last": true});
    let changed = anna.put(path, &shared).await.ok().json();
    assert_eq!(
        (&changed["visibility"], &changed["version"], &changed["user"]),
        (&json!("shared"), &json!(2), &Value::Null)
    );
    let others = ["anna debian 1 private", "ben debian 2 private", "ben debian 1 private"];
    let all = list(root, "").await;
    assert_eq!(all.len(), 4);
    assert!(others.iter().all(|one| all.iter().any(|there| there == one)), "{all:?}");
    anna.put(path, &shared).await.refused_with(14, &[]);
    anna.put(&format!("{path}/1"), &json!({"toggle_destructive": true})).await.ok();
    let first = anna.get("/environments?name=debian&version=1").await.ok().json();
    assert_eq!(first[0]["destructive"], true);
    anna.put(&format!("{path}/1"), &json!({"toggle_destructive": true})).await.ok();
    anna.put(&format!("{path}/1"), &json!({"toggle_destructive": false}))
        .await
        .refused_with(14, &[]);

    anna.put(path, &json!({"visibility": "private"})).await.refused(404, &["last one"]);
    anna.put(&format!("{path}/9"), &json!({})).await.refused(404, &[]);
    ben.put(path, &shared).await.refused(403, &["another user"]);
    root.put(path, &json!({"visibility": "private", "last": true})).await.ok();
    let public = json!({"visibility": "public", "last": true});
    for user in [anna, root] {
        user.put(path, &public).await.refused(403, &["Only administrators can use the"]);
    }
    let wrong = json!({"visibility": "secret", "last": true});
    anna.put(path, &wrong).await.refused_with(4, &["(public,private,shared)"]);
    // Names are encoded twice by old clients.
    record(anna, json!({"name": "my debian"})).await.ok();
    for name in ["my+debian", "my%2Bdebian"] {
        let path = format!("/environments/anna/{name}?toggle_destructive&last");
        anna.put(&path, &json!({})).await.ok();
    }
    anna.delete("/environments/anna/my%2Bdebian").await.ok();
    // It is so after a restart.
    let service = Service::on(service.stop());
    assert_eq!(list(service.user("anna"), "name=debian&last").await, ["anna debian 2 private"]);
}

/// A web server whose files have the tag that is set; the tag, and its address.
fn web() -> (Arc<Mutex<String>>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let tag = Arc::new(Mutex::new("\"1\"".to_owned()));
    let now = Arc::clone(&tag);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap_or_default();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let body = if first.starts_with("HEAD") { "" } else { "files" };
            let tag = now.lock().unwrap().clone();
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n";
            write!(stream, "{head}ETag: {tag}\r\n\r\n{body}").ok();
        }
    });
    (tag, address)
}

#[tokio::test]
async fn checksums_follow_the_files_when_they_are_told_to() {
    let service = Service::new();
    let anna = service.user("anna");
    let (tag, web) = web();
    let post = format!("{web}/post.tgz");
    let archive = json!([{"archive": post, "compression": "gzip"}]);
    record(anna, json!({"postinstalls": archive})).await.ok();
    let deploy = async || {
        let environment = json!({"kind": "database", "name": "debian"});
        anna.post("/deployment", &json!({"nodes": ["node-1"], "environment": environment})).await
    };
    let well = async || {
        let path = format!("/deployment/{}", crate::common::wid(&deploy().await));
        anna.done(&path).await["error"] == false
    };
    assert!(well().await);
    let update = async |what: &str| {
        anna.put("/environments/anna/debian", &json!({what: true, "last": true})).await
    };
    update("update_image_checksum").await.refused_with(14, &[]);
    update("update_postinstalls_checksum").await.refused_with(14, &[]);
    update("update_preinstall_checksum").await.refused_with(14, &[]);
    service.write("image.tgz", "another image");
    assert!(!well().await);
    update("update_image_checksum").await.ok();
    assert!(well().await);
    // A file behind HTTP is what its server says that it is.
    "\"2\"".clone_into(&mut tag.lock().unwrap());
    let words = ["Checksum of the file", &post, "an update is necessary"];
    deploy().await.refused_with(5, &words);
    update("update_image_checksum").await.refused_with(14, &[]);
    update("update_postinstalls_checksum").await.ok();
    assert!(well().await);
    // A file of the client's machine needs the client.
    let image = json!({"file": "/home/anna/image.tgz", "kind": "tar", "compression": "gzip"});
    let words = [
        "There is no way to retrieve /home/anna/image.tgz from the Kadeploy server. Consider using a server:// or a http:// URL\n",
    ];
    let local = json!({"name": "local", "image": image});
    record(anna, local.clone()).await.refused_with(3, &words);
    let mut description = service.description();
    description.as_object_mut().unwrap().extend(local.as_object().unwrap().clone());
    let body = json!({"environment": description, "client": web});
    anna.post("/environments", &body).await.ok();
    let path = "/environments/anna/local";
    let body = json!({"update_image_checksum": true, "last": true});
    anna.put(path, &body).await.refused_with(3, &words);
    let body = json!({"update_image_checksum": true, "last": true, "client": web});
    anna.put(path, &body).await.refused_with(14, &[]);
    "\"3\"".clone_into(&mut tag.lock().unwrap());
    anna.put(path, &body).await.ok();
}

#[tokio::test]
async fn files_are_moved_by_administrators_for_all_or_for_one() {
    let service = Service::new();
    let (anna, ben, root) = (service.user("anna"), service.user("ben"), service.user("root"));
    for user in [anna, ben] {
        record(user, json!({})).await.ok();
    }
    let (old, new) = (format!("server://{}", service.dir().display()), "server:///srv/new");
    let body = json!({"update_files": {old.as_str(): new}});
    anna.put("/environments/", &body).await.refused(403, &["Only administrators"]);
    root.put("/environments", &json!({})).await.refused_with(4, &["'update_files': mandatory"]);
    root.put("/environments", &json!({"update_files": {"": "x"}})).await.refused_with(4, &[]);
    let moved = root.put("/environments/anna", &body).await.ok().json();
    assert_eq!((&moved[0]["user"], moved.as_array().unwrap().len()), (&json!("anna"), 1));
    assert_eq!(moved[0]["image"]["file"], "server:///srv/new/image.tgz");
    let file = async |user: User<'_>| {
        let all = user.get("/environments").await.ok().json();
        all[0]["image"]["file"].as_str().unwrap().to_owned()
    };
    assert_eq!(file(ben).await, service.image());
    root.put("/environments?dry_run", &body).await.ok();
    assert_eq!(file(ben).await, service.image());
    root.put("/environments/", &body).await.ok();
    assert_eq!(file(ben).await, "server:///srv/new/image.tgz");
    root.put("/environments/", &body).await.refused_with(14, &[]);
    // What was known of the file is known under its new name.
    let back = json!({"update_files": {new: old}});
    root.put("/environments", &back).await.ok();
    service.write("image.tgz", "another image");
    let environment = json!({"kind": "database", "name": "debian"});
    let created =
        anna.post("/deployment", &json!({"nodes": ["node-1"], "environment": environment})).await;
    let path = format!("/deployment/{}", crate::common::wid(&created));
    assert_eq!(anna.done(&path).await["error"], true);
}
