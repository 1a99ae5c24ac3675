//! Nodes that another operation holds.

use crate::common::{Service, Site, User, wid};
use serde_json::{Value, json};

async fn on(user: User<'_>, nodes: &Value, force: bool) -> crate::common::Answer {
    user.put("/power", &json!({"nodes": nodes, "status": "on", "force": force})).await
}

#[tokio::test]
async fn a_busy_node_is_left_out_and_the_rest_go_on() {
    let service = Service::new();
    let (anna, ben) = (service.user("anna"), service.user("ben"));
    service.hold("node-1");
    let first = wid(&on(anna, &json!(["node-1"]), false).await);

    let created = on(ben, &json!(["node-1", "node-2"]), false).await;
    let second = wid(&created);
    let text =
        "The nodes node-1.lab.test are already involved in power operation, let's discard them";
    assert_eq!(created.json()["notes"], json!([text]));
    let poll = ben.done(&format!("/power/{second}")).await;
    assert_eq!(poll["nodes"], json!({"ok": ["node-2.lab.test"], "ko": []}));
    let state = ben.get(&format!("/power/{second}/state?failed")).await.ok().json();
    assert_eq!(state["node-1.lab.test"]["state"], "discarded");
    // Old programs hear of those alone that have begun.
    let state = ben.get(&format!("/power/{second}/state")).await.ok().json();
    assert_eq!(state.as_object().unwrap().keys().collect::<Vec<_>>(), ["node-2.lab.test"]);
    assert!(ben.get(&format!("/power/{second}/logs")).await.ok().text.contains(text));

    let none = on(ben, &json!(["node-1"]), false).await;
    none.refused_with(14, &["All the nodes have been discarded (node-1.lab.test", "force"]);
    let list = ben.get("/power").await.ok().json();
    assert_eq!(list.as_array().unwrap().len(), 2);

    // The first one did not notice.
    let poll = anna.get(&format!("/power/{first}")).await.ok().json();
    assert_eq!(
        (&poll["done"], &poll["nodes"]["processing"]),
        (&json!(false), &json!(["node-1.lab.test"]))
    );
    service.release("node-1");
    let poll = anna.done(&format!("/power/{first}")).await;
    assert_eq!(poll["nodes"], json!({"ok": ["node-1.lab.test"], "ko": []}));
    let info = anna.get("/nodes").await.ok().json();
    assert_eq!(info["node-1.lab.test"]["user"], "anna");
    // Now it is free.
    let third = wid(&on(ben, &json!(["node-1"]), false).await);
    ben.done(&format!("/power/{third}")).await;
}

#[tokio::test]
async fn force_takes_a_busy_node_and_the_first_operation_ends_in_peace() {
    let service = Service::new();
    let (anna, ben) = (service.user("anna"), service.user("ben"));
    service.hold("node-1");
    let first = wid(&on(anna, &json!(["node-1"]), false).await);
    let second = on(ben, &json!(["node-1"]), true).await.ok();
    assert_eq!(second.json()["notes"], Value::Null);
    let second = wid(&second);
    // Taken over, it is the second one's until that ends.
    on(anna, &json!(["node-1"]), false).await.refused_with(14, &["node-1.lab.test"]);
    service.release("node-1");
    for (user, wid) in [(anna, first), (ben, second)] {
        let poll = user.done(&format!("/power/{wid}")).await;
        assert_eq!(
            (&poll["error"], &poll["nodes"]["ok"]),
            (&json!(false), &json!(["node-1.lab.test"]))
        );
    }
}

#[tokio::test]
async fn a_node_of_which_nothing_is_heard_any_more_is_not_busy() {
    let site = Site::new();
    site.edit("server.conf", "rights: {", "rights: {purge_deployment_timer: 2, ");
    let service = Service::on(site);
    let (anna, ben) = (service.user("anna"), service.user("ben"));
    service.hold("node-1");
    let first = wid(&on(anna, &json!(["node-1"]), false).await);
    on(ben, &json!(["node-1"]), false).await.refused_with(14, &["force"]);
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let second = wid(&on(ben, &json!(["node-1"]), false).await);
    service.release("node-1");
    for (user, wid) in [(anna, first), (ben, second)] {
        let poll = user.done(&format!("/power/{wid}")).await;
        assert_eq!(poll["nodes"], json!({"ok": ["node-1.lab.test"], "ko": []}));
    }
}
