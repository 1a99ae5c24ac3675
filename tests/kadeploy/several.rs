//! Several servers at once.

use super::{
    programs::Place,
    stub::{Answer, Operation, Stub, ended},
};
use serde_json::json;

/// Two servers that have `node-2` in common, and one that is down.
fn begun() -> (Stub, Stub, Place) {
    let one = Stub::new(&["node-1.testbed.lan", "node-2.testbed.lan"]);
    let two = Stub::new(&["node-2.testbed.lan", "node-3.testbed.lan"]);
    let place = Place::new(&[("one", one.port), ("down", 1), ("second-one", two.port)]);
    (one, two, place)
}

#[test]
fn nodes_go_to_the_servers_that_have_them() {
    let (one, two, place) = begun();
    for (stub, wid, node) in
        [(&one, "P-1", "node-2.testbed.lan"), (&two, "P-2", "node-3.testbed.lan")]
    {
        let polls = vec![ended(&[node], &[])];
        stub.operation(
            "PUT /power/",
            wid,
            &Operation { polls, logs: vec![""], ..Operation::default() },
        );
    }
    let words = "kapower3 -M --on -m node-[2-3].testbed.lan -o ok --write-workflow-id wid";
    let ran = place.run(words).ended(0);
    assert_eq!(ran.err, "The down server is unreachable\n");
    assert_eq!(one.request("PUT /power/").json()["nodes"], json!(["node-2.testbed.lan"]));
    assert_eq!(two.request("PUT /power/").json()["nodes"], json!(["node-3.testbed.lan"]));
    let told = |prefix: &str| {
        let lines = ran.out.lines().filter_map(|line| line.strip_prefix(prefix));
        lines.collect::<Vec<_>>()
    };
    let first = [
        "Power operation #P-1 started",
        "Power operation #P-1 done",
        "",
        "The power operation is successful on nodes",
        "node-2.testbed.lan",
    ];
    assert_eq!(told("[one]     "), first);
    assert_eq!(told("[second-one] ").len(), 5, "{}", ran.out);
    let sorted = |name: &str| {
        let text = place.read(name);
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted("ok"), ["node-2.testbed.lan", "node-3.testbed.lan"]);
    assert_eq!(sorted("wid"), ["P-1", "P-2"]);
}

#[test]
fn names_must_be_whole_there() {
    let (.., place) = begun();
    let ran = place.run("kapower3 -M --on -m node-1").ended(1);
    assert!(ran.err.ends_with("The node 'node-1' does not exist\n"), "{}", ran.err);
}

#[test]
fn each_tells_its_version() {
    let (_, two, place) = begun();
    two.gives("GET /version", Answer::text("4.0\n"));
    let ran = place.run("kadeploy3 -M -v").ended(0);
    let line = "(127.0.0.1) Kadeploy version: 3.3.11.stable\n";
    // The first answer of the second one was whether it is there.
    assert_eq!(ran.out, format!("{line}(127.0.0.1) Kadeploy version: 4.0\n"));
}

#[test]
fn the_error_of_one_is_the_end() {
    let (one, two, place) = begun();
    let polls = vec![ended(&["node-1.testbed.lan"], &[])];
    one.operation(
        "PUT /power/",
        "P-1",
        &Operation { polls, logs: vec![""], ..Operation::default() },
    );
    two.gives("PUT /power/", Answer::error(6, "You do not have sufficient rights\n"));
    let ran = place.run("kapower3 -M --on -m node-1.testbed.lan -m node-3.testbed.lan").ended(6);
    assert!(ran.out.contains("[one]     node-1.testbed.lan"), "{}", ran.out);
    assert!(ran.err.contains("[second-one] You do not have sufficient rights"), "{}", ran.err);
}

#[test]
fn none_at_all_is_an_error() {
    let place = Place::new(&[("a", 1), ("b", 2)]);
    let told = "The a server is unreachable\nThe b server is unreachable\nNo server can be reached";
    place.run("kapower3 -M --on -m node-1").told(1, told);
}
