//! One command of the site that serves several nodes.

use crate::common::{Service, Site, wid};
use serde_json::json;
use std::{fs, os::unix::fs::PermissionsExt};

/// The nodes 1 and 2 share a chassis.
fn site() -> Site {
    let site = Site::new();
    let script = "#!/bin/sh\necho \"$*\" >> DIR/chassis.log\n[ ! -e DIR/chassis.broken ] || exit 1\n\
        for node in $(echo \"$2\" | tr , ' '); do echo \"$1\" > DIR/power/$node.lab.test; done\n";
    site.write("chassis", script);
    fs::set_permissions(site.path("chassis"), fs::Permissions::from_mode(0o755)).unwrap();
    site.write("groups", "# chassis by chassis\nnode-1, node-2.lab.test\n");
    let hard = "power_off: [{name: hard, cmd: 'DIR/chassis off GROUP_SHORT', group: DIR/groups}, {name: soft,";
    site.edit("cluster.conf", "power_off: [{name: soft,", hard);
    site
}

#[tokio::test]
async fn a_command_for_a_group_runs_once_and_only_for_all_of_it() {
    let service = Service::on(site());
    let anna = service.user("anna");
    let off = |nodes: &str| json!({"nodes": [nodes], "status": "off", "level": "hard"});
    let log = || fs::read_to_string(service.path("chassis.log")).unwrap_or_default();
    let id = wid(&anna.put("/power", &off("node-[1-2]")).await);
    let poll = anna.done(&format!("/power/{id}")).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-1.lab.test", "node-2.lab.test"]), "{poll}");
    assert_eq!(log(), "off node-1,node-2\n");

    let id = wid(&anna.put("/power", &off("node-1")).await);
    let poll = anna.done(&format!("/power/{id}")).await;
    assert_eq!(poll["nodes"]["ko"], json!(["node-1.lab.test"]), "{poll}");
    let state = anna.get(&format!("/power/{id}/state")).await.ok().json();
    let why = state["node-1.lab.test"]["error"].as_str().unwrap();
    assert!(why.contains("together: node-1.lab.test alone gets none"), "{why}");
    assert_eq!(log(), "off node-1,node-2\n", "the other was not switched");

    service.write("chassis.broken", "");
    let id = wid(&anna.put("/power", &off("node-[1-2]")).await);
    let poll = anna.done(&format!("/power/{id}")).await;
    assert_eq!(poll["nodes"]["ok"], json!([]), "what fails for the group fails for each: {poll}");
    // One that is in no group is served by the same command alone.
    fs::remove_file(service.path("chassis.broken")).unwrap();
    service.write("power/node-3.lab.test", "on\n");
    let id = wid(&anna.put("/power", &off("node-3")).await);
    anna.done(&format!("/power/{id}")).await;
    assert!(log().ends_with("off node-3\n"), "{}", log());
}
