//! `kadence simulate`.

use super::site::{Ran, kadence};
use crate::common::Site;

fn simulate(words: &[&str]) -> Ran {
    let mut command = kadence();
    command.arg("simulate").args(words);
    Ran::of(command.output().unwrap())
}

#[test]
fn the_same_words_give_the_same_report() {
    let words = ["--nodes", "12", "--seed", "4", "--faults", "0.02", "--json"];
    let [first, second] = [simulate(&words).ended(0), simulate(&words).ended(0)];
    assert_eq!(first.out, second.out);
    let report = first.json();
    assert_eq!(report["nodes"], 12, "{report}");
    assert_eq!(report["broken"], serde_json::json!([]));
    assert!(report["seconds"].as_f64().unwrap() > 60.0, "{report}");
    let other = simulate(&["--nodes", "12", "--seed", "5", "--faults", "0.02", "--json"]).json();
    assert_ne!(other["journal"]["sha256"], report["journal"]["sha256"]);
}

#[test]
fn people_read_causes_times_and_sizes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("faults.yaml");
    std::fs::write(&file, "disk: {small: {count: 2}}\n").unwrap();
    let ran = simulate(&["--nodes", "6", "--faults", file.to_str().unwrap()]).ended(0);
    for words in [
        "seed 1: 6 nodes, 4 ok, 2 ko",
        "2  SetDeploymentEnvUntrusted-create_partition_table: partitioning: disk /dev/sda: it has # MiB",
        "BroadcastEnvChain",
        "actions per node: power",
        "journal: ",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    let ran = simulate(&["--mixed", "--seeds", "3"]).ended(0);
    assert!(ran.out.contains("3 of 3 seeds held all invariants"), "{}", ran.out);
}

#[test]
fn a_mistake_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("faults.yaml");
    std::fs::write(&file, "bmc: {mute: 0.5}\n").unwrap();
    let ran = simulate(&["--faults", file.to_str().unwrap()]).ended(1);
    assert!(ran.err.contains("mute") && ran.err.contains("bmc/silent"), "{}", ran.err);
    let ran = simulate(&["--faults", "often"]).ended(1);
    assert!(ran.err.contains("neither a rate nor a file"), "{}", ran.err);
    let ran = simulate(&["--faults", "1.5"]).ended(1);
    assert!(ran.err.contains("a chance is from 0 to 1"), "{}", ran.err);
    simulate(&["--mixed", "--nodes", "3"]).ended(1);
}

#[test]
fn the_commands_of_a_site_are_not_run() {
    let site = Site::new();
    site.edit(
        "cluster.conf",
        "    SetDeploymentEnv: [{type: Dummy, timeout: 300}]\n",
        "    SetDeploymentEnv: [{type: Untrusted, timeout: 600}]\n",
    );
    site.edit("cluster.conf", "BroadcastEnv: [{type: Dummy", "BroadcastEnv: [{type: Chain");
    site.edit("cluster.conf", "BootNewEnv: [{type: Dummy", "BootNewEnv: [{type: Kexec");
    site.edit("cluster.conf", "timeouts:", "kexec: {server_precmd: 'touch DIR/ran'}\ntimeouts:");
    site.edit("cluster.conf", "{reboot: 60, kexec: 60}", "{reboot: 300, kexec: 60}");
    site.write("extra.tgz", "an archive");
    site.edit(
        "cluster.conf",
        "timeouts:",
        "preinstall: {files: [{file: DIR/extra.tgz, format: tgz, script: none}]}\ntimeouts:",
    );
    let dir = site.dir().to_str().unwrap();
    let ran = simulate(&["--config-dir", dir, "--nodes", "2"]).ended(0);
    assert!(ran.out.contains("2 nodes, 2 ok, 0 ko"), "{ran:#?}");
    assert!(ran.out.contains("BootNewEnvKexec"), "{ran:#?}");
    assert!(!site.path("ran").exists(), "{ran:#?}");
}
