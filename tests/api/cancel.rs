//! Operations that are ended before their time, and those that are not there.

use crate::common::{Service, wid};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_running_operation_is_ended_and_forgotten() {
    let service = Service::new();
    let anna = service.user("anna");
    service.hold("node-1");
    let all = json!({"nodes": ["node-[1-2]"], "status": "on"});
    let created = anna.put("/power", &all).await;
    let path = format!("/power/{}", wid(&created));
    anna.shows(&format!("{path}/state"), "node-1.lab.test").await;
    // Node 1 is never let go: only an end by force returns.
    let deleted = anna.delete(&path).await.ok();
    assert_eq!(deleted.json(), json!({"wid": wid(&created)}));
    let info = anna.get("/nodes").await.ok().json();
    assert_eq!(info["node-1.lab.test"]["state"], "aborted");
    let nothing = json!({"name": null, "version": null, "user": null});
    assert_eq!(info["node-1.lab.test"]["environment"], nothing);
    anna.get(&path).await.refused_with(1, &["Invalid workflow ID", "GET /power"]);
    assert_eq!(anna.get("/power").await.ok().json(), json!([]));
    // Its nodes are free.
    service.release("node-1");
    let again = wid(&anna.put("/power", &all).await);
    let poll = anna.done(&format!("/power/{again}")).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-1.lab.test", "node-2.lab.test"]));
}

#[tokio::test]
async fn one_who_leaves_does_not_end_what_he_started() {
    let service = Service::new();
    let anna = service.user("anna");
    service.hold("node-1");
    let created = anna.put("/power", &json!({"nodes": ["node-1"], "status": "on"})).await;
    let path = format!("/power/{}", wid(&created));
    // A client that does not wait for the answer to its DELETE.
    let gone = anna.request(Method::DELETE, &path).json(&json!({}));
    drop(tokio::time::timeout(std::time::Duration::from_millis(1), gone.send()).await);
    service.release("node-1");
    // Ended by the order or by itself: nothing hangs, and it can be forgotten.
    let answer = anna.delete(&path).await;
    assert!([200, 405].contains(&answer.status), "{answer:?}");
    assert_eq!(anna.get("/power").await.ok().json(), json!([]));
}

#[tokio::test]
async fn an_operation_that_is_not_there_is_told() {
    let service = Service::new();
    let anna = service.user("anna");
    let made = wid(&anna.put("/power", &json!({"nodes": ["node-1"], "status": "on"})).await);
    anna.done(&format!("/power/{made}")).await;
    // Of another kind, or not at all.
    for path in [format!("/deployment/{made}"), "/power/P-none".into(), "/reboot/..%2f..".into()] {
        anna.get(&path).await.refused_with(1, &["Invalid workflow ID"]);
        for part in ["logs", "state", "status", "error", "debugs", "logs/alpha"] {
            anna.get(&format!("{path}/{part}")).await.refused_with(1, &["Invalid workflow ID"]);
        }
        let refused = anna.delete(&path).await.refused(405, &["Method Not Allowed"]);
        assert_eq!(refused.header("allow"), Some("POST,PUT,GET,HEAD"));
    }
    anna.get(&format!("/power/{made}/logs/gamma")).await.refused(404, &["gamma"]);
    anna.get(&format!("/power/{made}/debugs")).await.refused(404, &["no debugging output"]);
    anna.delete(&format!("/power/{made}/")).await.ok();
    anna.delete(&format!("/power/{made}/")).await.refused(405, &[]);
}
