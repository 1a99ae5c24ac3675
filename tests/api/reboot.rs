//! Reboots: the site's own command, then the node is waited for.

use crate::common::{Service, Site, wid};
use serde_json::json;
use std::net::TcpListener;

#[tokio::test]
async fn a_node_is_rebooted_by_the_sites_command_and_waited_for() {
    let site = Site::new();
    // The node's own system: its ssh port is open.
    let _ssh = TcpListener::bind(("127.0.1.1", site.ssh)).unwrap();
    let service = Service::on(site);
    let anna = service.user("anna");
    let body = json!({"nodes": ["node-1"], "kind": "simple", "verbose_level": 5});
    let created = anna.post("/reboot/", &body).await.ok();
    let id = wid(&created);
    assert!(id.starts_with("R-"));
    let path = format!("/reboot/{id}");
    let poll = anna.done(&path).await;
    assert_eq!(poll["nodes"], json!({"ok": ["node-1.lab.test"], "ko": []}));
    assert_eq!(service.orders("node-1"), ["reboot"]);
    let info = anna.get("/nodes/node-1.lab.test").await.ok().json();
    assert_eq!((&info["state"], &info["user"]), (&json!("rebooted"), &json!("anna")));
    let log = anna.get(&format!("{path}/logs")).await.ok().text;
    for text in [
        "|Launching a reboot on node-1.lab.test",
        "|Performing a Reboot[Simple] step",
        "|  reboot",
        "|   * Performing a soft reboot on node-1.lab.test",
        "|  wait_reboot",
        "|End of reboot on cluster alpha after ",
    ] {
        assert!(log.contains(text), "{text:?} is not in {log}");
    }
    anna.delete(&path).await.ok();
}

#[tokio::test]
async fn a_node_that_does_not_obey_is_ko_with_the_reason() {
    let service = Service::new();
    let anna = service.user("anna");
    service.write("power/node-1.lab.test.broken", "");
    let created = anna.post("/reboot", &json!({"nodes": ["node-1"], "kind": "simple"})).await;
    let path = format!("/reboot/{}", wid(&created));
    let poll = anna.done(&path).await;
    assert_eq!(poll["nodes"], json!({"ok": [], "ko": ["node-1.lab.test"]}));
    let state = anna.get(&format!("{path}/state")).await.ok().json();
    let why = state["node-1.lab.test"]["error"].as_str().unwrap();
    assert!(why.starts_with("Simple-reboot: ") && why.contains("lost its mains cable"), "{why}");
    assert_eq!(anna.get("/nodes/node-1.lab.test").await.ok().json()["state"], "reboot_failed");
}
