//! Operations done again on the nodes that failed.

use crate::common::{Service, wid};
use serde_json::{Value, json};

#[tokio::test]
async fn only_the_nodes_that_failed_are_treated_again() {
    let service = Service::new();
    let anna = service.user("anna");
    service.write("power/node-1.lab.test.broken", "");
    let on = json!({"nodes": ["node-[1-2]"], "status": "on"});
    let first = format!("/power/{}", wid(&anna.put("/power", &on).await));
    let poll = anna.done(&first).await;
    assert_eq!(poll["nodes"], json!({"ok": ["node-2.lab.test"], "ko": ["node-1.lab.test"]}));
    // The plans are kept over a restart.
    let service = Service::on(service.stop());
    let anna = service.user("anna");
    std::fs::remove_file(service.path("power/node-1.lab.test.broken")).unwrap();
    let orders = service.orders("node-2");
    let created = anna.post(&format!("{first}/retry"), &json!({})).await.ok();
    let second = format!("/power/{}", wid(&created));
    assert_ne!(first, second);
    let poll = anna.done(&second).await;
    assert_eq!(poll["nodes"], json!({"ok": ["node-1.lab.test"], "ko": []}));
    assert_eq!(service.orders("node-2"), orders);
    let again = anna.post(&format!("{second}/retry"), &json!({})).await;
    again.refused_with(14, &["no node of", "failed"]);
}

#[tokio::test]
async fn what_runs_or_has_no_free_node_is_not_done_again() {
    let service = Service::new();
    let anna = service.user("anna");
    service.write("power/node-1.lab.test.broken", "");
    let on = |node: &str| json!({"nodes": [node], "status": "on"});
    let failed = format!("/power/{}", wid(&anna.put("/power", &on("node-1")).await));
    anna.done(&failed).await;
    service.hold("node-1");
    let running = format!("/power/{}", wid(&anna.put("/power", &on("node-1")).await));
    let before: Value = anna.get("/power").await.ok().json();
    let answer = anna.post(&format!("{running}/retry"), &json!({})).await;
    answer.refused_with(14, &["has not ended", "cancel"]);
    let answer = anna.post(&format!("{failed}/retry"), &json!({})).await;
    answer.refused_with(14, &["already involved", "force"]);
    let after: Value = anna.get("/power").await.ok().json();
    assert_eq!(before.as_array().unwrap().len(), after.as_array().unwrap().len());
    service.release("node-1");
}
