//! Reboots: the site's own command, then the node is waited for.

use crate::common::{Service, Site, free_port, wid};
use serde_json::json;
use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::{sleep, timeout},
};

#[tokio::test]
async fn a_node_is_rebooted_by_the_sites_command_and_waited_for() {
    let site = Site::new();
    // The node's own system: its ssh port is open.
    let _ssh = TcpListener::bind(("127.0.1.1", site.ssh)).unwrap();
    let service = Service::on(site);
    let anna = service.user("anna");
    let body = json!({"nodes": ["node-1"], "kind": "simple", "verbose_level": 5});
    let created = anna.post("/reboot/", &body).await.ok();
    let id = wid(&created);
    assert!(id.starts_with("R-"));
    let path = format!("/reboot/{id}");
    let poll = anna.done(&path).await;
    assert_eq!(poll["nodes"], json!({"ok": ["node-1.lab.test"], "ko": []}));
    assert_eq!(service.orders("node-1"), ["reboot"]);
    let info = anna.get("/nodes/node-1.lab.test").await.ok().json();
    assert_eq!((&info["state"], &info["user"]), (&json!("rebooted"), &json!("anna")));
    let log = anna.get(&format!("{path}/logs")).await.ok().text;
    for text in [
        "|Launching a reboot on node-1.lab.test",
        "|Performing a Reboot[Simple] step",
        "|  reboot",
        "|   * Performing a soft reboot on node-1.lab.test",
        "|  wait_reboot",
        // A port that was open all the time proves nothing, and nobody asked for a proof.
        "|Warning: reboot not observed on node-1.lab.test",
        "|End of reboot on cluster alpha after ",
    ] {
        assert!(log.contains(text), "{text:?} is not in {log}");
    }
    anna.delete(&path).await.ok();
}

#[tokio::test]
async fn a_node_that_does_not_obey_is_ko_with_the_reason() {
    let service = Service::new();
    let anna = service.user("anna");
    service.write("power/node-1.lab.test.broken", "");
    let created = anna.post("/reboot", &json!({"nodes": ["node-1"], "kind": "simple"})).await;
    let path = format!("/reboot/{}", wid(&created));
    let poll = anna.done(&path).await;
    assert_eq!(poll["nodes"], json!({"ok": [], "ko": ["node-1.lab.test"]}));
    let state = anna.get(&format!("{path}/state")).await.ok().json();
    let why = state["node-1.lab.test"]["error"].as_str().unwrap();
    assert!(why.starts_with("Simple-reboot: ") && why.contains("lost its mains cable"), "{why}");
    assert_eq!(anna.get("/nodes/node-1.lab.test").await.ok().json()["state"], "reboot_failed");
}

#[tokio::test]
async fn no_more_nodes_are_rebooted_at_once_than_the_window_lets_through() {
    let site = Site::new();
    site.edit("server.conf", "{reboot: {quiet_time: 0}}", "{reboot: {size: 1, quiet_time: 0}}");
    let nodes = ["node-1", "node-2", "node-3"];
    for node in nodes {
        site.hold(node);
    }
    let service = Service::on(site);
    let anna = service.user("anna");
    let body = json!({"nodes": ["node-[1-3]"], "kind": "simple"});
    let path = format!("/reboot/{}", wid(&anna.post("/reboot", &body).await.ok()));
    let ordered = || {
        let with = nodes.iter().filter(|node| !service.orders(node).is_empty());
        with.copied().collect::<Vec<&str>>()
    };
    let mut before = Vec::new();
    for many in 1..=3 {
        let waiting = async {
            while ordered().len() < many {
                sleep(Duration::from_millis(10)).await;
            }
            // Whoever was let through beside it would have had his order by now.
            sleep(Duration::from_millis(500)).await;
        };
        timeout(Duration::from_secs(100), waiting).await.expect("the next has its turn");
        let now = ordered();
        assert_eq!(now.len(), many, "{now:?}");
        let next = now.into_iter().find(|node| !before.contains(node)).unwrap();
        before.push(next);
        service.release(next);
    }
    anna.delete(&path).await.ok();
}

#[tokio::test]
async fn where_a_proof_is_required_a_node_without_one_is_ko() {
    let site = Site::new();
    site.edit("clusters.conf", "name: alpha,", "name: alpha, require_reboot_proof: true,");
    let _ssh = TcpListener::bind(("127.0.1.1", site.ssh)).unwrap();
    let service = Service::on(site);
    let anna = service.user("anna");
    let created = anna.post("/reboot", &json!({"nodes": ["node-1"], "kind": "simple"})).await;
    let path = format!("/reboot/{}", wid(&created));
    assert_eq!(anna.done(&path).await["nodes"]["ko"], json!(["node-1.lab.test"]));
    let state = anna.get(&format!("{path}/state")).await.ok().json();
    let why = state["node-1.lab.test"]["error"].as_str().unwrap();
    assert!(why.contains("reboot not observed (require_reboot_proof"), "{why}");
}

/// Nothing but its request to our boot server says that the node went through its firmware: its ssh
/// port is open all along.
#[tokio::test]
async fn a_request_to_a_boot_server_after_the_order_is_a_proof() {
    let site = Site::new();
    site.edit("clusters.conf", "name: alpha,", "name: alpha, require_reboot_proof: true,");
    site.edit("cluster.conf", "sleep_time_before_ping: 0", "sleep_time_before_ping: 300");
    let boot = SocketAddr::from(([127, 0, 0, 1], free_port()));
    site.edit("server.conf", "pxe:\n", &format!("netboot: {{http: '{boot}'}}\npxe:\n"));
    let _ssh = TcpListener::bind(("127.0.1.1", site.ssh)).unwrap();
    let service = Service::on(site);
    let anna = service.user("anna");
    let created = anna
        .post("/reboot", &json!({"nodes": ["node-1"], "kind": "simple", "verbose_level": 5}))
        .await;
    let path = format!("/reboot/{}", wid(&created));
    // What came before the order had been given could still be of the old system.
    anna.shows(&format!("{path}/logs"), "|  wait_reboot").await;
    let poll = anna.get(&path).await.ok().json();
    assert_eq!(poll["nodes"]["ok"], json!([]), "nothing proves it yet");
    request(boot, "/pxelinux.cfg/7F000101").await;
    assert_eq!(anna.done(&path).await["nodes"]["ok"], json!(["node-1.lab.test"]));
}

/// What the boot loader of `node-1` asks a boot server.
async fn request(server: SocketAddr, path: &str) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 1, 1], 0).into()).unwrap();
    let mut stream = socket.connect(server).await.unwrap();
    let text = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
}

#[tokio::test]
async fn what_is_not_recorded_is_not_taken_for_what_is() {
    let service = Service::new();
    let anna = service.user("anna");
    let mut description = service.description();
    description["destructive"] = json!(true);
    anna.post("/environments", &json!({"environment": description})).await.ok();
    let recorded = json!({"user": "anna", "name": "debian", "version": 1});
    let reboot = json!({"nodes": ["node-1"], "kind": "recorded_env", "check_destructive": true,
        "environment": recorded, "deploy_partition": "3", "dry_run": true});
    // Of the same name, version and owner.
    for environment in [service.anonymous(json!({})), recorded] {
        let body = json!({"nodes": ["node-1"], "environment": environment});
        let path = format!("/deployment/{}", wid(&anna.post("/deployment", &body).await));
        assert_eq!(anna.done(&path).await["nodes"]["ok"], json!(["node-1.lab.test"]));
        let answer = anna.post("/reboot", &reboot).await;
        if environment["kind"] == "anonymous" {
            assert_eq!(answer.ok().text, "\n");
        } else {
            answer.refused_with(30, &["node-1.lab.test"]);
        }
    }
}
