//! Who only asks for the power is in nobody's way, and nobody in his.

use crate::common::{Service, Site, User, wid};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt};

/// A site whose nodes can be asked while they are held; there is no answer while there is a file
/// `silent`.
fn site() -> Site {
    let site = Site::new();
    let ask = "#!/bin/sh\nwhile [ -e DIR/silent ]; do sleep 0.1; done\necho \"$1 has power\"\n";
    site.write("ask", ask);
    fs::set_permissions(site.path("ask"), fs::Permissions::from_mode(0o755)).unwrap();
    let status = format!("{} status HOSTNAME_FQDN", site.path("machine").display());
    site.edit("cluster.conf", &status, "DIR/ask HOSTNAME_FQDN");
    site
}

async fn on(user: User<'_>) -> String {
    let created = user.put("/power", &json!({"nodes": ["node-1"], "status": "on"})).await.ok();
    assert_eq!(created.json()["notes"], Value::Null);
    format!("/power/{}", wid(&created))
}

async fn ask(user: User<'_>) -> String {
    format!("/power/{}", wid(&user.get("/power?nodes=node-1").await.ok()))
}

#[tokio::test]
async fn a_node_that_is_busy_tells_its_power() {
    let service = Service::on(site());
    let (anna, ben) = (service.user("anna"), service.user("ben"));
    service.hold("node-1");
    let first = on(anna).await;
    let asked = ask(ben).await;
    let poll = ben.done(&asked).await;
    assert_eq!(poll["nodes"], json!({"ok": ["node-1.lab.test"], "ko": []}));
    let state = ben.get(&format!("{asked}/state")).await.ok().json();
    assert_eq!(state["node-1.lab.test"]["out"], "node-1.lab.test has power");
    // The first one did not notice, and the node is still its own.
    let poll = anna.get(&first).await.ok().json();
    assert_eq!(poll["done"], false);
    let other = ben.put("/power", &json!({"nodes": ["node-1"], "status": "on"})).await;
    other.refused_with(14, &["node-1.lab.test"]);
    assert_eq!(anna.get("/nodes/node-1.lab.test").await.ok().json()["state"], "powering");
    let told = anna.get("/nodes/node-1/explain").await.ok().json();
    assert_eq!(told["waits_for"], "power in On", "{told}");
    service.release("node-1");
    assert_eq!(anna.done(&first).await["nodes"]["ok"], json!(["node-1.lab.test"]));
}

#[tokio::test]
async fn a_node_that_is_asked_is_not_busy_nor_after_a_restart() {
    let service = Service::on(site());
    let (anna, ben) = (service.user("anna"), service.user("ben"));
    // They wait for an answer.
    service.write("silent", "");
    let asked = ask(ben).await;
    let again = ask(anna).await;
    ben.shows(&format!("{asked}/status"), "node-1.lab.test").await;
    let service = Service::on(service.stop());
    let (anna, ben) = (service.user("anna"), service.user("ben"));
    let created = anna.put("/power", &json!({"nodes": ["node-1"], "status": "off"})).await.ok();
    assert_eq!(created.json()["notes"], Value::Null);
    fs::remove_file(service.path("silent")).unwrap();
    let poll = anna.done(&format!("/power/{}", wid(&created))).await;
    assert_eq!(poll["nodes"]["ko"], json!([]), "{poll}");
    for (user, path) in [(ben, asked), (anna, again)] {
        let poll = user.done(&path).await;
        assert_eq!(poll["nodes"]["ok"], json!(["node-1.lab.test"]), "{path}");
    }
}

#[tokio::test]
async fn a_question_that_takes_long_does_not_make_a_node_free_for_others() {
    let site = site();
    site.edit("server.conf", "rights: {", "rights: {purge_deployment_timer: 5, ");
    let service = Service::on(site);
    let (anna, ben) = (service.user("anna"), service.user("ben"));
    service.write("silent", "");
    let asked = ask(ben).await;
    // Nothing has been heard of the question for long, of the order for a moment.
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    service.hold("node-1");
    let first = on(anna).await;
    let other = ben.put("/power", &json!({"nodes": ["node-1"], "status": "on"})).await;
    other.refused_with(14, &["node-1.lab.test"]);
    service.release("node-1");
    fs::remove_file(service.path("silent")).unwrap();
    assert_eq!(anna.done(&first).await["nodes"]["ok"], json!(["node-1.lab.test"]));
    ben.done(&asked).await;
}
