//! The stream of events.

use crate::common::{Service, User, wid};
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Events as they come, until one satisfies `last`.
async fn follow(
    user: User<'_>,
    path: &str,
    begin: impl AsyncFnOnce(),
    last: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    let response = user.request(Method::GET, path).header("accept", "text/event-stream").send();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    begin().await;
    let (mut pieces, mut text, mut events) = (response.bytes_stream(), String::new(), Vec::new());
    let read = async {
        loop {
            text += std::str::from_utf8(&pieces.next().await.unwrap().unwrap()).unwrap();
            while let Some((block, rest)) = text.split_once("\n\n") {
                let data = block.lines().find_map(|line| line.strip_prefix("data:"));
                let id = block.lines().find_map(|line| line.strip_prefix("id:"));
                if let (Some(data), Some(id)) = (data, id) {
                    let event: Value = serde_json::from_str(data.trim()).unwrap();
                    assert_eq!(id.trim(), event["id"].to_string());
                    events.push(event);
                }
                text = String::from(rest);
            }
            if events.last().is_some_and(&last) {
                return events;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), read).await.unwrap()
}

#[tokio::test]
async fn a_deployment_is_told_from_its_first_step_to_its_end() {
    let service = Service::new();
    let anna = service.user("anna");
    let body = json!({"nodes": ["node-[1-2]"], "environment": service.anonymous(json!({}))});
    let begin = async || drop(anna.post("/deployment", &body).await.ok());
    let events = follow(anna, "/events", begin, |event| event["event"] == "ended").await;
    let nodes = json!(["node-1.lab.test", "node-2.lab.test"]);
    let of = |kind: &str| -> Vec<&Value> {
        events.iter().filter(|event| event["event"] == kind).collect()
    };
    assert_eq!(of("step_started").len(), 6);
    for event in of("step_ended") {
        assert_eq!(
            (&event["ok"], &event["ko"], &event["cluster"]),
            (&nodes, &json!([]), &json!("alpha"))
        );
        assert!(event["macro"].as_str().unwrap().ends_with("Dummy") && event["micro"] == "dummy");
    }
    assert_eq!(of("node_ended").iter().filter(|event| event["state"] == "ok").count(), 2);
    let messages = of("message");
    assert!(messages[0]["text"].as_str().unwrap().starts_with("Grab the tarball file server://"));
    assert_eq!(messages[1]["text"], "Launching a deployment on node-[1-2].lab.test");
    let last = events.last().unwrap();
    assert_eq!((&last["ok"], &last["ko"], &last["kind"]), (&nodes, &json!([]), &json!("deploy")));
    let ids: Vec<_> = events.iter().map(|event| event["id"].as_u64().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let wid = &events[0]["wid"];
    assert!(events.iter().all(|event| &event["wid"] == wid));
}

#[tokio::test]
async fn a_listener_hears_what_he_may_see_and_asked_for() {
    let service = Service::new();
    let (anna, ben) = (service.user("anna"), service.user("ben"));
    let on = |node: &str| json!({"nodes": [node], "status": "on"});
    service.hold("node-1");
    let quiet = wid(&anna.put("/power", &on("node-1")).await);
    // Ben hears nothing of anna's operation, whether he asks for it or not.
    let begin = async || {
        let path = format!("/power/{quiet}");
        service.release("node-1");
        anna.done(&path).await;
        let own = wid(&ben.put("/power", &on("node-2")).await);
        ben.done(&format!("/power/{own}")).await;
    };
    let events = follow(ben, "/events", begin, |event| event["event"] == "ended").await;
    assert!(events.iter().all(|event| event["wid"] != quiet.as_str()), "{events:?}");
    service.hold("node-3");
    let wanted = wid(&ben.put("/power", &on("node-3")).await);
    let begin = async || {
        let other = wid(&ben.put("/power", &on("node-2")).await);
        ben.done(&format!("/power/{other}")).await;
        service.release("node-3");
    };
    let path = format!("/events?wid={wanted}");
    let events = follow(ben, &path, begin, |event| event["event"] == "ended").await;
    assert!(events.iter().all(|event| event["wid"] == wanted.as_str()), "{events:?}");
}

#[tokio::test]
async fn the_end_of_an_operation_is_told_even_if_it_was_forgotten_at_once() {
    let service = Service::new();
    let anna = service.user("anna");
    service.hold("node-1");
    let on = json!({"nodes": ["node-1"], "status": "on"});
    let path = format!("/power/{}", wid(&anna.put("/power", &on).await));
    anna.shows(&format!("{path}/status"), "node-1.lab.test").await;
    let begin = async || drop(anna.delete(&path).await.ok());
    let events = follow(anna, "/events", begin, |event| event["event"] == "ended").await;
    assert_eq!(events.last().unwrap()["ko"], json!(["node-1.lab.test"]));
}
