//! What is to be installed.

use crate::common::{Service, User};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
};

async fn deploy(user: User<'_>, environment: Value) -> crate::common::Answer {
    user.post("/deployment", &json!({"nodes": ["node-1"], "environment": environment})).await
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, or one table")]
async fn an_environment_with_a_mistake_is_refused_and_nothing_changes() {
    let service = Service::new();
    let anna = service.user("anna");
    let before = anna.everything().await;
    let image = |changes: Value| {
        let mut image = service.description()["image"].clone();
        image.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!({"image": image})
    };
    let cases = [
        (json!({"image": null}), "The field is mandatory [field: image]", "field"),
        (json!({"name": null}), "The field is mandatory [field: name]", "field"),
        (json!({"name": ["a"]}), "should have the type String [field: name]", "String"),
        (json!({"version": "two"}), "should have the type Integer [field: version]", "Integer"),
        (json!({"os": "plan9"}), "Invalid value 'plan9'", "'linux', 'xen' or 'other'"),
        (
            json!({"visibility": "secret"}),
            "Invalid value 'secret'",
            "'public', 'private' or 'shared'",
        ),
        (
            json!({"boot": {}}),
            "Invalid environment specification -- The field 'kernel' is mandatory for OS linux with the 'tar' image kind\n",
            "kernel",
        ),
        (
            json!({"filesystem": null}),
            "Invalid environment specification -- The field 'filesystem' is mandatory for OS linux with the 'tar' image kind\n",
            "filesystem",
        ),
        (
            json!({"os": "xen"}),
            "Invalid environment specification -- The field 'hypervisor' is mandatory for OS xen with the 'tar' image kind\n",
            "hypervisor",
        ),
        (json!({"filesystem": "zfs"}), "'zfs' is not supported", "supported: ext2, ext4"),
        (
            json!({"filesystem": "ext4; reboot"}),
            "'ext4; reboot' is not the name",
            "[field: filesystem]",
        ),
        (json!({"partition_type": 999}), "must be in the range 0..255", "[field: partition_type]"),
        (
            json!({"postinstalls": [{}]}),
            "The field is mandatory",
            "[field: postinstalls/0/archive]",
        ),
        (
            json!({"kind": "borrowed"}),
            "'environment/kind': must have a value in",
            "anonymous,database",
        ),
        (image(json!({"compression": "rar"})), "Invalid value 'rar'", "[field: image/compression]"),
        (image(json!({"sha256": "abc"})), "must be 64 hexadecimal digits", "[field: image/sha256]"),
    ];
    for (changes, what, way_out) in cases {
        let description = service.anonymous(changes);
        deploy(anna, description.clone()).await.refused_with(7, &[what, way_out]);
        // A rule of the description holds for those that are recorded as well.
        if what.contains("mandatory for OS") {
            let record = json!({"environment": description});
            anna.post("/environments", &record).await.refused_with(7, &[what]);
        }
    }
    let missing = anna.post("/deployment", &json!({"nodes": ["node-1"]})).await;
    missing.refused_with(7, &["Parameter 'environment': mandatory", "-a FILE"]);
    deploy(anna, json!("debian"))
        .await
        .refused_with(7, &["Parameter 'environment': should be a Hash"]);
    deploy(anna, json!({})).await.refused_with(7, &["'environment/name': mandatory"]);
    let unknown = deploy(anna, json!({"name": "plan9"})).await;
    unknown.refused_with(7, &["the environment plan9,latest of anna does not exist", "env list"]);
    let version = deploy(anna, json!({"name": "debian", "version": "two"})).await;
    version.refused_with(7, &["'environment/version': should be a Integer"]);
    assert_eq!(anna.everything().await, before);
}

/// A web server that answers everything with 404.
fn web() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer =
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            stream.write_all(answer).ok();
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_refused_and_nothing_changes() {
    let service = Service::new();
    let anna = service.user("anna");
    let before = anna.everything().await;
    let image = |file: &str| {
        service.anonymous(json!({"image": {"file": file, "kind": "tar", "compression": "gzip"}}))
    };
    let web = format!("{}/image.tgz", web());
    let nobody = format!("http://127.0.0.1:{}/image.tgz", crate::common::free_port());
    let size = |url: &str| format!("Unable to get the size of {url}");
    let folder = format!("server://{}", service.dir().display());
    let cases = [
        (
            5,
            "server:///none/image.tgz",
            "Unable to grab the file server:///none/image.tgz",
            "No such file",
        ),
        (5, &folder, "is no regular file", "may read"),
        (5, &web, &size(&web), "(http error #404)"),
        (5, &nobody, &size(&nobody), "(connection refused)"),
        (
            5,
            "ftp://a/b",
            "Invalid file -- Unable to grab the file 'ftp://a/b', unknown protocol ftp\n",
            "use a path, server://, http:// or https://",
        ),
        (3, "/home/anna/image.tgz", "no way to retrieve /home/anna/image.tgz", "Consider using"),
    ];
    for (number, file, what, way_out) in cases {
        deploy(anna, image(file)).await.refused_with(number, &[what, way_out]);
    }
    let key = json!({"nodes": ["node-1"], "environment": image(&service.image()),
        "ssh_authorized_keys": "server:///none/key"});
    anna.post("/deployment", &key).await.refused_with(5, &["server:///none/key"]);
    assert_eq!(anna.everything().await, before);
}

#[tokio::test]
async fn archives_that_are_larger_than_the_site_wants_are_refused_and_nothing_changes() {
    let service = Service::new();
    let anna = service.user("anna");
    let before = anna.everything().await;
    // Nothing is in it, and it takes no room.
    let large = std::fs::File::create(service.path("large.tgz")).unwrap();
    large.set_len((20 << 20) + 1).unwrap();
    let archive = format!("server://{}", service.path("large.tgz").display());
    for (what, changes) in [
        (
            "preinstall",
            json!({"preinstall": {"archive": archive, "compression": "gzip", "script": "x"}}),
        ),
        ("postinstall", json!({"postinstalls": [{"archive": archive, "compression": "gzip"}]})),
    ] {
        let words =
            format!("The {what} file '{archive}' is too big (20 MB is the max allowed size)");
        deploy(anna, service.anonymous(changes)).await.refused_with(5, &[&words]);
    }
    assert_eq!(anna.everything().await, before);
    large.set_len(20 << 20).unwrap();
    let fits = json!({"postinstalls": [{"archive": archive, "compression": "gzip"}]});
    let made = deploy(anna, service.anonymous(fits)).await;
    anna.done(&format!("/deployment/{}", crate::common::wid(&made))).await;
}

#[tokio::test]
async fn an_image_with_another_digest_breaks_the_operation_off_before_the_nodes() {
    let service = Service::new();
    let anna = service.user("anna");
    let mut environment = service.anonymous(json!({}));
    environment["image"]["sha256"] = json!("0".repeat(64));
    let created = deploy(anna, environment).await;
    let wid = crate::common::wid(&created);
    let poll = anna.done(&format!("/deployment/{wid}")).await;
    assert_eq!(
        (&poll["error"], &poll["nodes"], &poll["logs"]),
        (&json!(true), &json!(null), &json!(null))
    );
    let words =
        ["Checksum of the file", &service.image(), "does not match (an update is necessary)"];
    let error = anna.get(&format!("/deployment/{wid}/error")).await.refused_with(5, &words);
    let hint = error.hint().unwrap();
    assert!(hint.contains("image/sha256") && hint.contains("expected 0000"), "{hint}");
    assert!(!error.text.contains("0000"), "{}", error.text);
    // Old clients expect nothing but the error of such an operation.
    for part in ["logs", "logs/alpha", "debugs", "state", "status"] {
        let answer = anna.get(&format!("/deployment/{wid}/{part}")).await.ok();
        assert_eq!(answer.text, "\n", "{part}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=\"UTF-8\""));
    }
    let state = anna.get(&format!("/deployment/{wid}/state?failed")).await.ok().json();
    assert_eq!(state["node-1.lab.test"]["state"], "ko");
    let log = anna.get(&format!("/deployment/{wid}/logs?since=0")).await.ok().text;
    assert!(log.contains("|Grab the tarball file server://"), "{log}");
    assert!(service.orders("node-1").is_empty());
    let node = anna.get("/nodes/node-1.lab.test").await.ok().json();
    assert_eq!(node["state"], "aborted");
    let cached: Vec<_> = std::fs::read_dir(service.path("cache")).unwrap().collect();
    assert!(cached.iter().all(|file| !file.as_ref().unwrap().path().is_file()), "{cached:?}");
}

#[tokio::test]
async fn files_of_a_recorded_environment_that_changed_break_the_operation_off_before_the_nodes() {
    let service = Service::new();
    let anna = service.user("anna");
    service.write("post.tgz", "an archive");
    let post = format!("server://{}", service.path("post.tgz").display());
    let mut description = service.description();
    description["postinstalls"] = json!([{"archive": post, "compression": "gzip"}]);
    let body = json!({"environment": description});
    anna.post("/environments", &body).await.ok();
    let recorded = async || {
        let created = deploy(anna, json!({"kind": "database", "name": "debian"})).await;
        let path = format!("/deployment/{}", crate::common::wid(&created));
        (anna.done(&path).await, path)
    };
    for (file, reference) in [("image.tgz", service.image()), ("post.tgz", post)] {
        let before = std::fs::read_to_string(service.path(file)).unwrap();
        service.write(file, "another one");
        let (poll, path) = recorded().await;
        assert_eq!(poll["error"], true);
        let words = ["Checksum of the file", &reference, "an update is necessary", "add it again"];
        anna.get(&format!("{path}/error")).await.refused_with(5, &words);
        assert!(service.orders("node-1").is_empty());
        service.write(file, &before);
    }
    // Back to what they were, they are deployed: what was refused is not in the way.
    assert_eq!(recorded().await.0["nodes"]["ok"], json!(["node-1.lab.test"]));
    // What cannot be read cannot be recorded.
    description["image"]["file"] = json!("server:///none/image.tgz");
    description["version"] = json!(2);
    let gone = anna.post("/environments", &json!({"environment": description})).await;
    gone.refused_with(5, &["Unable to grab the file server:///none/image.tgz", "may read"]);
    assert_eq!(anna.get("/environments").await.ok().json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn recorded_environments_are_kept_apart_by_owner_and_name() {
    let service = Service::new();
    let (anna, ben, root) = (service.user("anna"), service.user("ben"), service.user("root"));
    let record = |changes: Value| {
        let mut description = service.description();
        description.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!({"environment": description})
    };
    let recorded = anna.post("/environments/", &record(json!({"name": "my debian"}))).await.ok();
    assert_eq!(recorded.json()["description"], "");
    assert_eq!(recorded.json()["user"], json!(null));
    let again = anna.post("/environments/", &record(json!({"name": "my debian"}))).await;
    again.refused_with(10, &["'my debian' and the version 1", "anna"]);
    let public = record(json!({"visibility": "public"}));
    anna.post("/environments/", &public).await.refused(403, &["Only administrators"]);
    anna.post("/environments", &json!({"environment": 7}))
        .await
        .refused_with(7, &["'environment'"]);
    anna.post("/environments", &json!({})).await.refused_with(7, &["'environment': mandatory"]);

    // Encoded once and, by old clients, twice.
    for name in ["my%20debian", "my+debian", "my%2Bdebian", "my%2520debian"] {
        let list = anna.get(&format!("/environments?last=true&name={name}")).await.ok().json();
        assert_eq!(list[0]["user"], "anna", "{name}");
    }
    assert_eq!(ben.get("/environments").await.ok().json(), json!([]));
    ben.get("/environments?name=my+debian").await.refused(404, &["no such environment"]);
    ben.get("/environments?version=two").await.refused_with(4, &["'version': should be a Integer"]);
    ben.delete("/environments/anna/my+debian").await.refused(403, &["another user"]);
    anna.delete("/environments/anna/none").await.refused(404, &["no such environment"]);
    anna.delete("/environments/anna/my+debian/x").await.refused_with(4, &["'version'"]);
    assert_eq!(root.get("/environments").await.ok().json()[0]["name"], "my debian");
    let gone = anna.delete("/environments/anna/my+debian/1").await.ok().json();
    assert_eq!(gone[0]["name"], "my debian");
    assert_eq!(anna.get("/environments").await.ok().json(), json!([]));
}
