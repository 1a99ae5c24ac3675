//! Commands of the site that run on the server: networks that nodes are moved to, profiles that
//! a program writes, what comes before kexec. The machines are simulated.

use crate::common::{Service, Site, wid};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt};

const CLUSTERS: &str = "clusters:
- {name: alpha, conf_file: sim.conf, platform: sim, sim: {seed: 3, speed: 50},
   nodes: [{name: 'node-[1-2].lab.test', address: '127.0.1.[1-2]'}]}
- {name: beta, prefix: bt, conf_file: cluster.conf, nodes: [{name: beta-1.lab.test, address: 127.0.2.1}]}
";

const STEPS: &str = "    SetDeploymentEnv: [{type: Untrusted, timeout: 300}]
    BroadcastEnv: [{type: Chain, timeout: 300}]
    BootNewEnv: [{type: Kexec, timeout: 300}]
";

/// A program of the site that writes down what it is told, and fails once there is a file for that.
fn program(site: &Site, name: &str) {
    let text = "#!/bin/sh\necho \"$* $KADEPLOY_CLUSTER\" >> DIR/NAME.log\n\
        [ ! -e DIR/NAME.broken ] || { echo no way >&2; exit 3; }\n";
    site.write(name, &text.replace("NAME", name));
    fs::set_permissions(site.path(name), fs::Permissions::from_mode(0o755)).unwrap();
}

/// A site with these in its cluster's file.
fn site(keys: &str) -> Site {
    let site = Site::new();
    for name in ["vlan", "profile", "before"] {
        program(&site, name);
    }
    let cluster = fs::read_to_string(site.path("cluster.conf")).unwrap();
    let (head, _) = cluster.split_once("    SetDeploymentEnv").unwrap();
    site.write("sim.conf", &format!("{keys}\n{head}{STEPS}"));
    site.write("clusters.conf", CLUSTERS);
    let vlan =
        "network: {vlan: {set_cmd: 'DIR/vlan VLAN_ID USER NODES', hostname_suffix: -net-VLAN_ID}, ";
    site.edit("server.conf", "network: {", vlan);
    site
}

fn log(service: &Service, name: &str) -> Vec<String> {
    let text = fs::read_to_string(service.path(&format!("{name}.log"))).unwrap_or_default();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// How a deployment with `changes` ended, and why its nodes failed.
async fn deploy(service: &Service, changes: Value) -> (Vec<Value>, String) {
    let anna = service.user("anna");
    let mut body = json!({"nodes": ["node-[1-2]"], "environment": service.anonymous(json!({}))});
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let id = wid(&anna.post("/deployment/", &body).await);
    let poll = anna.done(&format!("/deployment/{id}")).await;
    let state = anna.get(&format!("/deployment/{id}/state")).await.ok().json();
    (poll["nodes"]["ok"].as_array().unwrap().clone(), state["node-1.lab.test"]["error"].to_string())
}

#[tokio::test]
async fn nodes_are_moved_by_the_sites_command_whose_words_are_checked() {
    let service = Service::on(site(""));
    let (ok, why) = deploy(&service, json!({"vlan": "4"})).await;
    assert_eq!(ok.len(), 2, "{why}");
    let nodes = "-m node-1.lab.test -m node-2.lab.test";
    assert_eq!(log(&service, "vlan"), [format!("DEFAULT anna {nodes}"), format!("4 anna {nodes}")]);
    service.write("vlan.broken", "");
    let (ok, why) = deploy(&service, json!({"vlan": "4"})).await;
    assert!(ok.is_empty(), "{ok:?}");
    assert!(why.contains("SetDeploymentEnvUntrusted-set_vlan: Cannot set the VLAN: "), "{why}");
    assert!(why.contains("ended with status 3: no way"), "{why}");
    let anna = service.user("anna");
    let body = |nodes: &str, vlan: &str| json!({"nodes": [nodes], "environment": service.anonymous(json!({})), "vlan": vlan, "dry_run": true});
    let refused = anna.post("/deployment", &body("node-1", "4; reboot")).await;
    refused.refused_with(9, &["Invalid VLAN", "\"4; reboot\" cannot stand in a command"]);
    let refused = anna.post("/deployment", &body("beta-1", "4")).await;
    refused.refused_with(9, &["Cannot resolv beta-1-net-4.lab.test"]);
    let reboot = json!({"nodes": ["beta-1"], "kind": "simple", "vlan": "4"});
    anna.post("/reboot", &reboot).await.refused_with(9, &["Cannot resolv beta-1-net-4.lab.test"]);
}

#[tokio::test]
async fn a_program_of_the_site_writes_profiles_and_another_one_comes_before_kexec() {
    let keys = "pxe: {script: DIR/profile}\nkexec: {server_precmd: DIR/before}";
    let service = Service::on(site(keys));
    let (ok, why) = deploy(&service, json!({})).await;
    assert_eq!(ok.len(), 2, "{why}");
    let told = log(&service, "profile");
    for line in ["network node-1.lab.test alpha", "local node-2.lab.test alpha"] {
        assert!(told.contains(&line.to_owned()), "{line}: {told:?}");
    }
    assert_eq!(log(&service, "before").len(), 1, "once for a set of nodes");
    service.write("before.broken", "");
    let (ok, why) = deploy(&service, json!({})).await;
    assert!(
        ok.is_empty() && why.contains("kexec/server_precmd ended with status 3: no way"),
        "{why}"
    );
    service.write("profile.broken", "");
    let (_, why) = deploy(&service, json!({})).await;
    assert!(why.contains("Cannot perform the set_pxe_for_deploy operation: "), "{why}");
    assert!(why.contains("pxe/script for a network profile ended with status 3: no way"), "{why}");
}
