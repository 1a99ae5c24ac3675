//! What is there after the service was stopped, in peace or by a power cut.

use crate::common::{Service, Site, wid};
use kadence::store::{SledStore, StatFilter, StatRow, Store};
use serde_json::{Value, json};

async fn statistics(site: &Site) -> Vec<StatRow> {
    let store = SledStore::open(site.path("state")).unwrap();
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
async fn a_stop_breaks_off_what_runs_and_tells_so() {
    broken_off(Service::stop, "killed").await;
}

#[tokio::test]
async fn a_power_cut_breaks_off_what_runs_and_the_next_start_tells_so() {
    broken_off(Service::cut, "cut").await;
}

async fn broken_off(end: impl FnOnce(Service) -> Site, how: &str) {
    let service = Service::new();
    let anna = service.user("anna");
    service.hold("node-1");
    let on = json!({"nodes": ["node-[1-2]"], "status": "on"});
    let path = format!("/power/{}", wid(&anna.put("/power", &on).await));
    anna.shows(&format!("{path}/status"), "node-1.lab.test").await;
    let site = end(service);
    let service = Service::on(site);
    let anna = service.user("anna");
    let poll = anna.get(&path).await.ok().json();
    assert_eq!((&poll["done"], &poll["error"]), (&json!(true), &json!(true)), "{how}");
    let why = [
        "The execution of a command failed",
        "the service was stopped while this operation ran",
        "start it again",
    ];
    anna.get(&format!("{path}/error")).await.refused_with(15, &why);
    let log = anna.get(&format!("{path}/logs")).await.ok().text;
    assert!(log.contains("Launching a power operation on node-[1-2].lab.test"), "{how}: {log}");
    let info = anna.get("/nodes").await.ok().json();
    assert_eq!(info["node-1.lab.test"]["state"], "aborted", "{how}");
    // Its nodes are free.
    service.release("node-1");
    let again = wid(&anna.put("/power", &on).await);
    let poll = anna.done(&format!("/power/{again}")).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-1.lab.test", "node-2.lab.test"]));
    anna.delete(&path).await.ok();
}
