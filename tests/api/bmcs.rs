//! Nodes whose power a BMC controls, by real IPMI.

use crate::common::{IpmiSim, PASSWORD, Service, Site, USER, wid};
use serde_json::{Value, json};
use std::net::{TcpListener, UdpSocket};

/// A site whose node-1 has its BMC at `address`; its own commands only reboot, which fails,
/// as it does where nothing runs. node-2 has no BMC, and runs.
fn site(address: &str, port: u16, password: &str) -> Site {
    let site = Site::new();
    site.write("password", &format!("{password}\n"));
    let bmc = format!(
        "clusters:
- name: alpha
  conf_file: alpha.conf
  nodes:
  - name: node-1.lab.test
    address: 127.0.1.1
    bmc: {{driver: ipmi, address: {address}, port: {port}, user: {USER}, password_file: DIR/password}}
  - {{name: node-2.lab.test, address: 127.0.1.2}}
"
    );
    site.write("clusters.conf", &bmc);
    let cluster = std::fs::read_to_string(site.path("cluster.conf")).unwrap();
    let power = |line: &&str| !line.trim_start().starts_with("power_");
    let kept: Vec<&str> = cluster.lines().filter(power).collect();
    site.write("alpha.conf", &kept.join("\n"));
    site.write("power/node-1.lab.test.broken", "");
    site
}

/// How node-1 fared in an operation that the command line started and that failed: the
/// reason it was told, which is the one of the API.
async fn failed(service: &Service, words: &[&str]) -> (String, Value) {
    let (code, out, err) = service.cli(words).await;
    assert_eq!(code, 1, "{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    let reason = told["ko"]["node-1.lab.test"].as_str().unwrap().to_owned();
    let id = told["wid"].as_str().unwrap();
    let kind = if id.starts_with('P') { "power" } else { "reboot" };
    let anna = service.user("anna");
    let state = anna.get(&format!("/{kind}/{id}/state")).await.ok().json();
    assert_eq!(state["node-1.lab.test"]["error"], reason);
    assert!(!format!("{out}{err}{:?}", service.log()).contains(PASSWORD));
    (reason, anna.get(&format!("/{kind}/{id}")).await.ok().json())
}

#[tokio::test]
async fn a_node_that_is_off_is_switched_on_at_once() {
    let sim = IpmiSim::start("127.0.8.31").await;
    let service = Service::on(site("127.0.8.31", sim.port, PASSWORD));
    let anna = service.user("anna");
    let body = json!({"nodes": ["node-1"], "kind": "simple", "verbose_level": 5});
    let path = format!("/reboot/{}", wid(&anna.post("/reboot", &body).await));
    // It comes up after it was switched on.
    anna.shows(&format!("{path}/status"), "wait_reboot").await;
    let _ssh = TcpListener::bind(("127.0.1.1", service.ssh)).unwrap();
    let poll = anna.done(&path).await;
    assert_eq!(poll["nodes"], json!({"ok": ["node-1.lab.test"], "ko": []}));
    assert_eq!(std::fs::read_to_string(sim.path("log")).unwrap(), "start\n");
    assert!(service.orders("node-1").is_empty(), "nobody asked a system that does not run");
    let log = anna.get(&format!("{path}/logs")).await.ok().text;
    assert!(log.contains("   * node-1.lab.test is off: it is switched on"), "{log}");
    // Being off is the proof that it has booted since.
    assert!(!log.contains("reboot not observed"), "{log}");
}

#[tokio::test]
async fn a_silent_bmc_fails_its_node_soon_and_alone() {
    let hole = UdpSocket::bind("127.0.8.32:0").unwrap();
    let port = hole.local_addr().unwrap().port();
    let site = site("127.0.8.32", port, PASSWORD);
    let _ssh = TcpListener::bind(("127.0.1.2", site.ssh)).unwrap();
    let service = Service::on(site);
    let words = ["reboot", "-m", "node-1", "node-2", "--json"];
    let (reason, poll) = failed(&service, &words).await;
    let address = format!("Simple-reboot: the BMC at 127.0.8.32 port {port} did not answer within");
    assert!(reason.starts_with(&address), "{reason}");
    assert!(reason.ends_with("check its address and cabling"), "{reason}");
    assert_eq!(poll["nodes"]["ok"], json!(["node-2.lab.test"]));
    // Nobody left the step without an order because another one was slow to be asked.
    assert_eq!(service.orders("node-2"), ["reboot"]);
    // The system was asked; the BMC, six seconds silent, once and not at each level.
    assert_eq!(service.orders("node-1"), ["reboot"]);
    assert!(poll["time"].as_f64().unwrap() < 15.0, "{poll}");
}

#[tokio::test]
async fn a_wrong_password_is_told_with_the_key_to_change() {
    let sim = IpmiSim::start("127.0.8.33").await;
    let service = Service::on(site("127.0.8.33", sim.port, "guessed"));
    let told = format!(
        "the BMC at 127.0.8.33 port {} refused user `{USER}`: check bmc.user and bmc.password_file",
        sim.port
    );
    for words in
        [["power", "on", "-m", "node-1", "--json"], ["power", "status", "-m", "node-1", "--json"]]
    {
        let (reason, _) = failed(&service, &words).await;
        assert!(reason.ends_with(&told), "{reason}");
    }
    let (reason, _) = failed(&service, &["reboot", "-m", "node-1", "--json"]).await;
    assert!(reason.ends_with(&told), "{reason}");
    assert!(!sim.path("log").exists(), "nothing was ordered");
    // The administrator corrects it; nothing has to be started anew.
    service.write("password", PASSWORD);
    let (code, _, err) = service.cli(&["power", "on", "-m", "node-1"]).await;
    assert_eq!(code, 0, "{err}");
}
