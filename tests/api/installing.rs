//! What goes wrong on a node that is reached by ssh: told by the node, with the way out, on
//! the command line and by the API. The node's system is this machine.

use crate::common::{Guest, Loop, Service, Site};
use serde_json::Value;
use std::process::Command;

/// All on the node, nothing booted at the end.
const INSTALL: &str =
    "SetDeploymentEnv|Untrusted:0:60&BroadcastEnv|Chain:0:60&BootNewEnv|Dummy:0:60";
/// Only the image and what it must hold.
const BROADCAST: &str = "SetDeploymentEnv|Dummy:0:60&BroadcastEnv|Chain:0:60&BootNewEnv|Dummy:0:60";

/// A description whose image has neither kernel nor ramdisk.
fn environment(site: &Site, kind: &str) {
    site.write("motd", "hello\n");
    let mut tar = Command::new("tar");
    tar.args(["-czf", "image.tgz", "motd"]).current_dir(site.dir());
    assert!(tar.status().unwrap().success());
    site.write(
        "env.yaml",
        &format!(
            "name: debian\nversion: 1\nos: linux\nfilesystem: ext4\n\
             image: {{file: image.tgz, kind: {kind}, compression: gzip}}\n\
             boot: {{kernel: /boot/vmlinuz, initrd: /boot/initrd.img}}\n"
        ),
    );
}

/// Why node-1 failed in a deployment with `words`, as the command line and the API say.
async fn reason(service: &Service, steps: &str, words: &[&str]) -> String {
    let mut all =
        vec!["deploy", "-a", "env.yaml", "-m", "node-1", "--json", "--force-steps", steps];
    all.extend(words);
    let (code, out, err) = service.cli(&all).await;
    assert_eq!(code, 1, "{out}{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    let reason = told["ko"]["node-1.lab.test"].as_str().unwrap().to_owned();
    let anna = service.user("anna");
    let wid = told["wid"].as_str().unwrap();
    let state = anna.get(&format!("/deployment/{wid}/state")).await.ok().json();
    assert_eq!(state["node-1.lab.test"]["error"], reason);
    let node = anna.get("/nodes/node-1.lab.test").await.ok().json();
    assert_eq!(node["state"], "deploy_failed");
    reason
}

#[track_caller]
fn says(reason: &str, words: &[&str]) {
    for word in words {
        assert!(reason.contains(word), "{word:?} is not in {reason:?}");
    }
}

#[tokio::test]
async fn a_kernel_that_is_not_in_the_image_is_named() {
    let site = Site::new();
    let guest = Guest::on(&site);
    environment(&site, "tar");
    guest.boot();
    let service = Service::on(site);
    let why = reason(&service, BROADCAST, &[]).await;
    let place = service.path("mnt/boot/vmlinuz");
    says(&why, &["BroadcastEnvChain-check_kernel_files: "]);
    says(&why, &["Environment kernel file /boot/vmlinuz not found in tarball"]);
    says(&why, &[place.to_str().unwrap(), "boot/kernel of the description"]);
    // The image itself has arrived: the relay is a real one.
    assert_eq!(std::fs::read_to_string(service.path("mnt/motd")).unwrap(), "hello\n");

    std::fs::create_dir_all(service.path("mnt/boot")).unwrap();
    service.write("mnt/boot/vmlinuz", "a kernel");
    let why = reason(&service, BROADCAST, &[]).await;
    says(&why, &["Environment initrd file /boot/initrd.img", "boot/initrd of the description"]);
}

#[tokio::test]
async fn a_disk_that_is_too_small_is_named_and_left_as_it_is() {
    let site = Site::new();
    let _guest = Guest::on(&site);
    environment(&site, "tar");
    let disk = Loop::new(&site.path("disk"), 64);
    let before = std::fs::read(site.path("disk")).unwrap();
    let service = Service::on(site);
    let why = reason(&service, INSTALL, &["-b", &disk.0, "-p", "3"]).await;
    says(&why, &["SetDeploymentEnvUntrusted-create_partition_table: partitioning: "]);
    says(&why, &[&format!("disk {} has 64 MiB, this layout needs", disk.0), "deploy at least"]);
    says(&why, &["take a larger disk, or smaller sizes in the partitioning script"]);
    assert!(std::fs::read(service.path("disk")).unwrap() == before, "something was written");
}

#[tokio::test]
async fn a_disk_that_is_not_there_is_named_with_those_that_are() {
    let site = Site::new();
    let _guest = Guest::on(&site);
    environment(&site, "tar");
    let disk = Loop::new(&site.path("disk"), 64);
    let service = Service::on(site);
    let why = reason(&service, INSTALL, &["-b", "/dev/kadence-none", "-p", "3"]).await;
    says(&why, &["there is no disk /dev/kadence-none on this node; it has: ", "with -b"]);
    says(&why, &[disk.0.strip_prefix("/dev/").unwrap()]);
}

#[tokio::test]
async fn a_partition_that_does_not_exist_is_named_and_not_made() {
    let site = Site::new();
    let guest = Guest::on(&site);
    environment(&site, "tar");
    let disk = Loop::new(&site.path("disk"), 64);
    let partition = format!("{}p9", disk.0);
    guest.boot();
    let service = Service::on(site);
    let words = ["-b", &disk.0, "-p", "9", "--disable-disk-partitioning"];
    let known = ["there is no partition", &partition, "on this node", "(-p)"];
    // The system that runs is the one that ran before: the first macro-step is left out, and
    // its steps are done without a reboot.
    environment(&service, "dd");
    let why = reason(&service, BROADCAST, &words).await;
    says(&why, &["BroadcastEnvChain-send_environment: "]);
    says(&why, &known);
    assert!(!std::path::Path::new(&partition).exists(), "the image became a file in /dev");
}

#[tokio::test]
async fn a_partition_to_be_formatted_that_does_not_exist_is_named() {
    let site = Site::new();
    let _guest = Guest::on(&site);
    environment(&site, "tar");
    let disk = Loop::new(&site.path("disk"), 64);
    let partition = format!("{}p9", disk.0);
    let service = Service::on(site);
    let words = ["-b", &disk.0, "-p", "9", "--disable-disk-partitioning"];
    let why = reason(&service, INSTALL, &words).await;
    says(&why, &["SetDeploymentEnvUntrusted-format_deploy_part: there is no partition"]);
    says(&why, &[&partition, "on this node", "(-p)", &format!("What it has: {}", disk.0)]);
}

#[tokio::test]
async fn a_node_that_never_boots_is_told_with_what_was_last_seen() {
    let site = Site::new();
    environment(&site, "tar");
    let service = Service::on(site);
    let why = reason(&service, INSTALL, &["--reboot-classical-timeout", "2"]).await;
    says(&why, &["SetDeploymentEnvUntrusted-wait_reboot: Unreachable after the reboot: "]);
    says(&why, &["nothing listens on its ssh port", "asked none of our boot servers"]);
    says(&why, &["Look at its console", "kadence power status -m node-1.lab.test"]);
    assert_eq!(service.orders("node-1").iter().filter(|order| *order == "on").count(), 1);
}
