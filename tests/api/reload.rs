//! The configuration loaded anew while the service works.

use crate::common::{Service, wid};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    fs,
    time::{Duration, Instant},
};

const THREE: &str = "nodes: [{name: 'node-[1-3].lab.test', address: '127.0.1.[1-3]'}]";
const FOUR: &str = "nodes: [{name: 'node-[1-4].lab.test', address: '127.0.1.[1-4]'}]";

/// The names of the nodes that there are.
async fn names(service: &Service) -> Vec<String> {
    let list = service.user("anna").get("/nodes?list=true").await.ok().json();
    serde_json::from_value(list).unwrap()
}

/// Waits until there are so many nodes.
async fn becomes(service: &Service, count: usize) {
    let end = Instant::now() + Duration::from_secs(60);
    while names(service).await.len() != count {
        assert!(Instant::now() < end, "{:#?}", service.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn reload(service: &Service) -> Value {
    service.user("root").post("/reload", &json!({})).await.ok().json()
}

#[tokio::test]
async fn a_new_node_can_be_used_at_once_and_one_that_is_gone_cannot() {
    let service = Service::new();
    service.write("power/node-4.lab.test", "off\n");
    service.edit("clusters.conf", THREE, FOUR);
    let told = reload(&service).await;
    assert_eq!(told["nodes"], 5, "{told}");
    // The change of the file may have been seen first.
    if told["changed"] == true {
        assert_eq!((&told["added"], &told["removed"]), (&json!(["node-4.lab.test"]), &json!([])));
    }
    let anna = service.user("anna");
    let on = json!({"nodes": ["node-4"], "status": "on"});
    let ended = anna.done(&format!("/power/{}", wid(&anna.put("/power", &on).await))).await;
    assert_eq!(ended["nodes"]["ok"], json!(["node-4.lab.test"]), "{ended}");
    service.edit("clusters.conf", FOUR, THREE);
    reload(&service).await;
    let gone = anna.put("/power", &on).await;
    gone.refused(400, &["The node 'node-4' does not exist"]);
    // Another administrator, from now on.
    service.edit("server.conf", "almighty_users: root", "almighty_users: 'root,anna'");
    reload(&service).await;
    let (code, out, _) = service.cli(&["reload"]).await;
    assert_eq!((code, &*out), (0, "nothing has changed: 4 nodes\n"));
}

#[tokio::test]
async fn an_operation_that_runs_keeps_what_it_began_with() {
    let service = Service::new();
    let anna = service.user("anna");
    service.hold("node-1");
    let on = json!({"nodes": ["node-1"], "status": "on"});
    let running = format!("/power/{}", wid(&anna.put("/power", &on).await));
    anna.shows(&format!("{running}/status"), "node-1.lab.test").await;
    // From now on nothing that is told to a machine has an effect.
    service.edit("cluster.conf", "/machine on HOST", "/machine nothing HOST");
    reload(&service).await;
    service.release("node-1");
    let ended = anna.done(&running).await;
    assert_eq!(ended["nodes"]["ok"], json!(["node-1.lab.test"]), "{ended}");
    let on = json!({"nodes": ["node-2"], "status": "on"});
    let ended = anna.done(&format!("/power/{}", wid(&anna.put("/power", &on).await))).await;
    assert_eq!(ended["nodes"]["ko"], json!(["node-2.lab.test"]), "{ended}");
}

#[tokio::test]
async fn a_key_that_needs_a_restart_refuses_it_as_a_whole() {
    let service = Service::new();
    service.edit("server.conf", "size: 64", "size: 65");
    service.edit("server.conf", "quiet_time: 0", "quiet_time: 1");
    service.edit("clusters.conf", THREE, FOUR);
    let answer = service.user("root").post("/reload", &json!({})).await;
    let answer = answer.refused(
        400,
        &[
            "Some static parameters were modified, please restart the server",
            "server.conf: cache/size",
            "server.conf: windows/reboot/quiet_time",
        ],
    );
    assert_eq!(answer.header("x-application-error-code"), Some("0"));
    let (code, _, said) = service.cli(&["reload"]).await;
    assert!(code != 0 && said.contains("Only administrators"), "{code} {said}");
    assert_eq!(names(&service).await.len(), 4);
    let metrics = service.user("anna").get("/metrics").await.text;
    assert!(metrics.contains("kadence_reloads_total{outcome=\"refused\"}"), "{metrics}");
    // Without what needs a restart the rest takes effect.
    service.edit("server.conf", "size: 65", "size: 64");
    service.edit("server.conf", "quiet_time: 1", "quiet_time: 0");
    reload(&service).await;
    assert_eq!(names(&service).await.len(), 5);
}

#[tokio::test]
async fn a_mistake_is_told_with_its_place_and_changes_nothing() {
    let service = Service::new();
    service.edit("clusters.conf", THREE, FOUR);
    service.edit("cluster.conf", "sleep_time_before_ping: 0", "sleep_time_before_ping: soon");
    let answer = service.user("root").post("/reload", &json!({})).await;
    answer.refused(
        400,
        &["Error in configuration files", "cluster.conf", "boot/sleep_time_before_ping", "soon"],
    );
    assert_eq!(names(&service).await.len(), 4);
    service.edit("cluster.conf", "sleep_time_before_ping: soon", "sleep_time_before_ping: 0");
    reload(&service).await;
    assert_eq!(names(&service).await.len(), 5);
}

#[tokio::test]
async fn a_file_that_changes_is_loaded_by_itself_also_one_that_is_put_in_its_place() {
    let service = Service::new();
    service.edit("clusters.conf", THREE, FOUR);
    becomes(&service, 5).await;
    let text = fs::read_to_string(service.path("clusters.conf")).unwrap();
    service.write("clusters.conf.new", &text.replace(FOUR, THREE));
    fs::rename(service.path("clusters.conf.new"), service.path("clusters.conf")).unwrap();
    becomes(&service, 4).await;
}

#[tokio::test]
async fn a_hangup_loads_it_at_once() {
    let service = Service::new();
    service.edit("clusters.conf", THREE, FOUR);
    kill_process(Pid::from_raw(service.pid().cast_signed()).unwrap(), Signal::HUP).unwrap();
    becomes(&service, 5).await;
    let log = service.log().join("\n");
    assert!(log.contains("SIGHUP") || log.contains("a file has changed"), "{log}");
}

#[tokio::test]
async fn only_administrators_may() {
    let service = Service::new();
    let answer = service.user("anna").post("/reload", &json!({})).await;
    answer.refused(403, &["Only administrators are allowed to reload the configuration"]);
}

/// Memory of a process that is in use, KiB, and how many files it has open.
fn held(service: &Service) -> (u64, usize) {
    let proc = format!("/proc/{}", service.pid());
    let status = fs::read_to_string(format!("{proc}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let memory = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    (memory, fs::read_dir(format!("{proc}/fd")).unwrap().count())
}

/// `KADENCE_RELOADS` says how many; while they are made, others ask for this and that.
#[tokio::test]
async fn thousands_of_reloads_leak_nothing() {
    let count = std::env::var("KADENCE_RELOADS").map_or(400, |text| text.parse().unwrap());
    let service = Service::new();
    let work = async {
        let mut before = (0, 0);
        for number in 0..count {
            let (from, to) = if number % 2 == 0 { (THREE, FOUR) } else { (FOUR, THREE) };
            service.edit("clusters.conf", from, to);
            reload(&service).await;
            if number == count / 4 {
                before = held(&service);
            }
        }
        (before, held(&service))
    };
    let load = async {
        loop {
            names(&service).await;
            service.user("anna").get("/info").await.ok();
        }
    };
    let ((memory, files), (memory_now, files_now)) = tokio::select! {
        held = work => held,
        () = load => unreachable!(),
    };
    println!(
        "{count} reloads: {memory} KiB and {files} files, then {memory_now} KiB and {files_now}"
    );
    assert!(memory_now < memory + 8 * 1024, "{memory} KiB became {memory_now} KiB");
    assert!(files_now <= files + 2, "{files} open files became {files_now}");
}
