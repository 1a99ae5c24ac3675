//! Power operations.

use crate::common::{Answer, Service, User, wid};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;

async fn put(user: User<'_>, status: &str, nodes: &Value) -> String {
    let created = user.put("/power/", &json!({"nodes": nodes, "status": status})).await;
    format!("/power/{}", wid(&created))
}

#[tokio::test]
async fn nodes_are_switched_on_and_off() {
    let service = Service::new();
    let anna = service.user("anna");
    for (status, state) in [("on", "powered"), ("off", "powered")] {
        let path = put(anna, status, &json!(["node-1"])).await;
        let poll = anna.done(&path).await;
        assert_eq!(poll["nodes"], json!({"ok": ["node-1.lab.test"], "ko": []}));
        assert_eq!(poll.get("environment"), None);
        let file = fs::read_to_string(service.path("power/node-1.lab.test")).unwrap();
        assert_eq!(file.trim(), status);
        let info = anna.get("/nodes/node-1.lab.test").await.ok().json();
        assert_eq!((&info["state"], &info["user"]), (&json!(state), &json!("anna")));
        let log = anna.get(&format!("{path}/logs")).await.ok().text;
        let order = format!("|   * Performing a soft power_{status} on node-1.lab.test");
        assert!(log.contains(&order) || log.contains(&order.replace("power_", "power ")), "{log}");
    }
}

#[tokio::test]
async fn a_node_whose_power_is_silent_is_ko_with_the_reason_and_the_others_are_well() {
    let service = Service::new();
    let anna = service.user("anna");
    service.write("power/node-2.lab.test.broken", "");
    let path = put(anna, "on", &json!(["node-[1-3]"])).await;
    let poll = anna.done(&path).await;
    let ok = json!(["node-1.lab.test", "node-3.lab.test"]);
    assert_eq!(poll["nodes"], json!({"ok": ok, "ko": ["node-2.lab.test"]}));
    assert_eq!(poll["error"], false);
    let state = anna.get(&format!("{path}/state")).await.ok().json();
    let broken = &state["node-2.lab.test"];
    assert_eq!(
        (&broken["macro"], &broken["micro"], &broken["state"]),
        (&json!("On"), &json!("power"), &json!("ko"))
    );
    let why = broken["error"].as_str().unwrap();
    assert!(
        why.starts_with("On-power: ") && why.contains("node-2.lab.test lost its mains cable"),
        "{why}"
    );
    let info = anna.get("/nodes").await.ok().json();
    assert_eq!(info["node-2.lab.test"]["state"], "power_failed");
    assert_eq!(info["node-1.lab.test"]["state"], "powered");
}

#[tokio::test]
async fn asking_for_the_power_changes_nothing_of_what_is_known() {
    let service = Service::new();
    let anna = service.user("anna");
    anna.post("/environments", &json!({"environment": service.description()})).await.ok();
    let deploy = json!({"nodes": ["node-1"], "environment": {"name": "debian"}});
    let wid = wid(&anna.post("/deployment", &deploy).await);
    anna.done(&format!("/deployment/{wid}")).await;
    let before = anna.get("/nodes").await.ok().json();
    let debian = json!({"name": "debian", "version": 1, "user": "anna"});
    let deployed = json!({"state": "deployed", "user": "anna", "environment": debian});
    assert_eq!(before["node-1.lab.test"], deployed);

    let created = service.user("ben").get("/power?nodes=node-1&nodes=node-2").await.ok().json();
    let path = created["resources"]["resource"].as_str().unwrap();
    let ben = service.user("ben");
    let poll = ben.done(path).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-1.lab.test", "node-2.lab.test"]));
    let state = ben.get(&format!("{path}state")).await.ok().json();
    assert_eq!(state["node-2.lab.test"]["out"], "node-2.lab.test is off");
    assert_eq!(anna.get("/nodes").await.ok().json(), before);

    let log = ben.get(created["resources"]["log"].as_str().unwrap()).await.ok().text;
    let texts: Vec<_> =
        log.lines().filter_map(|line| line.split_once('|')).map(|(_, text)| text).collect();
    let expected = [
        "Launching a power operation on node-[1-2].lab.test",
        "Performing a Power[Status] step",
        "  power",
        "   * A power status will be performed",
        "End of step Power[Status] after ",
        "End of power operation for node-[1-2].lab.test after ",
        "End of power operation on cluster alpha after ",
    ];
    assert_eq!(texts.len(), expected.len(), "{log}");
    for (text, expected) in texts.iter().zip(expected) {
        assert!(text.starts_with(expected), "{text:?} is not {expected:?}");
    }
    // A reboot or a power order does not forget what is installed.
    let path = put(anna, "on", &json!(["node-1"])).await;
    anna.done(&path).await;
    let info = anna.get("/nodes/node-1.lab.test").await.ok().json();
    assert_eq!((&info["state"], &info["environment"]), (&json!("powered"), &debian));
}

#[tokio::test]
async fn where_the_nodes_are_is_shown_while_it_runs() {
    let service = Service::new();
    let anna = service.user("anna");
    service.hold("node-2");
    let path = put(anna, "on", &json!(["node-[1-2]"])).await;
    anna.shows(&format!("{path}/status"), "node-2.lab.test").await;
    let status = anna.get(&format!("{path}/status")).await.ok().json();
    let step = &status["alpha"]["On"]["power"];
    let lists = &step["nodes"];
    assert!(lists["**"].as_array().unwrap().contains(&json!("node-2.lab.test")), "{status}");
    assert_eq!((&lists["OK"], &lists["KO"]), (&json!([]), &json!([])));
    assert!(step["time"].is_u64());
    let poll = anna.get(&path).await.ok().json();
    assert_eq!((&poll["done"], &poll["logs"]), (&json!(false), &json!(true)));
    assert!(poll["nodes"]["processing"].as_array().unwrap().contains(&json!("node-2.lab.test")));
    assert_eq!(anna.get("/nodes/node-2.lab.test").await.ok().json()["state"], "powering");
    service.release("node-2");
    anna.done(&path).await;
    assert_eq!(anna.get(&format!("{path}/status")).await.ok().json(), json!({}));
}

#[tokio::test]
async fn those_that_are_done_are_listed_beside_the_steps() {
    let service = Service::new();
    let anna = service.user("anna");
    service.hold("node-2");
    let path = put(anna, "on", &json!(["node-[1-3]", "beta-1"])).await;
    anna.shows(&format!("{path}/status"), "\"node-3.lab.test\"\n    ]").await;
    anna.shows(&format!("{path}/status"), "\"beta-1.lab.test\"").await;
    let status = anna.get(&format!("{path}/status")).await.ok().json();
    let ended = json!(["node-1.lab.test", "node-3.lab.test"]);
    let alpha = status["alpha"].as_object().unwrap();
    let on = alpha["On"].as_object().unwrap();
    assert_eq!((&alpha["OK"], &on["OK"]), (&ended, &ended), "{status}");
    assert_eq!((alpha.get("KO"), on.get("KO")), (None, None), "a list has nodes or is not there");
    assert_eq!(on["power"]["nodes"], json!({"OK": [], "KO": [], "**": ["node-2.lab.test"]}));
    // Nobody is left in the step of the other cluster.
    assert_eq!(status["beta"], json!({"OK": ["beta-1.lab.test"]}));
    // They are printed as they come.
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&status["alpha"]), ["On", "OK"]);
    assert_eq!(keys(&status["alpha"]["On"]), ["power", "OK"]);
    assert_eq!(keys(&on["power"]["nodes"]), ["OK", "KO", "**"]);
    let yaml =
        anna.request(Method::GET, &format!("{path}/status")).header("Accept", "application/x-yaml");
    let yaml = Answer::to(yaml).await.ok().text;
    for text in
        ["\n    :OK:\n    - node-1.lab.test", "\n        :\"**\":\n        - node-2.lab.test"]
    {
        assert!(yaml.contains(text), "{text}: {yaml}");
    }
    service.release("node-2");
    anna.done(&path).await;
}
