//! What people may know and do who do not own an operation.

use crate::common::{Answer, Service, wid};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn others_see_that_an_operation_is_there_and_no_more() {
    let service = Service::new();
    let (anna, ben, root) = (service.user("anna"), service.user("ben"), service.user("root"));
    service.hold("node-1");
    let on = json!({"nodes": ["node-[1-2]"], "status": "on", "debug": true});
    let wid = wid(&anna.put("/power", &on).await);
    let path = format!("/power/{wid}");

    let seen = ben.get(&path).await.ok().json();
    let nodes = json!(["node-1.lab.test", "node-2.lab.test"]);
    let start = seen["start_time"].clone();
    assert!(start.is_u64());
    let all = json!({"wid": wid, "user": "anna", "done": false, "error": false, "start_time": start, "nodes": nodes});
    assert_eq!(seen, all);
    assert_eq!(ben.get("/power").await.ok().json(), json!([all]));
    for part in
        ["logs", "logs/alpha", "debugs", "debugs/node-1.lab.test", "state", "status", "error"]
    {
        let answer = ben.get(&format!("{path}/{part}")).await;
        answer.refused(403, &["Forbidden -- You do not the rights to perform this operation"]);
    }
    ben.delete(&path).await.refused(403, &["Forbidden"]);
    for order in ["continue", "abort", "retry"] {
        ben.post(&format!("{path}/{order}"), &json!({})).await.refused(403, &["Forbidden"]);
    }

    // Administrators see everything, and nobody takes lines from another.
    assert_eq!(root.get(&path).await.ok().json()["nodes"]["processing"], nodes);
    service.release("node-1");
    anna.done(&path).await;
    let lines = root.get(&format!("{path}/logs")).await.ok().text;
    assert_eq!(anna.get(&format!("{path}/logs")).await.ok().text, lines);
    root.delete(&path).await.ok();
    anna.get(&path).await.refused_with(1, &[]);
}

#[tokio::test]
async fn one_who_does_not_say_who_he_is_gets_nothing() {
    let service = Service::new();
    let text = "Unauthorized -- Authentication failed: no user specified";
    let on = json!({"nodes": ["node-1"], "status": "on"});
    service.nobody().put("/power", &on).await.refused(401, &[text, "X-Kadeploy-User"]);
    for name in ["", "   ", "\u{e9}"] {
        let request = service.nobody().request(Method::GET, "/nodes");
        Answer::to(request.header("X-Kadeploy-User", name)).await.refused(401, &[text]);
    }
    assert!(service.orders("node-1").is_empty());
}
