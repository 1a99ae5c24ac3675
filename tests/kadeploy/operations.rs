//! `kareboot3` and `kapower3`.

use super::{
    programs::Place,
    stub::{Answer, Operation, Stub, ended},
};
use serde_json::json;

const NODES: [&str; 2] = ["node-1.testbed.lan", "node-2.testbed.lan"];

fn begun() -> (Stub, Place) {
    let stub = Stub::new(&NODES);
    let place = Place::new(&[("main", stub.port)]);
    (stub, place)
}

#[test]
fn nodes_are_rebooted() {
    let (stub, place) = begun();
    let polls = vec![ended(&NODES[..1], &NODES[1..])];
    let state = json!({"node-2.testbed.lan": {"state": "ko", "error": "Simple-wait_reboot: Unreachable after the reboot"}});
    stub.operation(
        "POST /reboot/",
        "R-1",
        &Operation { polls, logs: vec!["1.0|x\n\n"], state, ..Operation::default() },
    );
    let ran = place.run("kareboot3 -m node-[1-2] -l hard").ended(0);
    assert_eq!(
        stub.request("POST /reboot/").body,
        r#"{"kind":"simple","level":"hard","nodes":["node-1","node-2"]}"#
    );
    let text = "Reboot operation #R-1 started
x
Reboot operation #R-1 done

The reboot operation is successful on nodes
node-1.testbed.lan
The reboot operation failed on nodes
node-2.testbed.lan (Simple-wait_reboot: Unreachable after the reboot)
";
    assert_eq!(ran.out, text);
}

#[test]
fn each_kind_of_reboot_has_its_fields() {
    let (stub, place) = begun();
    stub.gives("POST /reboot/", Answer::text("\n"));
    stub.gives(
        "GET /environments?version=2&username=root&name=deb",
        Answer::json(&json!([{"user": "root", "name": "deb", "version": 2, "image": {"file": "server:///i"}}])),
    );
    place.write("profile", "x\n");
    for (words, body) in [
        (
            "-r set_pxe -w profile --vlan 3",
            r#""kind":"set_pxe","pxe":{"profile":"x\n"},"vlan":"3","#,
        ),
        (
            "-r deploy_env -k server:///k",
            r#""kind":"deploy_env","ssh_authorized_keys":"server:///k","#,
        ),
        (
            "-r recorded_env -e deb -u root --env-version 2 -p 3 -b /dev/sda -c --reboot-classical-timeout 9",
            r#""kind":"recorded_env","check_destructive":true,"environment":{"user":"root","name":"deb","version":2},"deploy_partition":"3","block_device":"/dev/sda","timeout_reboot_classical":"9","#,
        ),
    ] {
        let before = stub.asked().len();
        place.run(&format!("kareboot3 -m node-1 --dry-run {words}")).told(0, "");
        let asked = stub.asked();
        let sent = asked[before..].iter().find(|asked| asked.what == "POST /reboot/").unwrap();
        assert_eq!(sent.body, format!(r#"{{"dry_run":true,{body}"nodes":["node-1"]}}"#));
    }
}

#[test]
fn options_of_a_reboot_that_do_not_fit_are_refused() {
    let (stub, place) = begun();
    for (words, told) in [
        ("-r simple_reboot", "Option parsing error: invalid argument: --reboot-kind simple_reboot"),
        ("-l softly", "Option parsing error: invalid argument: --op-level softly"),
        ("-r set_pxe", "set_pxe needs a boot profile: use -w"),
        (
            "-r recorded_env -e deb",
            "recorded_env needs an environment and a partition: use -e and -p",
        ),
        ("-k key", "-k can only be used with deploy_env"),
        ("-e deb", "-e, -u and --env-version can only be used with recorded_env"),
    ] {
        place.run(&format!("kareboot3 -m node-1 {words}")).told(1, told);
    }
    assert!(stub.lines().is_empty());
}

#[test]
fn nodes_are_switched() {
    for (word, level, body) in [
        ("on", "", r#"{"status":"on","nodes":["node-1"]}"#),
        ("off", "-l very_hard", r#"{"status":"off","level":"very_hard","nodes":["node-1"]}"#),
    ] {
        let (stub, place) = begun();
        let polls = vec![ended(&NODES[..1], &[])];
        stub.operation(
            "PUT /power/",
            "P-1",
            &Operation { polls, logs: vec![""], ..Operation::default() },
        );
        let ran = place.run(&format!("kapower3 --{word} {level} -m node-1")).ended(0);
        assert_eq!(stub.request("PUT /power/").body, body);
        assert!(
            ran.out.ends_with(
                "done\n\nThe power operation is successful on nodes\nnode-1.testbed.lan\n"
            ),
            "{}",
            ran.out
        );
    }
}

#[test]
fn more_nodes_than_an_address_can_have_are_told() {
    let names: Vec<String> =
        (1..=5_000).map(|number| format!("node-{number}.testbed.lan")).collect();
    let stub = Stub::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let place = Place::new(&[("main", stub.port)]);
    let ran = place.run("kapower3 --status -m node-[1-5000]").ended(1);
    assert!(ran.err.contains("Too many nodes for one request: "), "{}", ran.err);
    assert!(!stub.lines().iter().any(|line| line.contains("/power")), "{:?}", stub.lines());
}

#[test]
fn nodes_are_asked_for_their_power() {
    let (stub, place) = begun();
    let polls = vec![ended(&NODES[..1], &NODES[1..])];
    let state = json!({
        "node-1.testbed.lan": {"macro": null, "micro": null, "state": "ok", "out": "node-1 is up\n"},
        "node-2.testbed.lan": {"macro": "Status", "micro": "power", "state": "ko", "error": "no"},
    });
    let logs = vec!["1.1|End of power operation on cluster alpha after 1s\n\n"];
    stub.operation(
        "GET /power?nodes=node-1&nodes=node-2",
        "P-1",
        &Operation { polls, logs, state, ..Operation::default() },
    );
    let ran = place.run("kapower3 --status -m node-1 -m node-2").ended(0);
    let text = "Power operation #P-1 started
End of power operation on cluster alpha after 1s
---
node-1.testbed.lan: node-1 is up
---
Power operation #P-1 done

The power operation is successful on nodes
node-1.testbed.lan
The power operation failed on nodes
node-2.testbed.lan (no)
";
    assert_eq!(ran.out, text);
    assert_eq!(stub.request("GET /power?nodes=node-1&nodes=node-2").body, "");
    for (words, told) in [
        ("", "You must choose one of --on, --off and --status"),
        ("--on --off", "You must choose one of --on, --off and --status"),
        ("--status -l soft", "-l cannot be used with --status"),
    ] {
        place.run(&format!("kapower3 -m node-1 {words}")).told(1, told);
    }
}
