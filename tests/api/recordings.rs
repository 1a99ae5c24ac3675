//! What nodes print on their consoles while they are deployed.

use crate::common::{Service, Site, User, wid};
use serde_json::{Value, json};
use std::{fs, io::Write, os::unix::fs::PermissionsExt, time::Duration};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

const LONG: Duration = Duration::from_secs(60);

/// The console of a node is what is written into the file `printed`, by one listener at a time.
const CONSOLE: &str = "#!/bin/sh
echo \"this is $1\"
exec tail -n 0 -F DIR/printed
";

fn site(console: &str) -> Site {
    let site = Site::new();
    let command =
        format!("  console: [{{name: soft, cmd: '{console} HOSTNAME_SHORT'}}]\nautomata:");
    let cluster = fs::read_to_string(site.path("cluster.conf")).unwrap();
    site.write("cluster.conf", &cluster.replace("automata:", &command));
    site.write("console", CONSOLE);
    site.write("printed", "");
    fs::set_permissions(site.path("console"), fs::Permissions::from_mode(0o755)).unwrap();
    site
}

/// The node prints something.
fn print(service: &Service, text: &str) {
    let mut file = fs::OpenOptions::new().append(true).open(service.path("printed")).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// A deployment that waits before its image is sent.
async fn waiting(service: &Service) -> String {
    let anna = service.user("anna");
    let body = json!({"nodes": ["node-1"], "environment": service.anonymous(json!({})),
        "breakpoint": "BroadcastEnvDummy", "keep": true});
    let path = format!("/deployment/{}", wid(&anna.post("/deployment", &body).await));
    anna.shows(&format!("{path}/logs?since=0"), "*** Breakpoint on BroadcastEnvDummy").await;
    path
}

/// What was recorded, once it has `text`.
async fn recorded(user: User<'_>, text: &str) -> Value {
    let look = async {
        let mut since = 0;
        loop {
            let answer = user.get("/nodes/node-1.lab.test/console").await;
            if answer.status == 200 && answer.json()["text"].as_str().unwrap().contains(text) {
                return answer.json();
            }
            if answer.status == 200 {
                since = answer.json()["next"].as_u64().unwrap();
            }
            user.get(&format!("/nodes/node-1/console?wait=1&since={since}")).await;
        }
    };
    timeout(LONG, look).await.unwrap_or_else(|_| panic!("{text:?} is not recorded"))
}

#[tokio::test]
async fn a_console_is_recorded_from_the_first_step_to_the_end() {
    let service = Service::on(site("DIR/console"));
    let (anna, root) = (service.user("anna"), service.user("root"));
    root.get("/nodes/node-1/console").await.refused(404, &["nothing was recorded"]);
    let path = waiting(&service).await;
    let begun = recorded(anna, "this is node-1").await;
    assert_eq!((&begun["live"], &begun["user"]), (&json!(true), &json!("anna")));
    assert_eq!(begun["wid"], path.rsplit('/').next().unwrap());
    // Whoever waits for news gets them when they come.
    let next = begun["next"].as_u64().unwrap();
    let news = format!("/nodes/node-1/console?since={next}&wait=60");
    let prints = async { print(&service, "Kernel panic\n") };
    let (news, ()) = timeout(LONG, async { tokio::join!(anna.get(&news), prints) }).await.unwrap();
    assert_eq!(news.ok().json()["text"], "Kernel panic\r\n");
    // It is the owner's, and administrators'.
    service.user("ben").get("/nodes/node-1/console").await.refused(403, &["another user's"]);
    assert_eq!(
        root.get("/nodes/node-1/console").await.ok().json()["text"],
        "this is node-1\r\nKernel panic\r\n"
    );
    let mode = |name: &str| fs::metadata(service.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("state/consoles/node-1.lab.test"), 0o700);
    assert_eq!(mode("state/consoles/node-1.lab.test/0.log"), 0o600);

    anna.post(&format!("{path}/continue"), &json!({})).await.ok();
    anna.done(&path).await;
    let ended = async {
        while anna.get("/nodes/node-1/console").await.ok().json()["live"] == true {
            anna.get(&format!("/nodes/node-1/console?wait=1&since={next}")).await.ok();
        }
    };
    timeout(LONG, ended).await.unwrap();
    // The next deployment has a recording of its own, and the one before stays.
    let second = waiting(&service).await;
    let now = recorded(anna, "this is node-1").await;
    assert_eq!(
        (&now["wid"], &now["text"]),
        (&json!(second.rsplit('/').next().unwrap()), &json!("this is node-1\r\n"))
    );
    let before = anna.get("/nodes/node-1/console?back=1").await.ok().json();
    assert!(before["text"].as_str().unwrap().contains("Kernel panic"), "{before}");
    assert_eq!(before["live"], false);
    anna.get("/nodes/node-1/console?back=7").await.refused(404, &["nothing was recorded"]);
    anna.get("/nodes/node-1/console?since=x").await.refused(400, &["since"]);
    let (code, out, _) = service.cli(&["console", "--log", "node-1", "--back", "1"]).await;
    assert!(code == 0 && out.contains("Kernel panic"), "{code} {out}");
    // What is followed ends with the node.
    let follow = service.cli(&["console", "--log", "node-1", "--follow", "--json"]);
    let go_on = async {
        print(&service, "the last words\n");
        recorded(anna, "the last words").await;
        anna.post(&format!("{second}/continue"), &json!({})).await.ok();
    };
    let ((code, out, _), ()) = timeout(LONG, async { tokio::join!(follow, go_on) }).await.unwrap();
    assert!(code == 0 && out.contains("the last words"), "{code} {out}");
}

#[tokio::test]
async fn a_person_gets_the_console_and_what_he_sees_is_recorded() {
    let service = Service::on(site("DIR/console"));
    let anna = service.user("anna");
    waiting(&service).await;
    recorded(anna, "this is node-1").await;
    let opened = anna.post("/console", &json!({"node": "node-1"})).await.ok().json();
    let uri = opened["resources"]["console"].as_str().unwrap().to_owned();
    let mut stream = TcpStream::connect(uri.strip_prefix("tcp://").unwrap()).await.unwrap();
    let mut seen = [0; 14];
    timeout(LONG, stream.read_exact(&mut seen)).await.unwrap().unwrap();
    assert_eq!(&seen, b"this is node-1");
    // The recorder has left: one listener, the person's.
    let twice = "this is node-1\r\nthis is node-1\r\n";
    assert_eq!(recorded(anna, twice).await["text"], twice);
    print(&service, "for both\n");
    assert_eq!(recorded(anna, "for both").await["text"], format!("{twice}for both\r\n"));
    drop(stream);
    // And comes back.
    let thrice = format!("{twice}for both\r\nthis is node-1\r\n");
    recorded(anna, &thrice).await;
}

#[tokio::test]
async fn a_deployment_does_not_need_a_console() {
    let service = Service::on(site("echo the BMC is gone; false"));
    let anna = service.user("anna");
    let path = waiting(&service).await;
    recorded(anna, "the BMC is gone").await;
    anna.post(&format!("{path}/continue"), &json!({})).await.ok();
    assert_eq!(anna.done(&path).await["nodes"]["ok"], json!(["node-1.lab.test"]));
    let log = service.log();
    let told = log.iter().filter(|line| line.contains("a console cannot be recorded")).count();
    assert_eq!(told, 1, "{log:#?}");
}

#[tokio::test]
async fn the_command_line_joins_a_console() {
    let service = Service::on(site("DIR/console"));
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_kadence"));
    command.args(["console", "node-2", "--server", &service.url(""), "--user", "anna"]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut seen = [0; 14];
    timeout(LONG, out.read_exact(&mut seen)).await.unwrap().unwrap();
    assert_eq!(&seen, b"this is node-2");
    // Ctrl-].
    let mut keys = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut keys, b"\x1d").await.unwrap();
    assert!(timeout(LONG, child.wait()).await.unwrap().unwrap().success());
    assert_eq!(service.user("anna").get("/console").await.ok().json(), json!([]));
    let (code, _, said) = service.cli(&["console", "--log", "node-2"]).await;
    assert!(code != 0 && said.contains("nothing was recorded"), "{code} {said}");
}
