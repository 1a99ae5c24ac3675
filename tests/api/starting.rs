//! A service that cannot start says why, and changes nothing.

use crate::common::{Service, Site, start_refused};
use serde_json::json;

#[tokio::test]
async fn a_port_in_use_is_told_and_the_first_service_notices_nothing() {
    let service = Service::new();
    let second = Site::new();
    let port = format!("kadeploy_server: {}", second.port);
    second.edit("server.conf", &port, &format!("kadeploy_server: {}", service.port));
    let text = start_refused(&second);
    let address = format!("cannot listen on 127.0.0.1:{}", service.port);
    for words in [address.as_str(), "another one", "network/ports/kadeploy_server"] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    assert!(!second.path("state/lock").exists());
    service.nobody().get("/version").await.ok();
}

#[tokio::test]
async fn a_state_directory_in_use_is_told_and_the_first_service_notices_nothing() {
    let service = Service::new();
    let second = Site::new();
    let (own, other) = (second.path("state"), service.path("state"));
    second.edit("server.conf", own.to_str().unwrap(), other.to_str().unwrap());
    let text = start_refused(&second);
    for words in
        [other.to_str().unwrap(), "is in use by process", "give this one another directory"]
    {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    let on = json!({"nodes": ["node-1"], "status": "on"});
    let anna = service.user("anna");
    let wid = crate::common::wid(&anna.put("/power", &on).await);
    anna.done(&format!("/power/{wid}")).await;
}

#[test]
fn all_mistakes_of_a_configuration_are_told_at_once() {
    let site = Site::new();
    site.edit("server.conf", "size: 64", "size: many");
    site.edit("server.conf", "method: PXElinux", "method: Floppy");
    site.edit("server.conf", "kind: dummy", "kind: none");
    site.edit("clusters.conf", "127.0.2.1", "127.0.2.999");
    site.edit("cluster.conf", "block_device: /dev/sda", "block_device: 7");
    let text = start_refused(&site);
    for (file, words) in [
        ("server.conf", "cache/size"),
        ("server.conf", "pxe/dhcp/method"),
        ("server.conf", "rights/kind"),
        ("clusters.conf", "127.0.2.999"),
        ("cluster.conf", "partitioning/block_device"),
    ] {
        assert!(text.contains(file) && text.contains(words), "{words:?} is not in {text}");
    }
    assert!(!site.path("state/lock").exists());
}

#[tokio::test]
async fn it_may_have_more_files_open_than_it_was_started_with() {
    let service = Service::new();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers[0], numbers[1].min(65_536), "{line}");
    assert!(numbers[0] > 256, "{line}: this machine allows too few to show it");
}

#[tokio::test]
async fn it_listens_on_loopback_alone_only_where_that_is_said() {
    let outside = |site: &Site| format!("http://127.0.0.2:{}/version", site.port);
    let service = Service::new();
    assert!(reqwest::get(outside(&service)).await.is_err());
    let site = service.stop();
    site.edit("server.conf", "local_only: true", "local_only: false");
    let service = Service::on(site);
    assert_eq!(reqwest::get(outside(&service)).await.unwrap().status(), 200);
    // Who comes from an address that is not trusted is not believed.
    let answer = reqwest::Client::new()
        .get(outside(&service).replace("version", "nodes"))
        .header("X-Kadeploy-User", "anna")
        .send()
        .await;
    // The connection to 127.0.0.2 comes from 127.0.0.1 or from 127.0.0.2, as the system likes.
    assert!([200, 401].contains(&answer.unwrap().status().as_u16()));
}
