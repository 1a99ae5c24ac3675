//! Which nodes are meant.

use crate::common::{Service, wid};
use serde_json::json;

#[tokio::test]
async fn nodes_that_cannot_be_meant_are_refused_and_nothing_changes() {
    let service = Service::new();
    let anna = service.user("anna");
    let before = anna.everything().await;
    let cases = [
        (json!(["zz"]), "The node 'zz' does not exist", "node-[1-3].lab.test"),
        (json!([]), "mandatory", "-m"),
        (json!(null), "mandatory", "'nodes'"),
        (json!(7), "should be a Array of String", "'nodes'"),
        (json!([7]), "should be a Array of String", "'nodes'"),
        (json!({"a": "b"}), "should be a Array of String", "'nodes'"),
        (json!([""]), "a name is missing", "write names such as"),
        (json!(["node-[1-99999999]"]), "`node-[1-99999999]` stands for 99999999 nodes", "at most"),
        (json!(["node-[1-"]), "`node-[1-`", "write names such as"),
        (json!(["node-[3-1]"]), "`node-[3-1]`", "write names such as"),
        (json!(["node"]), "Ambibuous node name 'node'", "node-1.lab.test or node-2.lab.test"),
        (
            json!(["node-1; reboot"]),
            "`node-1; reboot`, character 8: a name has no blanks",
            "write names such as",
        ),
    ];
    for (nodes, what, way_out) in cases {
        let environment = service.anonymous(json!({}));
        let deploy = json!({"nodes": nodes, "environment": environment});
        anna.post("/deployment", &deploy).await.refused_with(2, &[what, way_out]);
        let reboot = json!({"nodes": nodes, "kind": "simple"});
        anna.post("/reboot/", &reboot).await.refused_with(2, &[what, way_out]);
        let power = json!({"nodes": nodes, "status": "on"});
        anna.put("/power/", &power).await.refused_with(2, &[what, way_out]);
    }
    anna.post("/deployment", &json!({})).await.refused_with(2, &["Parameter 'nodes': mandatory"]);
    anna.get("/power?nodes=zz").await.refused_with(2, &["The node 'zz' does not exist"]);
    anna.get("/nodes?nodes=zz").await.refused_with(2, &["The node 'zz' does not exist"]);
    assert_eq!(anna.everything().await, before);
    assert!(service.orders("node-1").is_empty());
}

#[tokio::test]
async fn one_node_may_be_a_plain_text_and_one_named_twice_counts_once() {
    let service = Service::new();
    let anna = service.user("anna");
    let one = json!({"nodes": "node-1", "status": "on", "dry_run": true});
    assert_eq!(anna.put("/power", &one).await.ok().text, "\n");

    let twice = json!({"nodes": ["node-1", "node-[1-2].lab.test"], "status": "on"});
    let created = anna.put("/power", &twice).await.ok();
    let notes = created.json()["notes"].clone();
    assert_eq!(notes, json!(["named more than once, counted once: node-1.lab.test"]));
    let poll = anna.done(&format!("/power/{}", wid(&created))).await;
    let ok = json!(["node-1.lab.test", "node-2.lab.test"]);
    assert_eq!(poll["nodes"], json!({"ok": ok, "ko": []}));
    assert_eq!(service.orders("node-1").iter().filter(|order| *order == "on").count(), 1);
}

#[tokio::test]
async fn a_dry_run_checks_and_leaves_nothing() {
    let service = Service::new();
    let anna = service.user("anna");
    let before = anna.everything().await;
    let deploy =
        json!({"nodes": ["node-1"], "environment": service.anonymous(json!({})), "dry_run": true});
    assert_eq!(anna.post("/deployment", &deploy).await.ok().text, "\n");
    let unknown = json!({"nodes": ["zz"], "status": "on", "dry_run": true});
    anna.put("/power", &unknown).await.refused_with(2, &["zz"]);
    assert_eq!(anna.everything().await, before);
}
