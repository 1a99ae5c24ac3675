//! Consoles of nodes over TCP.

use crate::common::{Answer, Service, Site, User};
use reqwest::Method;
use serde_json::{Value, json};
use std::{net::Ipv4Addr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

const LONG: Duration = Duration::from_secs(60);

/// A service whose console command is a shell that says whose it is, and tells a file its id.
fn service(rights: &str) -> Service {
    let site = Site::new();
    site.edit("server.conf", "kind: dummy", &format!("kind: {rights}"));
    let console = "  console: [{name: soft, cmd: 'DIR/console HOSTNAME_SHORT'}]\nautomata:";
    let cluster = std::fs::read_to_string(site.path("cluster.conf")).unwrap();
    site.write("cluster.conf", &cluster.replace("automata:", console));
    site.write("console", "#!/bin/sh\ntty > DIR/tty\nsleep 1000 &\necho $! > DIR/child\necho \"this is $1\"\nexec cat\n");
    let file = site.path("console");
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    Service::on(site)
}

async fn open(user: User<'_>, node: &str) -> Value {
    user.post("/console/", &json!({"node": node})).await.ok().json()
}

async fn connect(opened: &Value) -> TcpStream {
    let uri = opened["resources"]["console"].as_str().unwrap();
    TcpStream::connect(uri.strip_prefix("tcp://").unwrap()).await.unwrap()
}

/// Reads until `text` came.
async fn sees(stream: &mut TcpStream, text: &str) {
    let mut seen = String::new();
    let mut buffer = [0; 1000];
    let read = async {
        while !seen.contains(text) {
            let many = stream.read(&mut buffer).await.unwrap();
            assert!(many > 0, "{text:?} does not come: {seen:?}");
            seen += &String::from_utf8_lossy(&buffer[..many]);
        }
    };
    timeout(LONG, read).await.unwrap();
}

async fn is_closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    timeout(LONG, stream.read_to_end(&mut rest)).await.unwrap().ok();
}

fn runs(service: &Service) -> bool {
    let pid = std::fs::read_to_string(service.path("child")).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

async fn ended(service: &Service) {
    let gone = async {
        while runs(service) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, gone).await.unwrap();
}

#[tokio::test]
async fn one_client_at_a_time_is_joined_to_the_command() {
    let service = service("dummy");
    let (anna, ben) = (service.user("anna"), service.user("ben"));
    let opened = open(anna, "node-1").await;
    let wid = opened["wid"].as_str().unwrap();
    assert!(wid.starts_with("C-"));
    assert_eq!(opened["resources"]["resource"], format!("/console/{wid}/"));
    assert_eq!(opened["resources"]["error"], format!("/console/{wid}/error"));
    assert!(opened["resources"]["console"].as_str().unwrap().starts_with("tcp://localhost:"));
    let mut first = connect(&opened).await;
    sees(&mut first, "this is node-1").await;
    first.write_all(b"hello\n").await.unwrap();
    sees(&mut first, "hello\r\nhello\r\n").await;
    // It is a terminal.
    assert!(std::fs::read_to_string(service.path("tty")).unwrap().starts_with("/dev/pts/"));
    let mut second = connect(&opened).await;
    sees(&mut second, "[Kaconsole] console already attached").await;
    is_closed(second).await;

    let told = anna.get(&format!("/console/{wid}?node=node-1")).await.ok().json();
    let keys: Vec<_> = told.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["id", "user", "node", "error", "attached", "console_uri", "time"]);
    assert_eq!(
        (&told["id"], &told["attached"], &told["error"]),
        (&json!(wid), &json!(true), &json!(false))
    );
    let others = ben.get("/console").await.ok().json();
    assert_eq!(others[0]["node"], "node-1.lab.test");
    assert!(others[0].get("console_uri").is_none(), "{others}");
    anna.get(&format!("/console/{wid}/error")).await.ok();
    let yaml = anna.request(Method::GET, "/console").header("accept", "application/x-yaml");
    let yaml = Answer::to(yaml).await.ok().text;
    assert!(
        yaml.starts_with(&format!("---\n- :id: {wid}\n  :user: anna\n  :node: node-1.lab.test\n")),
        "{yaml}"
    );

    // Who leaves ends the command and all that it started, and may come again.
    drop(first);
    ended(&service).await;
    while anna.get(&format!("/console/{wid}")).await.ok().json()["attached"] == true {
        sleep(Duration::from_millis(20)).await;
    }
    let mut again = connect(&opened).await;
    sees(&mut again, "this is node-1").await;
    ben.delete(&format!("/console/{wid}/")).await.refused(403, &["Forbidden"]);
    assert_eq!(anna.delete(&format!("/console/{wid}/")).await.ok().json(), json!({"wid": wid}));
    sees(&mut again, "[Kaconsole] client killed").await;
    is_closed(again).await;
    ended(&service).await;
    anna.delete(&format!("/console/{wid}")).await.refused(405, &[]);
    anna.get(&format!("/console/{wid}")).await.refused_with(1, &[]);
}

#[tokio::test]
async fn nobody_else_is_let_in() {
    let service = service("dummy");
    let opened = open(service.user("anna"), "node-1").await;
    let port = opened["resources"]["console"].as_str().unwrap().rsplit(':').next().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, 9), 0).into()).unwrap();
    let address = (Ipv4Addr::LOCALHOST, port.parse::<u16>().unwrap());
    let stranger = socket.connect(address.into()).await.unwrap();
    is_closed(stranger).await;
    sees(&mut connect(&opened).await, "this is node-1").await;
}

#[tokio::test]
async fn a_console_needs_a_node_a_right_and_a_command() {
    let service = service("db");
    let (anna, root) = (service.user("anna"), service.user("root"));
    let post = async |body: Value| anna.post("/console", &body).await;
    post(json!({})).await.refused_with(2, &["'node': mandatory"]);
    post(json!({"node": "zz"})).await.refused_with(2, &["zz"]);
    post(json!({"node": "node-[1-2]"})).await.refused_with(2, &["single node"]);
    post(json!({"node": "node-1"})).await.refused_with(6, &[]);
    root.post("/rights", &json!({"username": "anna", "nodes": ["node-1"]})).await.ok();
    let opened = open(anna, "node-1").await;
    let mut client = connect(&opened).await;
    sees(&mut client, "this is node-1").await;
    // It is closed when the right is taken away.
    let request = root.request(Method::DELETE, "/rights/anna").json(&json!({}));
    Answer::to(request).await.ok();
    sees(&mut client, "[Kaconsole] client killed").await;
    ended(&service).await;
    assert_eq!(anna.get("/console").await.ok().json(), json!([]));
    let plain = Service::new();
    let answer = plain.user("anna").post("/console", &json!({"node": "node-1"})).await;
    answer.refused(403, &["the cluster alpha has no console command"]);
}

#[tokio::test]
async fn consoles_end_with_the_service() {
    let service = service("dummy");
    let opened = open(service.user("anna"), "node-1").await;
    let mut client = connect(&opened).await;
    sees(&mut client, "this is node-1").await;
    let pid = std::fs::read_to_string(service.path("child")).unwrap();
    let _site = service.stop();
    is_closed(client).await;
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    assert!(stat.is_err() || stat.unwrap().contains(") Z "));
}
