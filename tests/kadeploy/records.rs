//! `kanodes3`, `kastat3` and `karights3`.

use super::{
    programs::Place,
    stub::{Answer, Stub},
};
use serde_json::json;

const NODES: [&str; 2] = ["node-1.testbed.lan", "node-2.testbed.lan"];

fn begun() -> (Stub, Place) {
    let stub = Stub::new(&NODES);
    let place = Place::new(&[("main", stub.port)]);
    (stub, place)
}

fn yaml(text: &str) -> Answer {
    Answer::of("application/x-yaml; charset=\"UTF-8\"", text).packed()
}

#[test]
fn what_runs_is_told_word_for_word() {
    let (stub, place) = begun();
    let text = "---\n- :wid: P-c75056b4-6149-41a8-91ea-5d1a7295142f\n  :user: root\n  :done: false\n  :nodes:\n    :ok: []\n";
    for (words, what) in [
        ("-d", "GET /deployment?"),
        ("-r", "GET /reboot?"),
        ("-p", "GET /power?"),
        ("-c", "GET /console?"),
        ("-d -w D-1", "GET /deployment/D-1?"),
        ("-s", "GET /nodes"),
        ("-s -m node-[1-2]", "GET /nodes?nodes=node-1&nodes=node-2"),
    ] {
        stub.gives(what, yaml(text));
        let ran = place.run(&format!("kanodes3 {words}")).ended(0);
        assert_eq!(ran.out, text);
        assert_eq!(stub.request(what).header("Accept"), Some("application/x-yaml"), "{what}");
    }
}

#[test]
fn all_that_runs_is_one_list() {
    let (stub, place) = begun();
    stub.gives("GET /deployment?", Answer::json(&json!([{"wid": "D-1", "done": false}])));
    stub.gives("GET /reboot?", Answer::json(&json!([])));
    stub.gives("GET /power?", Answer::json(&json!([{"wid": "P-1", "nodes": {"ok": ["a"]}}])));
    stub.gives("GET /console?", Answer::json(&json!([])));
    let ran = place.run("kanodes3 -a").ended(0);
    assert_eq!(ran.out, "---\n- wid: D-1\n  done: false\n- wid: P-1\n  nodes:\n    ok:\n    - a\n");
    assert_eq!(stub.request("GET /power?").header("Accept"), Some("application/json"));
    for (words, told) in [
        ("", "You must choose an action"),
        ("-a -d", "You can only choose one action"),
        ("-s -w D-1", "-w cannot be used with -s"),
        ("-d -m node-1", "Nodes can only be used with -s"),
    ] {
        place.run(&format!("kanodes3 {words}")).told(1, told);
    }
    stub.gives("GET /deployment/D-9?", Answer::error(1, "Invalid workflow ID\n"));
    place.run("kanodes3 -d -w D-9").told(1, "Invalid workflow ID\n[Kadeploy Error #1]");
}

#[test]
fn statistics_are_rows_or_rates() {
    let (stub, place) = begun();
    let rows = "D-1,root,node-1.testbed.lan,true,\n";
    let csv = Answer::of("text/csv", rows).packed();
    let whole = "GET /stats/deploy?kind=all&nodes=node-1&fields=wid&fields=user&limit=1&sort=start&sort=wid\
        &date_min=Mon%2C+30+Nov+2026+11%3A34%3A56+GMT&date_max=Mon%2C+30+Nov+2026+12%3A34%3A56+GMT\
        &wid=D-1&min_retries=2&step_retries=1&step_retries=3";
    stub.gives(whole, csv.clone());
    let line = "kastat3 -a -o deploy -m node-1 -F wid,user -l 1 --sort start,wid -x '2026-11-30 12:34:56' \
        -y '2026-11-30 13:34:56' -w D-1 -r 2 -s 1,3";
    let output = place.shell(line).env("TZ", "Etc/GMT-1").output().unwrap();
    let ran = super::programs::Ran::of(output).ended(0);
    assert_eq!(ran.out, rows);
    stub.gives("GET /stats?kind=all", csv);
    assert_eq!(place.run("kastat3 --all").ended(0).out, rows);
    let rates = json!({"beta-1.testbed.lan": 0.5, "node-1.testbed.lan": 0.0});
    for (words, what) in [
        ("-b", "GET /stats?kind=failure_rates"),
        ("-b 0.25", "GET /stats?kind=failure_rates&min_failure_rate=0.25"),
    ] {
        stub.gives(what, Answer::json(&rates));
        let ran = place.run(&format!("kastat3 {words}")).ended(0);
        assert_eq!(ran.out, "beta-1.testbed.lan: 0.5\nnode-1.testbed.lan: 0.0\n");
    }
    for (words, told) in [
        ("", "You must choose an action"),
        ("-a -b", "You can only choose one action"),
        ("-a -o install", "Option parsing error: invalid argument: --operation install"),
        ("-a -x yesterday", "Option parsing error: invalid argument: --date-min yesterday"),
        ("-a -s 4", "Option parsing error: invalid argument: --retry-steps 4"),
        ("-a --limit x", "Option parsing error: invalid argument: --limit x"),
        ("-a -r x", "Option parsing error: invalid argument: --min-retries x"),
        ("-b x", "Option parsing error: invalid argument: --failure-rate x"),
    ] {
        place.run(&format!("kastat3 {words}")).told(1, told);
    }
}

#[test]
fn rights_are_given_taken_and_listed() {
    let (stub, place) = begun();
    stub.gives("POST /rights/", Answer::json(&json!({})));
    stub.gives("DELETE /rights/bert", Answer::json(&json!({})));
    for (words, what, body) in [
        (
            "-a -u bert -m node-1 -p /dev/sda3 -p /dev/sda4",
            "POST /rights/",
            r#"{"username":"bert","partitions":["/dev/sda3","/dev/sda4"],"nodes":["node-1"]}"#,
        ),
        ("-a -u bert -m '*' -p '*' -o", "POST /rights/", r#"{"overwrite":true,"username":"bert"}"#),
        (
            "-a -u bert -f nodes",
            "POST /rights/",
            r#"{"username":"bert","nodes":["node-1","node-2"]}"#,
        ),
        ("-d -u bert -m node-2 -p '*'", "DELETE /rights/bert", r#"{"nodes":["node-2"]}"#),
        ("-d -u bert", "DELETE /rights/bert", "{}"),
    ] {
        place.write("nodes", "node-[1-2]\n");
        let before = stub.asked().len();
        let output = place.shell(&format!("karights3 {words}")).output().unwrap();
        super::programs::Ran::of(output).told(0, "");
        let asked = stub.asked();
        let sent = asked[before..].iter().find(|asked| asked.what == what).unwrap();
        assert_eq!(sent.body, body, "{words}");
    }
    let parts = ["/dev/sda3", "/dev/sda4", "/dev/nvme0n1p5"];
    let rights = json!({"bert": {"node-1.testbed.lan": parts, "*": ["*"]}});
    for (words, what) in [("-l", "GET /rights?"), ("-l -u bert", "GET /rights/bert?")] {
        stub.gives(what, Answer::json(&rights));
        let ran = place.run(&format!("karights3 {words}")).ended(0);
        let text = "User            Node                                      Partitions
####            ####                                      ##########
bert            node-1.testbed.lan                        /dev/sda3,/dev/sda4,/dev/nvme0n1p5
bert            *                                         *
";
        assert_eq!(ran.out, text);
    }
    for (words, told) in [
        ("", "You must choose an action"),
        ("-a -d -u bert", "You can only choose one action"),
        ("-a -m node-1", "You must choose a user: use -u"),
        ("-l -m node-1", "Nodes and partitions cannot be used with -l"),
    ] {
        place.run(&format!("karights3 {words}")).told(1, told);
    }
    let denied = Answer::text("Forbidden -- Only administrators are allowed to manage rights\n");
    stub.gives("GET /rights/carl?", denied.status(403));
    let told = "Forbidden -- Only administrators are allowed to manage rights\n[HTTP Error #403 on GET /rights/carl]";
    place.run("karights3 -l -u carl").told(2, told);
}
