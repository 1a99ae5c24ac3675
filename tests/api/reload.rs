//! The configuration loaded anew while the service works.

use crate::common::{Service, Site, wid};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::symlink,
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
    let site = Site::new();
    // Where a change is not seen: behind a link.
    fs::create_dir(site.path("elsewhere")).unwrap();
    fs::rename(site.path("clusters.conf"), site.path("elsewhere/clusters.conf")).unwrap();
    symlink("elsewhere/clusters.conf", site.path("clusters.conf")).unwrap();
    let service = Service::on(site);
    service.edit("elsewhere/clusters.conf", THREE, FOUR);
    // Longer than a change may wait for others.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(names(&service).await.len(), 4);
    kill_process(Pid::from_raw(service.pid().cast_signed()).unwrap(), Signal::HUP).unwrap();
    becomes(&service, 5).await;
    let log = service.log().join("\n");
    assert!(log.contains("SIGHUP") && !log.contains("a file has changed"), "{log}");
}

#[tokio::test]
async fn only_administrators_may() {
    let service = Service::new();
    let answer = service.user("anna").post("/reload", &json!({})).await;
    answer.refused(403, &["Only administrators are allowed to reload the configuration"]);
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Memory that is allocated and was not freed, bytes.
    heap: u64,
    /// Memory that the system gave it, KiB.
    resident: u64,
    files: usize,
    threads: usize,
}

/// An allocator that says now and then what is allocated: of the system's, nobody can know it.
const ALLOCATOR: [(&str, &str); 2] = [
    ("LD_PRELOAD", "libjemalloc.so.2"),
    ("MALLOC_CONF", "stats_interval:8388608,stats_interval_opts:mdablxeh"),
];

/// What is held; of the heap the least that was told after the first `lines` of the log.
fn held(service: &Service, lines: usize) -> Held {
    let proc = format!("/proc/{}", service.pid());
    let count = |folder: &str| fs::read_dir(format!("{proc}/{folder}")).unwrap().count();
    let status = fs::read_to_string(format!("{proc}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let log = service.log();
    let told = log[lines..].iter().filter_map(|line| line.strip_prefix("Allocated: "));
    let heap = told.map(|line| line.split([',', ' ']).next().unwrap().parse().unwrap()).min();
    Held {
        heap: heap.expect("the allocator says nothing: scripts/setup test installs it"),
        resident: line.split_whitespace().nth(1).unwrap().parse().unwrap(),
        files: count("fd"),
        threads: count("task"),
    }
}

/// `KADENCE_RELOADS` says how many; while they are made, others ask for this and that. What is
/// held after the second quarter is compared with what is held after the last.
#[tokio::test]
async fn thousands_of_reloads_leak_nothing() {
    let count: u64 = std::env::var("KADENCE_RELOADS").map_or(400, |text| text.parse().unwrap());
    let service = Service::within(Site::new(), &ALLOCATOR);
    let work = async {
        let (mut lines, mut before) = (0, None);
        for number in 0..count {
            let (from, to) = if number % 2 == 0 { (THREE, FOUR) } else { (FOUR, THREE) };
            service.edit("clusters.conf", from, to);
            reload(&service).await;
            match number {
                _ if number == count / 4 || number == count / 4 * 3 => lines = service.log().len(),
                _ if number == count / 2 => before = Some(held(&service, lines)),
                _ => {}
            }
        }
        (before.unwrap(), held(&service, lines))
    };
    let load = async {
        loop {
            names(&service).await;
            service.user("anna").get("/info").await.ok();
        }
    };
    let (before, now) = tokio::select! {
        held = work => held,
        () = load => unreachable!(),
    };
    println!("{count} reloads: {before:?} after half of them, {now:?} after all");
    // A reload that kept no more than the name of a node would be seen in the long run, and one
    // that kept its configuration in the short one.
    let grown = now.heap.saturating_sub(before.heap);
    let most = 128 * 1024 + 16 * (count / 2);
    assert!(grown < most, "{grown} bytes more: {before:?} became {now:?}");
    assert!(now.resident < before.resident + 16 * 1024, "{before:?} became {now:?}");
    assert!(now.files <= before.files + 4, "{before:?} became {now:?}");
    assert!(now.threads <= before.threads + 4, "{before:?} became {now:?}");
}
