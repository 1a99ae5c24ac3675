//! Why a node is where it is.

use crate::common::{Service, wid};
use serde_json::json;

#[tokio::test]
async fn a_node_is_explained_before_during_and_after_an_operation_that_fails() {
    let service = Service::new();
    let anna = service.user("anna");
    let explain = || async { anna.get("/nodes/node-1/explain").await.ok().json() };
    let told = explain().await;
    assert_eq!(told["node"], "node-1.lab.test");
    assert_eq!(told["operation"], json!(null), "{told}");
    assert_eq!(told["cause"], "nothing is being done to it");
    assert_eq!((&told["seen"]["power"], &told["seen"]["ssh"]), (&json!("off"), &json!("refused")));

    service.hold("node-1");
    let on = json!({"nodes": ["node-1"], "status": "on"});
    let wid = wid(&anna.put("/power", &on).await);
    anna.shows(&format!("/power/{wid}/status"), "node-1.lab.test").await;
    let told = explain().await;
    assert_eq!(told["waits_for"], "power in On", "{told}");
    assert_eq!(
        (&told["operation"]["wid"], &told["operation"]["done"]),
        (&json!(wid), &json!(false))
    );
    // Another user's operation is there, and no more is told of it.
    let bert = service.user("bert").get("/nodes/node-1/explain").await.ok().json();
    assert_eq!((&bert["operation"]["user"], &bert["waits_for"]), (&json!("anna"), &json!(null)));
    assert_eq!(bert["cause"], "an operation of anna is under way on it");
    assert!(told["until"].as_u64().is_some_and(|left| left > 0), "{told}");
    let why = told["seen"]["power"].as_str().unwrap();
    assert!(why.starts_with("unknown: "), "its command waits: {why}");

    service.write("power/node-1.lab.test.broken", "");
    service.release("node-1");
    anna.done(&format!("/power/{wid}")).await;
    let bert = service.user("bert").get("/nodes/node-1/explain").await.ok().json();
    assert_eq!(bert["error"], json!(null), "{bert}");
    let (code, out, _) = service.cli(&["explain", "node-1"]).await;
    assert_eq!(code, 0);
    for words in ["lost its mains cable", "likely cause", &format!("kadence retry {wid}")] {
        assert!(out.contains(words), "{words:?} is not in {out}");
    }
    anna.get("/nodes/node-77/explain").await.refused(400, &["The node 'node-77' does not exist"]);
    let (code, _, said) = service.cli(&["explain", "node-77"]).await;
    assert_eq!(code, 2, "{said}");
}
