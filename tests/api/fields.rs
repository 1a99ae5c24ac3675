//! Fields of requests: of the wrong type, without a value, twice.

use crate::common::{Answer, Service};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn a_field_of_the_wrong_type_is_named_with_the_right_one() {
    let service = Service::new();
    let root = service.user("root");
    let before = root.everything().await;
    let cases = [
        ("PUT", "/power", "nodes", json!(7), 2, "should be a Array of String"),
        ("PUT", "/power", "nodes", json!(["node-1", 7]), 2, "should be a Array of String"),
        ("PUT", "/power", "force", json!("yes"), 4, "should be a Boolean"),
        ("PUT", "/power", "verbose_level", json!("5"), 4, "should be a Integer"),
        ("PUT", "/power", "verbose_level", json!(0), 4, "must be in the range 1..5"),
        ("PUT", "/power", "verbose_level", json!(-1), 4, "must be in the range 1..5"),
        ("PUT", "/power", "verbose_level", json!(900), 4, "must be in the range 1..5"),
        ("PUT", "/power", "breakpoint", json!({}), 4, "should be a String"),
        (
            "PUT",
            "/power",
            "level",
            json!("harder"),
            4,
            "must have a value in (soft,hard,very_hard)",
        ),
        ("PUT", "/power", "status", json!([]), 4, "should be a String"),
        ("PUT", "/power", "custom_operations", json!([]), 8, "should be a Hash"),
        ("PUT", "/power", "dry_run", json!("no"), 4, "should be a Boolean"),
        (
            "POST",
            "/reboot",
            "kind",
            json!("slow"),
            4,
            "must have a value in (simple,set_pxe,deploy_env,recorded_env)",
        ),
        ("POST", "/reboot", "check_destructive", json!(1), 4, "should be a Boolean"),
        ("POST", "/reboot", "pxe", json!("text"), 4, "should be a Hash"),
        ("POST", "/deployment", "environment", json!("debian"), 7, "should be a Hash"),
        ("POST", "/deployment", "deploy_partition", json!(3), 4, "should be a String"),
        ("POST", "/deployment", "boot_partition", json!("1"), 4, "should be a Integer"),
        (
            "POST",
            "/deployment",
            "boot_partition",
            json!(-1),
            4,
            "must be in the range 0..4294967295",
        ),
        ("POST", "/deployment", "vlan", json!(12), 4, "should be a String"),
        ("POST", "/deployment", "automata", json!([]), 4, "should be a Hash"),
        ("POST", "/deployment", "timeout_reboot_classical", json!(60), 4, "should be a String"),
        ("POST", "/deployment", "ssh_authorized_keys", json!(false), 4, "should be a String"),
        ("POST", "/rights", "username", json!(7), 4, "should be a String"),
        ("POST", "/rights", "partitions", json!({}), 4, "should be a Array"),
        ("POST", "/rights", "overwrite", json!("x"), 4, "should be a Boolean"),
        ("POST", "/environments", "environment", json!("x"), 7, "should be a Hash"),
        ("PUT", "/environments/root/deb", "last", json!("x"), 4, "should be a Boolean"),
        ("PUT", "/environments/root/deb", "visibility", json!(1), 4, "should be a String"),
        ("PUT", "/environments", "update_files", json!("x"), 4, "should be a Hash"),
        ("DELETE", "/environments/root/deb", "last", json!({}), 4, "should be a Boolean"),
        ("POST", "/console", "node", json!(["node-1"]), 2, "should be a String"),
    ];
    for (method, path, name, value, number, why) in cases {
        let mut body = json!({"nodes": ["node-1"], "status": "on"});
        body[name] = value;
        let request = root.request(method.parse().unwrap(), path).json(&body);
        let said = format!("Parameter '{name}': {why}");
        let answer = Answer::to(request).await;
        assert!(answer.text.contains(&said), "{method} {path} {body}: {answer:?}");
        answer.refused_with(number, &[]);
    }
    assert_eq!(root.everything().await, before);
}

#[tokio::test]
async fn a_field_without_a_value_is_not_there() {
    let service = Service::new();
    let anna = service.user("anna");
    let nothing = json!({"nodes": null, "status": "on"});
    anna.put("/power", &nothing).await.refused_with(2, &["Parameter 'nodes': mandatory"]);
    let on = json!({"nodes": ["node-1"], "status": "on", "level": null, "force": null,
        "verbose_level": null, "custom_operations": null, "breakpoint": null});
    let wid = crate::common::wid(&anna.put("/power", &on).await);
    anna.done(&format!("/power/{wid}")).await;
}

#[tokio::test]
async fn a_field_that_is_not_asked_for_is_not_looked_at() {
    let service = Service::new();
    let (anna, root) = (service.user("anna"), service.user("root"));
    let rest = "&verbose_level=x&breakpoint=7&level=gentle";
    let created = anna.get(&format!("/power?nodes=node-1{rest}")).await;
    anna.done(&format!("/power/{}", crate::common::wid(&created))).await;
    for path in ["/nodes?list", "/stats?kind=failure_rates"] {
        anna.get(&format!("{path}{rest}")).await.ok();
    }
    root.get(&format!("/rights?nodes=node-1{rest}")).await.ok();
}

#[tokio::test]
async fn what_stands_for_a_node_in_a_profile_may_be_a_number() {
    let service = Service::new();
    let anna = service.user("anna");
    let reboot = |value: serde_json::Value| {
        let pxe = json!({"profile": "NODE_SINGULARITY", "singularities": {"node-1": value}});
        json!({"nodes": ["node-1"], "kind": "set_pxe", "pxe": pxe, "dry_run": true})
    };
    for value in [json!("x"), json!(5), json!(true)] {
        assert_eq!(anna.post("/reboot", &reboot(value)).await.ok().text, "\n");
    }
    let words = ["Parameter 'pxe': the value of node-1 should be a String"];
    anna.post("/reboot", &reboot(json!([]))).await.refused_with(4, &words);
}

#[tokio::test]
async fn a_field_that_is_there_twice_is_a_list_or_refused() {
    let service = Service::new();
    let anna = service.user("anna");
    let two = anna.get("/nodes?nodes=node-1&nodes=node-2&list&list=1").await.ok().json();
    assert_eq!(two, json!(["node-1.lab.test", "node-2.lab.test"]));
    // The same node twice is one node.
    let one = anna.get("/nodes?nodes=node-1&nodes=node-1.lab.test&list").await.ok().json();
    assert_eq!(one, json!(["node-1.lab.test"]));
    let twice = anna.get("/environments?name=a&name=b").await;
    twice.refused_with(4, &["Parameter 'name': should be a String"]);
    let twice = anna.get("/environments?version=1&version=2").await;
    twice.refused_with(4, &["Parameter 'version': should be a Integer"]);
    // The query wins over the body.
    let request = anna.request(Method::PUT, "/power?status=on&nodes=node-2");
    let request = request.json(&json!({"status": "off", "nodes": ["node-1"]}));
    let wid = crate::common::wid(&Answer::to(request).await);
    let poll = anna.done(&format!("/power/{wid}")).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-2.lab.test"]));
    let orders = service.orders("node-2");
    assert!(orders.contains(&"on".into()) && !orders.contains(&"off".into()), "{orders:?}");
}

#[tokio::test]
async fn rights_are_looked_at_before_the_rest_of_a_request() {
    let service = Service::new();
    let site = service.stop();
    site.edit("server.conf", "kind: dummy", "kind: db");
    let service = Service::on(site);
    let anna = service.user("anna");
    for (method, path) in [("PUT", "/power"), ("POST", "/reboot"), ("POST", "/deployment")] {
        let all = json!({"nodes": ["node-1"], "verbose_level": "x", "environment": 7, "kind": 8});
        let request = anna.request(method.parse().unwrap(), path).json(&all);
        let answer = Answer::to(request).await.refused_with(6, &[]);
        let text = "You do not have sufficient rights to perform the operation on all the nodes\n";
        assert_eq!(answer.text, text, "{path}");
        let none = json!({"nodes": ["zz"], "verbose_level": "x"});
        let request = anna.request(method.parse().unwrap(), path).json(&none);
        let text = "Invalid node list -- Parameter 'nodes': The node 'zz' does not exist\n";
        assert_eq!(Answer::to(request).await.refused_with(2, &[]).text, text, "{path}");
    }
}
