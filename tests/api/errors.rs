//! Every error number of the interface, provoked over the wire.

use crate::common::{Answer, Service, Site, User, wid};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use std::{fs, io::Write, net::TcpListener, thread};

/// A site of which much can go wrong.
fn site() -> Site {
    let site = Site::new();
    site.edit("server.conf", "kind: dummy", "kind: db");
    site.edit("server.conf", "network: {", "network: {vlan: {set_cmd: 'true NODES VLAN_ID'}, ");
    site
}

/// anna may use alpha, ben beta; anna has an environment, which is on node-2 and destructive.
async fn prepare(service: &Service) {
    let (root, anna) = (service.user("root"), service.user("anna"));
    for (user, nodes) in [("anna", "node-[1-3]"), ("ben", "beta-1")] {
        root.post("/rights", &json!({"username": user, "nodes": [nodes]})).await.ok();
    }
    anna.post("/environments", &json!({"environment": service.description()})).await.ok();
    let deploy = json!({"nodes": ["node-2"], "environment": {"name": "debian"}});
    let made = anna.post("/deployment", &deploy).await;
    let poll = anna.done(&format!("/deployment/{}", wid(&made))).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-2.lab.test"]));
    anna.put("/environments/anna/debian/1", &json!({"toggle_destructive": true})).await.ok();
}

/// Error number, who asks for what, its body, and a word of the answer.
type Case = (u8, &'static str, &'static str, &'static str, Value, &'static str);

#[expect(clippy::too_many_lines, reason = "one table")]
fn cases(service: &Service) -> Vec<Case> {
    let anonymous = |changes: Value| service.anonymous(changes);
    let image = |file: &str| json!({"image": {"file": file, "kind": "tar", "compression": "gzip"}});
    let deploy = |changes: Value| {
        let mut body = json!({"nodes": ["node-1"], "environment": anonymous(json!({}))});
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        body
    };
    let local = deploy(json!({"environment": anonymous(image("/home/anna/image.tgz"))}));
    let gone = deploy(json!({"environment": anonymous(image("server:///none"))}));
    let operations = json!({"SetDeploymentEnvDummy": {"dummy": {"pre-ops": [{"action": "exec"}]}}});
    let on = |node: &str| json!({"nodes": [node], "status": "on"});
    let again = json!({"environment": service.description()});
    let destructive = json!({"nodes": ["node-2"], "kind": "recorded_env", "check_destructive": true,
        "environment": {"user": "anna", "name": "debian", "version": 1}, "deploy_partition": "3"});
    vec![
        (1, "anna", "GET", "/deployment/D-1", json!({}), "Invalid workflow ID"),
        (2, "anna", "PUT", "/power", on("zz"), "The node 'zz' does not exist"),
        (3, "anna", "POST", "/deployment", local, "There is no way to retrieve"),
        (4, "anna", "POST", "/deployment", deploy(json!({"breakpoint": "Nothing"})), "breakpoint"),
        (5, "anna", "POST", "/deployment", gone, "server:///none"),
        (6, "ben", "PUT", "/power", on("node-1"), "sufficient rights"),
        (
            7,
            "anna",
            "POST",
            "/deployment",
            json!({"nodes": ["node-1"]}),
            "'environment': mandatory",
        ),
        (
            8,
            "anna",
            "POST",
            "/deployment",
            deploy(json!({"custom_operations": operations})),
            "SetDeploymentEnvDummy/dummy, The field is mandatory [field: pre-ops/0/name]",
        ),
        (9, "anna", "POST", "/deployment", deploy(json!({"vlan": "4; reboot"})), "Invalid VLAN"),
        (10, "anna", "POST", "/environments", again, "Element already exists"),
        (
            11,
            "root",
            "POST",
            "/rights",
            json!({"username": "carl", "nodes": ["beta-1"]}),
            "Some rights are already set for user ben on nodes beta-1.lab.test",
        ),
        (
            12,
            "anna",
            "POST",
            "/reboot",
            json!({"nodes": ["node-1"], "kind": "set_pxe"}),
            "PXE profile",
        ),
        (
            13,
            "anna",
            "POST",
            "/deployment",
            deploy(json!({"reformat_tmp_partition": "xfs"})),
            "The filesystem 'xfs' is not supported",
        ),
        (
            14,
            "anna",
            "PUT",
            "/environments/anna/debian/1",
            json!({"visibility": "private"}),
            "No element has been modified",
        ),
        (30, "anna", "POST", "/reboot", destructive, "node-2.lab.test"),
    ]
}

async fn ask(user: User<'_>, method: &str, path: &str, body: &Value) -> Answer {
    Answer::to(user.request(method.parse().unwrap(), path).json(body)).await
}

#[tokio::test]
async fn each_number_has_a_request_that_gets_it_and_nothing_changes() {
    let service = Service::on(site());
    prepare(&service).await;
    let root = service.user("root");
    let before = root.everything().await;
    for (number, user, method, path, body, words) in cases(&service) {
        let answer = ask(service.user(user), method, path, &body).await;
        assert_eq!(answer.status, 400, "{number}: {answer:?}");
        answer.refused_with(number, &[words]);
    }
    assert_eq!(root.everything().await, before);
    // 0: what a new configuration says is wrong.
    service.edit("server.conf", "size: 64", "size: many");
    let answer = root.post("/reload", &json!({})).await;
    answer.refused_with(0, &["Error in configuration files", "cache/size"]);
}

#[tokio::test]
async fn an_operation_that_the_service_broke_off_is_15() {
    let service = Service::with(Site::new(), &["--abort-on-stop"]);
    let anna = service.user("anna");
    service.hold("node-1");
    let on = json!({"nodes": ["node-1"], "status": "on"});
    let path = format!("/power/{}", wid(&anna.put("/power", &on).await));
    anna.shows(&format!("{path}/status"), "node-1.lab.test").await;
    let service = Service::on(service.stop());
    let error = service.user("anna").get(&format!("{path}/error")).await;
    error.refused_with(15, &["The execution of a command failed", "the service was stopped"]);
    service.release("node-1");
}

#[tokio::test]
async fn a_state_that_cannot_be_written_is_20() {
    let service = Service::new();
    let anna = service.user("anna");
    let pid = Pid::from_raw(i32::try_from(service.pid()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: Some(0), maximum: None }).unwrap();
    let mut description = service.description();
    description["description"] = json!("x".repeat(500_000));
    let answer = anna.post("/environments", &json!({"environment": description})).await;
    answer.refused_with(20, &["Database issue", "the disk is full"]);
}

/// A file server whose files are `many` bytes.
fn file_server(many: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/image.tgz", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = read_head(&mut stream);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {many}\r\nETag: \"1\"\r\nConnection: close\r\n\r\n"
            );
            // Whoever has read enough may close.
            stream.write_all(answer.as_bytes()).ok();
            if head.starts_with("GET") {
                stream.write_all(&vec![b'x'; many]).ok();
            }
        }
    });
    url
}

fn read_head(stream: &mut impl std::io::Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|many| many == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Deploys an image from the web on a node, with what `more` says; its path.
async fn deploy(service: &Service, node: &str, file: &str, more: Value) -> String {
    let image = json!({"file": file, "kind": "tar", "compression": "gzip"});
    let environment = service.anonymous(json!({"image": image}));
    let mut body = json!({"nodes": [node], "environment": environment});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    format!("/deployment/{}", wid(&service.user("anna").post("/deployment", &body).await))
}

/// The error with which a deployment of `file` broke off.
async fn broken_off(service: &Service, file: &str) -> Answer {
    let anna = service.user("anna");
    let path = deploy(service, "node-1", file, json!({})).await;
    assert_eq!(anna.done(&path).await["error"], true);
    anna.get(&format!("{path}/error")).await
}

#[tokio::test]
async fn a_cache_that_cannot_take_a_file_is_21_or_22() {
    let site = Site::new();
    site.edit("server.conf", "size: 64", "size: 1");
    let service = Service::on(site);
    let large = broken_off(&service, &file_server(3 << 20)).await;
    large.refused_with(21, &["Something went wrong with the cache system", "too big"]);
    // A file that another operation needs stays, and there is no room for both.
    let waits = json!({"breakpoint": "BroadcastEnv", "keep": true});
    let first = deploy(&service, "node-2", &file_server(700_000), waits).await;
    service.user("anna").shows(&format!("{first}/logs?since=0"), "Breakpoint on").await;
    let full = broken_off(&service, &file_server(700_000)).await;
    full.refused_with(22, &["The cache is full"]);
    service.user("anna").delete(&first).await.ok();
    service.user("anna").done(&first).await;
    // Where there is no directory any more, nothing fits.
    fs::remove_dir_all(service.path("cache")).unwrap();
    let gone = broken_off(&service, &file_server(100)).await;
    gone.refused_with(21, &["Something went wrong with the cache system"]);
}
