//! Power orders with more and more force.

use crate::common::{Service, Site, wid};
use serde_json::{Value, json};

/// A site whose cluster has these commands to switch nodes off, one for each level.
fn site(levels: &str) -> Site {
    let site = Site::new();
    let off = format!(
        "  power_off: [{{name: soft, cmd: '{} off HOSTNAME_FQDN'}}]\n",
        site.path("machine").display()
    );
    site.edit("cluster.conf", &off, levels);
    // What a switch does is believed: the scripts are all there is.
    let status = format!(
        "  power_status: [{{name: soft, cmd: '{} status HOSTNAME_FQDN'}}]\n",
        site.path("machine").display()
    );
    site.edit("cluster.conf", &status, "");
    site
}

/// Orders node-1 off: messages, its state in the operation, and what is recorded of it.
async fn off(service: &Service, level: Option<&str>) -> (String, Value, Value) {
    let anna = service.user("anna");
    let mut body = json!({"nodes": ["node-1"], "status": "off", "verbose_level": 5});
    if let Some(level) = level {
        body["level"] = level.into();
    }
    let path = format!("/power/{}", wid(&anna.put("/power/", &body).await));
    anna.done(&path).await;
    let state = anna.get(&format!("{path}/state")).await.ok().json();
    let log = anna.get(&format!("{path}/logs")).await.ok().text;
    let node = anna.get("/nodes/node-1.lab.test").await.ok().json();
    (log, state["node-1.lab.test"].clone(), node["state"].clone())
}

/// The levels that were tried, in order.
fn tried(log: &str) -> Vec<&str> {
    let orders = log.lines().filter_map(|line| line.split_once("   * Performing a "));
    orders.map(|(_, order)| order.split_once(" power_off on node-1.lab.test").unwrap().0).collect()
}

#[tokio::test]
async fn a_level_that_fails_is_followed_by_the_next_one() {
    let service = Service::on(site(
        "  power_off: [{name: soft, cmd: 'echo no soft way >&2; exit 3'}, \
         {name: hard, cmd: 'echo no hard way >&2; exit 4'}, \
         {name: very_hard, cmd: 'DIR/machine off HOSTNAME_FQDN'}]\n",
    ));
    let (log, state, node) = off(&service, None).await;
    assert_eq!(tried(&log), ["soft", "hard", "very_hard"], "{log}");
    assert_eq!(
        (&state["state"], &state["error"], node),
        (&json!("ok"), &json!(null), json!("powered"))
    );
    assert_eq!(service.orders("node-1"), ["off"]);
    let (log, ..) = off(&service, Some("hard")).await;
    assert_eq!(tried(&log), ["hard", "very_hard"], "{log}");
    // The last one fails as well.
    service.write("power/node-1.lab.test.broken", "");
    let (log, state, node) = off(&service, None).await;
    assert_eq!(tried(&log), ["soft", "hard", "very_hard"], "{log}");
    let why = state["error"].as_str().unwrap();
    assert!(why.starts_with("Off-power: ") && why.ends_with("lost its mains cable"), "{why}");
    assert_eq!((&state["state"], node), (&json!("ko"), json!("power_failed")));
}

#[tokio::test]
async fn a_level_that_is_not_there_says_less_than_one_that_was_tried() {
    let service =
        Service::on(site("  power_off: [{name: hard, cmd: 'echo no way >&2; exit 4'}]\n"));
    let (log, state, _) = off(&service, None).await;
    assert_eq!(tried(&log), ["soft", "hard", "very_hard"], "{log}");
    for level in ["soft", "very_hard"] {
        let text = format!("   ! No {level} power_off command is defined for node-1.lab.test\n");
        assert!(log.contains(&text), "{text}: {log}");
    }
    let why = state["error"].as_str().unwrap();
    assert!(why.starts_with("Off-power: ") && why.ends_with("no way"), "{why}");
}

#[tokio::test]
async fn of_levels_none_of_which_is_there_the_last_one_is_told() {
    let service = Service::on(site(""));
    for level in [None, Some("soft"), Some("hard")] {
        let (_, state, node) = off(&service, level).await;
        let why = "Off-power: very_hard_power_off command is not provided";
        assert_eq!((&state["error"], node), (&json!(why), json!("power_failed")));
    }
}
