//! A service whose machines are simulated, from the outside.

use crate::common::{Service, Site, wid};
use serde_json::json;

const CLUSTERS: &str = "clusters:
- {name: alpha, conf_file: sim.conf, platform: sim, sim: {seed: 3, speed: 50},
   nodes: [{name: 'node-[1-20].lab.test', address: '127.0.1.[1-20]'}]}
- {name: beta, prefix: bt, conf_file: cluster.conf, nodes: [{name: beta-1.lab.test, address: 127.0.2.1}]}
";

const STEPS: &str = "    SetDeploymentEnv: [{type: Untrusted, timeout: 300}]
    BroadcastEnv: [{type: Chain, timeout: 300}]
    BootNewEnv: [{type: Kexec, timeout: 300}, {type: Classical, timeout: 300}]
";

/// 20 simulated machines and one of files.
fn site() -> Site {
    let site = Site::new();
    let cluster = std::fs::read_to_string(site.path("cluster.conf")).unwrap();
    let (head, _) = cluster.split_once("    SetDeploymentEnv").unwrap();
    site.write("sim.conf", &format!("{head}{STEPS}"));
    site.write("clusters.conf", CLUSTERS);
    site
}

#[tokio::test]
async fn a_service_deploys_reboots_and_switches_machines_that_do_not_exist() {
    let service = Service::on(site());
    let anna = service.user("anna");
    let body = json!({"nodes": ["node-[1-20]"], "environment": service.anonymous(json!({})), "verbose_level": 5});
    let deployment = wid(&anna.post("/deployment/", &body).await);
    let poll = anna.done(&format!("/deployment/{deployment}")).await;
    assert_eq!(poll["nodes"]["ok"].as_array().unwrap().len(), 20, "{poll}");
    assert_eq!(poll["nodes"]["ko"], json!([]));
    let logs = anna.get(&format!("/deployment/{deployment}/logs")).await.ok().text;
    for step in ["wait_reboot", "send_environment", "kexec"] {
        assert!(logs.contains(step), "{step}: {logs}");
    }

    // What a machine that does not exist says is recorded as well.
    let said = anna.get("/nodes/node-7.lab.test/console").await.ok().json();
    let text = said["text"].as_str().unwrap();
    assert!(text.contains("Linux of the deployment system") && said["wid"] == deployment, "{said}");

    let body = json!({"nodes": ["node-[1-3]"], "kind": "simple"});
    let reboot = wid(&anna.post("/reboot/", &body).await);
    let poll = anna.done(&format!("/reboot/{reboot}")).await;
    assert_eq!(poll["nodes"]["ok"].as_array().unwrap().len(), 3, "{poll}");

    for (order, state) in [("off", "off"), ("on", "on")] {
        let body = json!({"nodes": ["node-2"], "status": order, "level": "hard"});
        let power = wid(&anna.put("/power/", &body).await);
        let poll = anna.done(&format!("/power/{power}")).await;
        assert_eq!(poll["nodes"]["ko"], json!([]), "{poll}");
        let asked = wid(&anna.get("/power?nodes=node-2").await);
        anna.done(&format!("/power/{asked}")).await;
        let told = anna.get(&format!("/power/{asked}/state")).await.ok().json();
        assert_eq!(told["node-2.lab.test"]["out"], state);
    }
}

#[tokio::test]
async fn simulated_and_other_machines_are_reached_each_in_their_way() {
    let service = Service::on(site());
    let anna = service.user("anna");
    let body = json!({"nodes": ["node-1", "beta-1"], "status": "on", "level": "soft"});
    let power = wid(&anna.put("/power/", &body).await);
    let poll = anna.done(&format!("/power/{power}")).await;
    assert_eq!(poll["nodes"]["ok"].as_array().unwrap().len(), 2, "{poll}");
    assert!(service.orders("beta-1").contains(&"on".to_owned()));
}
