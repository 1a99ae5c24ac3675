//! What is there after the service was stopped, in peace or by a power cut.

use crate::common::{Service, Site, User, wid};
use kadence::store::{EmbeddedStore, StatFilter, StatRow, Store};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn statistics(site: &Site) -> Vec<StatRow> {
    let store = EmbeddedStore::open(site.path("state")).unwrap();
    store.statistics(&StatFilter::default()).await.unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let service = Service::new();
    let anna = service.user("anna");
    let record = json!({"environment": service.description()});
    anna.post("/environments", &record).await.ok();
    let body = json!({"nodes": ["node-[1-2]"], "environment": {"name": "debian"}});
    let path = format!("/deployment/{}", wid(&anna.post("/deployment", &body).await));
    anna.done(&path).await;
    let log = anna.get(&format!("{path}/logs?since=0")).await.ok().text;
    let look = async |service: &Service| -> Value {
        let anna = service.user("anna");
        let mut all = json!({});
        for path in [&path, &format!("{path}/state"), "/nodes", "/environments", "/deployment"] {
            all[path] = anna.get(path).await.ok().json();
        }
        all
    };
    let before = look(&service).await;
    let site = service.stop();
    let rows = statistics(&site).await;
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.success == Some(true) && row.environment == "debian:1"));
    assert_eq!(rows[0].steps.len(), 3);

    // And again, that a restart itself changes nothing.
    let site = Service::on(site).cut();
    let service = Service::on(site);
    assert_eq!(look(&service).await, before);
    let anna = service.user("anna");
    assert_eq!(anna.get(&format!("{path}/logs")).await.ok().text.trim_end(), log.trim_end());
    anna.delete(&path).await.ok();
    let service = Service::on(service.stop());
    assert_eq!(service.user("anna").get("/deployment").await.ok().json(), json!([]));
    assert_eq!(statistics(&service.stop()).await.len(), 2);
}

#[tokio::test]
async fn a_stop_leaves_what_runs_and_the_next_start_goes_on() {
    let words = ["The service is stopped: the power operation goes on when it is back"];
    goes_on(Service::stop, &words).await;
}

#[tokio::test]
async fn a_reader_without_a_cursor_goes_on_where_he_was() {
    let service = Service::new();
    let anna = service.user("anna");
    service.hold("node-1");
    let on = json!({"nodes": ["node-1"], "status": "on"});
    let path = format!("/power/{}", wid(&anna.put("/power", &on).await));
    anna.shows(&format!("{path}/status"), "node-1.lab.test").await;
    let logs = format!("{path}/logs");
    let first = anna.get(&logs).await.ok().text;
    assert!(first.contains("Launching a power operation"), "{first}");
    let service = Service::on(service.stop());
    let anna = service.user("anna");
    service.release("node-1");
    anna.done(&path).await;
    let rest = anna.get(&logs).await.ok().text;
    assert!(rest.contains("was restarted") && !rest.contains("Launching"), "{rest}");
    let all = messages(anna, &path, 0).await;
    assert_eq!(format!("{}\n{}", first.trim_end(), rest.trim_end()), all.trim_end());
}

#[tokio::test]
async fn what_was_read_of_an_operation_that_has_ended_is_not_given_again() {
    let service = Service::new();
    let anna = service.user("anna");
    let on = json!({"nodes": ["node-1"], "status": "on", "debug": true});
    let path = format!("/power/{}", wid(&anna.put("/power", &on).await));
    anna.done(&path).await;
    let first = anna.get(&format!("{path}/logs")).await.ok().text;
    assert!(first.contains("Launching a power operation"), "{first}");
    anna.get(&format!("{path}/debugs")).await.ok();
    let all = messages(anna, &path, 0).await;
    let mut service = service;
    // Whoever has read, and the second time whoever reads then.
    for reader in ["anna", "root"] {
        let user = service.user(reader);
        user.get(&format!("{path}/logs")).await.ok();
        user.get(&format!("{path}/debugs")).await.ok();
        service = Service::on(service.stop());
        let user = service.user(reader);
        let poll = user.get(&path).await.ok().json();
        assert_eq!((&poll["logs"], &poll["debugs"]), (&json!(false), &json!(false)));
        for part in ["logs", "debugs", "logs/alpha", "debugs/node-1.lab.test"] {
            assert_eq!(user.get(&format!("{path}/{part}")).await.ok().text, "\n", "{part}");
        }
        assert_eq!(messages(user, &path, 0).await, all);
    }
}

#[tokio::test]
async fn what_ran_at_a_power_cut_goes_on_at_the_next_start() {
    goes_on(Service::cut, &[]).await;
}

/// The messages from `since` on.
async fn messages(anna: User<'_>, path: &str, since: usize) -> String {
    anna.get(&format!("{path}/logs?since={since}&verbose_level=5")).await.ok().text
}

async fn goes_on(end: impl FnOnce(Service) -> Site, words: &[&str]) {
    let service = Service::new();
    let anna = service.user("anna");
    service.hold("node-1");
    let on = json!({"nodes": ["node-[1-2]"], "status": "on"});
    let path = format!("/power/{}", wid(&anna.put("/power", &on).await));
    anna.shows(&format!("{path}/status"), "node-1.lab.test").await;
    let before = messages(anna, &path, 0).await;
    let service = Service::on(end(service));
    let anna = service.user("anna");
    let poll = anna.get(&path).await.ok().json();
    assert_eq!((&poll["done"], &poll["error"]), (&json!(false), &json!(false)));
    assert_eq!(anna.get("/nodes").await.ok().json()["node-1.lab.test"]["state"], "powering");
    // Its nodes are still its own.
    anna.put("/power", &on).await.refused_with(14, &["already involved"]);
    service.release("node-1");
    let poll = anna.done(&path).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-1.lab.test", "node-2.lab.test"]));
    let after = messages(anna, &path, 0).await;
    assert!(after.starts_with(before.trim_end()), "{before}\n---\n{after}");
    assert_eq!(after.matches("Launching a power operation").count(), 1, "{after}");
    for word in words.iter().chain(&["The service was restarted: the power operation goes on"]) {
        assert!(after.contains(word), "{word:?} is not in {after}");
    }
    let rows = statistics(&service.stop()).await;
    assert_eq!(rows.iter().filter(|row| row.success == Some(true)).count(), 2);
}

#[tokio::test]
async fn a_stop_that_is_to_abort_breaks_off_what_runs_and_tells_so() {
    let service = Service::with(Site::new(), &["--abort-on-stop"]);
    let anna = service.user("anna");
    service.hold("node-1");
    let on = json!({"nodes": ["node-[1-2]"], "status": "on"});
    let path = format!("/power/{}", wid(&anna.put("/power", &on).await));
    anna.shows(&format!("{path}/status"), "node-1.lab.test").await;
    let service = Service::on(service.stop());
    let anna = service.user("anna");
    let poll = anna.get(&path).await.ok().json();
    assert_eq!((&poll["done"], &poll["error"]), (&json!(true), &json!(true)));
    let why = [
        "The execution of a command failed",
        "the service was stopped while this operation ran",
        "start it again",
    ];
    anna.get(&format!("{path}/error")).await.refused_with(15, &why);
    let log = anna.get(&format!("{path}/logs?since=0")).await.ok().text;
    assert!(log.contains("Launching a power operation on node-[1-2].lab.test"), "{log}");
    assert_eq!(anna.get("/nodes").await.ok().json()["node-1.lab.test"]["state"], "aborted");
    // Its nodes are free.
    service.release("node-1");
    let again = wid(&anna.put("/power", &on).await);
    let poll = anna.done(&format!("/power/{again}")).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-1.lab.test", "node-2.lab.test"]));
    anna.delete(&path).await.ok();
}

const STEPS: &str = "    SetDeploymentEnv: [{type: Untrusted, timeout: 300}]
    BroadcastEnv: [{type: Chain, timeout: 300}]
    BootNewEnv: [{type: Kexec, timeout: 300}]
";

#[tokio::test]
async fn a_stop_that_is_to_abort_does_not_wait_for_nodes_of_a_cancelled_deployment() {
    let site = Site::new();
    site.simulate(2, 50, STEPS);
    let service = Service::with(site, &["--abort-on-stop"]);
    let anna = service.user("anna");
    let body = json!({"nodes": ["node-[1-2]"], "environment": service.anonymous(json!({}))});
    let path = format!("/deployment/{}", wid(&anna.post("/deployment", &body).await));
    // They were rebooted, and are to run what they ran before: that takes longer than a stop may.
    anna.shows(&format!("{path}/status"), "wait_reboot").await;
    anna.delete(&path).await.ok();
    let undoing = "Each node that was under way is brought into a state that is known";
    anna.shows(&format!("{path}/logs?since=0"), undoing).await;
    let begun = Instant::now();
    let site = service.stop();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let service = Service::on(site);
    let anna = service.user("anna");
    let poll = anna.get(&path).await.ok().json();
    assert_eq!((&poll["done"], &poll["error"]), (&json!(true), &json!(true)));
    let why = ["the service was stopped while this operation ran", "start it again"];
    anna.get(&format!("{path}/error")).await.refused_with(15, &why);
    let log = anna.get(&format!("{path}/logs?since=0")).await.ok().text;
    assert!(log.contains("The service is stopped: nothing more is done to the nodes"), "{log}");
    let nodes = anna.get("/nodes").await.ok().json();
    for node in ["node-1.lab.test", "node-2.lab.test"] {
        assert_eq!(nodes[node]["state"], "aborted");
    }
    // They are free, and nothing of it is in the way of who has them next.
    let again = wid(&anna.post("/deployment", &body).await);
    let poll = anna.done(&format!("/deployment/{again}")).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-1.lab.test", "node-2.lab.test"]), "{poll}");
}

#[tokio::test]
async fn a_service_that_stops_takes_no_request_and_is_gone_within_ten_seconds() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        stops(signal, name).await;
    }
}

async fn stops(signal: Signal, name: &str) {
    let service = Service::new();
    let anna = service.user("anna");
    service.hold("node-1");
    let on = |node: &str| json!({"nodes": [node], "status": "on"});
    let path = format!("/power/{}", wid(&anna.put("/power", &on("node-1")).await));
    anna.shows(&format!("{path}/status"), "node-1.lab.test").await;
    let begun = Instant::now();
    service.signal(signal);
    // The signal arrives some time; until then it takes requests as ever.
    let mut only_checked = on("node-3");
    only_checked["dry_run"] = json!(true);
    let refused = loop {
        let answer = anna.put("/power", &only_checked).await;
        if answer.status != 200 {
            break answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(10));
    };
    refused.refused(503, &["being shutdown"]);
    let log = service.log();
    assert!(log.iter().any(|line| line.contains("stopping") && line.contains(name)), "{log:#?}");
    let site = service.stop();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    site.release("node-1");
    let service = Service::on(site);
    let poll = service.user("anna").done(&path).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-1.lab.test"]));
}

/// A reload of the configuration waits for a file that somebody holds and does not write.
#[tokio::test]
async fn a_stop_waits_for_nothing_that_hangs() {
    let service = Service::new();
    let (pipe, opened) = (service.path("command.conf"), service.path("opened"));
    std::fs::remove_file(&pipe).unwrap();
    let script = format!(
        "mkfifo {0} && exec 3>{0} && touch {1} && exec sleep 20",
        pipe.display(),
        opened.display()
    );
    let mut holder = std::process::Command::new("sh").args(["-c", &script]).spawn().unwrap();
    while !opened.exists() {
        service.signal(Signal::HUP);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let begun = Instant::now();
    service.stop();
    let took = begun.elapsed();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// A deployment on node-1 to node-3 that waits at its last macro-step, ended there.
async fn waiting(password: &str) -> (Site, String) {
    let service = Service::new();
    let anna = service.user("anna");
    let body = json!({
        "nodes": ["node-[1-3]"], "environment": service.anonymous(json!({})), "keep": true,
        "breakpoint": "BootNewEnv", "client": format!("http://anna:{password}@127.0.0.1:1/files"),
    });
    let path = format!("/deployment/{}", wid(&anna.post("/deployment", &body).await));
    anna.shows(&format!("{path}/logs?since=0"), "Breakpoint on BootNewEnvDummy").await;
    (service.cut(), path)
}

#[tokio::test]
async fn it_goes_on_as_it_began_whatever_changed_meanwhile() {
    let (site, path) = waiting("s3cret").await;
    let stored = EmbeddedStore::open(site.path("state")).unwrap();
    let records = stored.operations().await.unwrap();
    let text = serde_json::to_string(&records).unwrap();
    assert!(text.contains("anna@127.0.0.1") && !text.contains("s3cret"), "{text}");
    drop(stored);
    // The image is gone, the last macro-step is another, a node is not there any more.
    std::fs::remove_file(site.path("image.tgz")).unwrap();
    site.edit("cluster.conf", "BootNewEnv: [{type: Dummy,", "BootNewEnv: [{type: HardReboot,");
    site.edit(
        "clusters.conf",
        "node-[1-3].lab.test', address: '127.0.1.[1-3]'",
        "node-[1-2].lab.test', address: '127.0.1.[1-2]'",
    );
    let service = Service::on(site);
    let anna = service.user("anna");
    anna.post(&format!("{path}/continue"), &json!({})).await.ok();
    let poll = anna.done(&path).await;
    assert_eq!(
        poll["nodes"],
        json!({"ok": ["node-1.lab.test", "node-2.lab.test"], "ko": ["node-3.lab.test"]})
    );
    let state = anna.get(&format!("{path}/state")).await.ok().json();
    let why = state["node-3.lab.test"]["error"].as_str().unwrap();
    assert!(
        why.contains("BootNewEnvDummy-dummy") && why.contains("not in the configuration"),
        "{why}"
    );
    let seconds = &state["node-1.lab.test"]["seconds"];
    assert!(seconds["SetDeploymentEnvDummy/dummy"].is_number(), "{state}");
    // Its file is let go of, and nothing of the operation is left.
    anna.delete(&path).await.ok();
    let rows = statistics(&service.stop()).await;
    let names: Vec<_> = rows.iter().map(|row| row.steps.len()).collect();
    assert_eq!(names, [3, 3, 3]);
}

#[tokio::test]
async fn what_a_node_is_to_boot_is_there_after_a_restart() {
    let service = Service::new();
    let anna = service.user("anna");
    service.hold("node-1");
    let body = json!({"nodes": ["node-1"], "kind": "deploy_env"});
    let path = format!("/reboot/{}", wid(&anna.post("/reboot", &body).await));
    while service.orders("node-1").is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let site = service.cut();
    let profile = site.path("tftp/pxelinux.cfg/7F000101");
    let text = std::fs::read_to_string(&profile).unwrap();
    assert!(text.contains("vmlinuz"), "{text}");
    std::fs::remove_file(&profile).unwrap();
    let service = Service::on(site);
    assert_eq!(std::fs::read_to_string(&profile).unwrap(), text);
    service.user("anna").delete(&path).await.ok();
}

#[tokio::test]
async fn only_nodes_that_wait_can_be_continued_or_given_up() {
    let (site, path) = waiting("x").await;
    let service = Service::on(site);
    let anna = service.user("anna");
    anna.post(&format!("{path}/abort"), &json!({})).await.ok();
    let poll = anna.done(&path).await;
    assert_eq!(poll["nodes"]["ko"].as_array().unwrap().len(), 3);
    for order in ["continue", "abort"] {
        let answer = anna.post(&format!("{path}/{order}"), &json!({})).await;
        answer.refused_with(14, &["waits at a breakpoint", "it has ended"]);
    }
}

#[tokio::test]
async fn an_operation_whose_record_makes_no_sense_ends_with_the_reason() {
    let (site, path) = waiting("x").await;
    {
        let store = EmbeddedStore::open(site.path("state")).unwrap();
        let mut record = store.operations().await.unwrap().pop().unwrap();
        record.request["orders"] = json!("none");
        store.commit(kadence::store::Change::new().put_operation(record)).await.unwrap();
    }
    let service = Service::on(site);
    let anna = service.user("anna");
    let poll = anna.get(&path).await.ok().json();
    assert_eq!((&poll["done"], &poll["error"]), (&json!(true), &json!(true)));
    let log = anna.get(&format!("{path}/logs?since=0")).await.ok().text;
    assert!(
        log.contains("Launching a deployment") && log.contains("cannot go on: its plans"),
        "{log}"
    );
    assert_eq!(anna.get("/nodes").await.ok().json()["node-1.lab.test"]["state"], "aborted");
}
