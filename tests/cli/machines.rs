//! Power and nodes.

use super::site::{Site, wait_for};
use serde_json::json;
use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

#[test]
fn power_is_switched_and_asked_for() {
    let service = Site::new().serve();
    service.run(&["power", "on", "-m", "n-1", "n-2"]).ended(0);
    service.run(&["power", "off", "-m", "n-2"]).ended(0);
    let ran = service.run(&["power", "status", "-m", "n-[1-2]"]).ended(0);
    assert_eq!(ran.out, "n-1.site: on\nn-2.site: off\n");
    let json = service.run(&["power", "status", "-m", "n-1", "--json"]).ended(0).json();
    assert_eq!(json["answers"], json!({"n-1.site": "on"}));
    service.run(&["power", "status", "-m", "n-1", "-l", "hard"]).ended(1);
}

#[test]
fn a_command_that_fails_is_told_with_its_reason() {
    let service = Site::new().serve();
    let ran = service.run(&["power", "on", "-m", "m-1", "n-1"]).ended(1);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "The power operation is successful on nodes",
            "n-1.site",
            "The power operation failed on nodes"
        ]
    );
    assert!(lines[3].starts_with("m-1.site (") && lines[3].contains("no power here"), "{lines:?}");
    let json = service.run(&["power", "on", "-m", "m-1", "--json"]).ended(1).json();
    assert!(json["ko"]["m-1.site"].as_str().unwrap().contains("status 3"), "{json}");
}

#[test]
fn the_nodes_that_failed_are_treated_again() {
    let service = Site::new().serve();
    let words = ["power", "on", "-m", "m-1", "n-1", "--json"];
    let first = service.run(&words).ended(1).json();
    let wid = first["wid"].as_str().unwrap();
    let ran = service.run(&["retry", wid, "--json"]).ended(0).json();
    let second = ran["wid"].as_str().unwrap();
    assert_ne!(wid, second);
    let ran = service.run(&["logs", second, "--follow"]);
    let log = format!("{}{}", ran.out, ran.err);
    assert!(log.contains("Launching a power operation on m-1.site"), "{log}");
    let ran = service.run(&["continue", second]).ended(14);
    assert!(ran.err.contains("waits at a breakpoint"), "{}", ran.err);
    service.run(&["power", "on", "-m", "n-1", "--json", "--forget"]).ended(0);
}

#[test]
fn a_reboot_that_nobody_survives_fails() {
    let service = Site::new().serve();
    let words =
        ["reboot", "-m", "m-1", "-r", "simple", "--reboot-classical-timeout", "5", "--json"];
    let json = service.run(&words).ended(1).json();
    assert!(json["ko"]["m-1.site"].as_str().unwrap().contains("no power here"), "{json}");
}

#[test]
fn nodes_are_listed() {
    let service = Site::new().serve();
    let ran = service.run(&["nodes", "--list"]).ended(0);
    assert_eq!(ran.out, "m-1.site\nn-1.site\nn-2.site\nn-3.site\n");
    assert_eq!(
        service.run(&["nodes", "--list", "-m", "n-[2-3]", "--json"]).ended(0).json(),
        json!(["n-2.site", "n-3.site"])
    );
    service.run(&["power", "on", "-m", "n-1"]).ended(0);
    let ran = service.run(&["nodes"]).ended(0);
    let lines: Vec<String> =
        ran.out.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[0], "NODE STATE USER ENVIRONMENT");
    assert_eq!(lines[1], "m-1.site never used");
    assert_eq!(lines[2], "n-1.site powered anna");
    let ran = service.run(&["nodes", "-m", "n-9"]).ended(2);
    assert!(ran.err.contains("'n-9' does not exist"), "{}", ran.err);
}

#[test]
fn what_the_service_is_and_has_is_told() {
    let service = Site::new().serve();
    let ran = service.run(&["clusters"]).ended(0);
    assert_eq!(ran.out, "one\ntwo\n");
    assert_eq!(service.run(&["clusters", "--json"]).ended(0).json(), json!(["one", "two"]));
    // What the site's file says.
    let version = "1";
    let ran = service.run(&["info"]).ended(0);
    let cluster = |name: &str| {
        format!(
            "cluster {name}\n  SetDeploymentEnv   SetDeploymentEnvDummy\n  BroadcastEnv       BroadcastEnvDummy\n  \
             BootNewEnv         BootNewEnvDummy\n  filesystems        ext2, ext4\n"
        )
    };
    let wanted =
        format!("version {version}\nboot method PXElinux\n{}{}", cluster("one"), cluster("two"));
    assert_eq!(ran.out, wanted);
    let json = service.run(&["info", "--json"]).ended(0).json();
    assert_eq!((&json["version"], &json["info"]["pxe"]), (&json!(version), &json!("PXElinux")));
    service.run(&["power", "on", "-m", "n-1", "m-1"]).ended(1);
    let ran = service.run(&["metrics"]).ended(0);
    let counted = "kadence_nodes_total{kind=\"power\",outcome=\"ok\"}";
    assert!(ran.out.contains(&format!("\n{counted} 1\n")), "{}", ran.out);
    assert_eq!(service.run(&["metrics", "--json"]).ended(0).json()[counted], json!(1.0));
}

#[test]
fn where_the_nodes_of_an_operation_are_is_told() {
    let service = Site::new().serve();
    let words = ["power", "on", "-m", "n-1", "m-1", "--json"];
    let wid = service.run(&words).ended(1).json()["wid"].as_str().unwrap().to_owned();
    let ran = service.run(&["operations"]).ended(0);
    let row = ran.out.lines().nth(1).unwrap();
    assert!(row.starts_with(&wid) && row.ends_with(" ended  1 ok, 1 failed"), "{row}");
    let ran = service.run(&["operations", &wid]).ended(0);
    let rows: Vec<Vec<&str>> = ran.out.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NODE", "STATE", "STEP", "ERROR"]);
    assert_eq!(rows[1][..3], ["m-1.site", "ko", "On/power"]);
    assert!(ran.out.lines().nth(1).unwrap().contains("no power here"), "{}", ran.out);
    assert_eq!(rows[2][..], ["n-1.site", "ok"]);
    let json = service.run(&["operations", &wid, "--json"]).ended(0).json();
    assert_eq!(
        (&json["n-1.site"]["state"], &json["m-1.site"]["state"]),
        (&json!("ok"), &json!("ko"))
    );
    let ran = service.run(&["operations", "P-0"]).ended(1);
    assert!(ran.err.contains("Invalid workflow ID"), "{}", ran.err);
    let ran = service.run(&["operations", "nonsense"]).ended(1);
    assert!(ran.err.contains("ids begin with D-, R- or P-"), "{}", ran.err);
}

#[test]
fn consoles_are_listed_and_closed() {
    let site = Site::new();
    let cluster = std::fs::read_to_string(site.path("one.conf")).unwrap();
    let console =
        "  console: [{name: soft, cmd: 'echo this is HOSTNAME_SHORT; exec cat'}]\nautomata:";
    site.write("one.conf", &cluster.replace("automata:", console));
    let service = site.serve();
    assert_eq!(service.run(&["console", "--list", "--json"]).ended(0).json(), json!([]));
    let mut command = service.user(&["console", "n-1"]);
    let mut attached = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(attached.stdout.take().unwrap()).lines();
    wait_for(&mut lines, "this is n-1");
    let json = service.run(&["console", "--list", "--json"]).ended(0).json();
    let wid = json[0]["id"].as_str().unwrap().to_owned();
    let ran = service.run(&["console", "--list"]).ended(0);
    let rows: Vec<Vec<&str>> = ran.out.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ID", "USER", "NODE", "STATE", "AT"]);
    assert_eq!(rows[1][..4], [&wid, "anna", "n-1.site", "attached"]);
    assert!(rows[1][4].starts_with("tcp://") && rows.len() == 2, "{}", ran.out);
    assert_eq!(service.run(&["cancel", &wid]).ended(0).out, format!("{wid}: closed\n"));
    assert!(attached.wait().unwrap().success());
    assert_eq!(service.run(&["console", "--list", "--json"]).ended(0).json(), json!([]));
    let ran = service.run(&["cancel", &wid]).ended(1);
    assert!(ran.err.contains("Invalid workflow ID"), "{}", ran.err);
    assert_ne!(service.run(&["console"]).code, 0);
}

#[test]
fn every_kind_of_reboot_can_be_asked_for() {
    let service = Site::new().serve();
    let file = service.environment("deb");
    service.run(&["env", "add", file]).ended(0);
    service.write("profile", "default NODE_SINGULARITY\n");
    service.write("pattern", "n-1.site,42\n");
    service.write("kernel", "a kernel");
    let dry =
        |words: &[&str]| service.run(&[&["reboot", "-m", "n-1", "--dry-run"], words].concat());
    for words in [
        &["-r", "simple"][..],
        &["-r", "deploy_env"],
        &["-r", "set_pxe", "-w", "profile", "--set-pxe-pattern", "pattern", "-x", "kernel"],
        &["-r", "recorded_env", "-e", "deb", "--env-version", "1", "-p", "3"],
        &["-r", "recorded_env", "-e", "deb", "-u", "anna", "-p", "3", "-b", "/dev/sda", "-c"],
    ] {
        let ran = dry(words).ended(0);
        assert!(ran.out.starts_with("nothing was started"), "{words:?}: {}", ran.out);
    }
    for (words, said) in [
        (&["-r", "set_pxe"][..], "pxe"),
        (&["-r", "recorded_env", "-p", "3"], "environment"),
        (&["-r", "recorded_env", "-e", "none", "-p", "3"], "none"),
        (&["-r", "simple", "-x", "kernel"], "--set-pxe-profile"),
        (&["-r", "set_pxe", "-w", "profile", "--set-pxe-pattern", "profile"], "HOSTNAME,VALUE"),
        // The site has no networks.
        (&["-r", "simple", "--vlan", "7"], "vlan"),
    ] {
        let ran = dry(words);
        assert!(
            ran.code != 0 && ran.err.to_lowercase().contains(&said.to_lowercase()),
            "{words:?}: {ran:?}"
        );
    }
    let deploy = ["deploy", "-e", "deb", "-m", "n-1", "-w", "profile", "-x", "kernel", "--dry-run"];
    service.run(&deploy).ended(0);
    let refused = service.run(&[&deploy[..], &["--vlan", "7"]].concat());
    assert!(refused.code != 0 && refused.err.to_lowercase().contains("vlan"), "{refused:?}");
}
