//! A deployment from its creation until it is forgotten.

use crate::common::{Service, wid};
use serde_json::{Value, json};

/// The texts of log lines, each of which has a time before its first bar and no other bar.
fn texts(lines: &str) -> Vec<String> {
    let lines = lines.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (at, text) = line.split_once('|').unwrap();
            assert!(at.parse::<f64>().unwrap() > 1e9 && !text.contains('|'), "{line}");
            // Seconds differ from run to run.
            let text = text.trim_end_matches(|c: char| c.is_ascii_digit() || c == 's');
            text.strip_suffix(" after ").or(text.strip_suffix(": ")).unwrap_or(text).to_owned()
        })
        .collect()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, or one table")]
async fn the_life_of_a_deployment() {
    let service = Service::new();
    let anna = service.user("anna");
    let body = json!({
        "nodes": ["node-1", "beta-1", "node-2"], "environment": service.anonymous(json!({})),
        "debug": true, "verbose_level": 5,
    });
    let created = anna.post("/deployment/", &body).await.ok();
    let wid = wid(&created);
    assert!(wid.starts_with("D-"));
    let of = |what: &str| format!("/deployment/{wid}/{what}");
    let nodes = ["beta-1.lab.test", "node-1.lab.test", "node-2.lab.test"];
    let debugs: Value = nodes
        .iter()
        .map(|node| ((*node).to_owned(), json!(of(&format!("debugs/{node}?user=anna")))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let resources = json!({
        "resource": of(""), "log": of("logs"), "state": of("state"), "status": of("status"),
        "error": of("error"), "debug": of("debugs"), "debugs": debugs,
        "logs": {"alpha": of("logs/alpha?user=anna"), "beta": of("logs/beta?user=anna")},
    });
    assert_eq!(created.json(), json!({"wid": wid, "resources": resources}));

    let poll = anna.done(&of("")).await;
    let environment = json!({"id": null, "user": "anna", "name": "debian", "version": 1});
    let expected = json!({
        "wid": wid, "user": "anna", "done": true, "error": false, "logs": true, "debugs": false,
        "start_time": poll["start_time"], "time": poll["time"], "environment": environment,
        "nodes": {"ok": nodes, "ko": []},
    });
    assert_eq!(poll, expected);
    assert!(poll["time"].is_f64() && poll["start_time"].is_u64());

    logs(&service, &of("logs")).await;
    let state = anna.get(&of("state")).await.ok().json();
    for node in nodes {
        let one = &state[node];
        assert_eq!(
            (&one["macro"], &one["micro"], &one["state"]),
            (&Value::Null, &Value::Null, &json!("ok"))
        );
        assert_eq!(one.get("error"), None);
    }
    assert_eq!(anna.get(&of("status")).await.ok().json(), json!({}));
    assert_eq!(anna.get(&of("error")).await.ok().text, "\n");
    assert_eq!(anna.get(&of("debugs")).await.ok().text, "\n");

    let info = anna.get("/nodes").await.ok().json();
    // It is not recorded: nobody could name it.
    let deployed = json!({"state": "deployed", "user": "anna",
        "environment": {"name": null, "version": null, "user": null}});
    assert_eq!(info["node-1.lab.test"], deployed);
    assert_eq!(info["node-3.lab.test"], Value::Null);
    assert_eq!(anna.get("/nodes/beta-1.lab.test").await.ok().json(), deployed);
    anna.get("/nodes/node-3.lab.test").await.refused(404, &["node-3.lab.test"]);

    assert_eq!(anna.delete(&of("")).await.ok().json(), json!({"wid": wid}));
    assert_eq!(anna.get("/deployment").await.ok().json(), json!([]));
}

/// Each reader gets each line once; a cursor takes nothing from anybody.
async fn logs(service: &Service, path: &str) {
    let anna = service.user("anna");
    let all = anna.get(&format!("{path}?since=0")).await.ok();
    let lines = texts(&all.text);
    let grab = format!("Grab the tarball file {}", service.image());
    let head = [
        &grab,
        "---",
        "Clusters involved in the operation:",
        "  [c1] : alpha",
        "  [bt] : beta",
        "---",
    ];
    assert_eq!(lines[..6], head);
    let alpha: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("[c1] ")).collect();
    let step = |name: &str| {
        let end = format!("End of step Deploy[{name}Dummy]");
        let micro = ["  dummy".to_owned(), "   ~ Time in dummy".to_owned()];
        let dummies = [micro.clone(), micro].concat();
        [vec![format!("Performing a Deploy[{name}Dummy] step")], dummies, vec![end]].concat()
    };
    let steps = ["SetDeploymentEnv", "BroadcastEnv", "BootNewEnv"].map(step).concat();
    let launch = "Launching a deployment on node-[1-2].lab.test".to_owned();
    let end = ["End of deployment for node-[1-2].lab.test", "End of deployment on cluster alpha"];
    assert_eq!(alpha, [vec![launch], steps, end.map(str::to_owned).to_vec()].concat());

    let cursor: usize = all.header("x-kadence-cursor").unwrap().parse().unwrap();
    assert_eq!(cursor, lines.len());
    let rest = anna.get(&format!("{path}?since={}", cursor - 2)).await.ok();
    assert_eq!(texts(&rest.text), lines[cursor - 2..]);
    let nothing = anna.get(&format!("{path}?since={cursor}")).await.ok();
    assert_eq!(
        (nothing.text.as_str(), nothing.header("x-kadence-cursor")),
        ("", all.header("x-kadence-cursor"))
    );
    anna.get(&format!("{path}?since=x")).await.refused_with(4, &["'since'", "Integer"]);

    let beta = anna.get(&format!("{path}/beta?since=0")).await.ok();
    let of_beta: Vec<_> = lines.iter().filter(|line| line.starts_with("[bt] ")).cloned().collect();
    assert_eq!(texts(&beta.text), of_beta);
    assert_eq!(beta.header("x-kadence-cursor"), all.header("x-kadence-cursor"));
    anna.get(&format!("{path}/gamma?since=0")).await.refused(404, &["gamma"]);
    let one = anna.get(&format!("{path}/beta?user=anna")).await.ok();
    assert!(texts(&one.text).iter().all(|line| line.starts_with("[bt] ")));
    // Those of beta she has read.
    let others: Vec<_> = lines.iter().filter(|line| !line.starts_with("[bt] ")).cloned().collect();
    assert_eq!(texts(&anna.get(path).await.ok().text), others);
    assert_eq!(anna.get(path).await.ok().text, "\n");
    let poll = anna.get(path.strip_suffix("/logs").unwrap()).await.ok().json();
    assert_eq!(poll["logs"], false);
    assert_eq!(texts(&service.user("root").get(path).await.ok().text), lines);
}

#[tokio::test]
async fn nodes_wait_at_a_breakpoint_or_end_there() {
    let service = Service::new();
    let anna = service.user("anna");
    let deploy = async |keep: bool| {
        let body = json!({
            "nodes": ["node-1"], "environment": service.anonymous(json!({})),
            "breakpoint": "BroadcastEnvDummy", "keep": keep,
        });
        format!("/deployment/{}", wid(&anna.post("/deployment", &body).await))
    };
    let waits = async |path: &str| {
        anna.shows(&format!("{path}/logs?since=0"), "*** Breakpoint on BroadcastEnvDummy").await;
        let poll = anna.get(path).await.ok().json();
        let running = json!({"ok": [], "ko": [], "processing": ["node-1.lab.test"]});
        assert_eq!((&poll["done"], &poll["nodes"]), (&json!(false), &running));
        assert_eq!(poll["environment"]["id"], -1);
        assert_eq!(anna.get("/nodes/node-1.lab.test").await.ok().json()["state"], "deploying");
    };
    let path = deploy(true).await;
    waits(&path).await;
    anna.post(&format!("{path}/continue"), &json!({})).await.ok();
    assert_eq!(anna.done(&path).await["nodes"], json!({"ok": ["node-1.lab.test"], "ko": []}));
    for order in ["continue", "abort"] {
        let nobody = anna.post(&format!("{path}/{order}"), &json!({})).await;
        nobody.refused_with(
            14,
            &["No node of D-", "waits at a breakpoint", "it has ended", "/state"],
        );
    }

    let path = deploy(true).await;
    waits(&path).await;
    anna.post(&format!("{path}/abort"), &json!({})).await.ok();
    assert_eq!(anna.done(&path).await["nodes"], json!({"ok": [], "ko": ["node-1.lab.test"]}));
    let state = anna.get(&format!("{path}/state")).await.ok().json();
    let why = state["node-1.lab.test"]["error"].as_str().unwrap();
    assert!(why.contains("given up at the breakpoint by anna"), "{why}");

    let path = deploy(false).await;
    assert_eq!(anna.done(&path).await["nodes"], json!({"ok": ["node-1.lab.test"], "ko": []}));
    let state = anna.get(&format!("{path}/state")).await.ok().json();
    assert_eq!(state["node-1.lab.test"]["state"], "brk");
}

#[tokio::test]
async fn an_order_to_nodes_at_a_breakpoint_is_refused_where_none_waits() {
    let service = Service::new();
    let anna = service.user("anna");
    service.hold("node-1");
    let on = json!({"nodes": ["node-1"], "status": "on"});
    let path = format!("/power/{}", wid(&anna.put("/power", &on).await));
    for order in ["continue", "abort"] {
        let nobody = anna.post(&format!("{path}/{order}"), &json!({})).await;
        nobody.refused_with(14, &["No node of P-", "waits at a breakpoint", "/status"]);
    }
    // It did not notice.
    service.release("node-1");
    assert_eq!(anna.done(&path).await["nodes"], json!({"ok": ["node-1.lab.test"], "ko": []}));
}

#[tokio::test]
async fn a_breakpoint_that_stops_nobody_is_told() {
    let service = Service::new();
    let anna = service.user("anna");
    let deploy = async |nodes: Value, breakpoint: &str| {
        let body = json!({
            "nodes": nodes, "environment": service.anonymous(json!({})), "breakpoint": breakpoint,
            "disable_disk_partitioning": true, "automata": {
                "SetDeploymentEnv": [{"name": "Dummy"}], "BroadcastEnv": [{"name": "Dummy"}],
                "BootNewEnv": [{"name": "Dummy"}, {"name": "HardReboot"}],
            },
        });
        let created = anna.post("/deployment", &body).await.ok();
        let path = format!("/deployment/{}", wid(&created));
        let poll = anna.done(&path).await;
        (created.json()["notes"].clone(), poll, path)
    };
    // One of the two ways has the step. What holds for two clusters is told once.
    let (notes, poll, path) = deploy(json!(["node-1", "beta-1"]), "BootNewEnv:wait_reboot").await;
    let note = "the breakpoint BootNewEnv:wait_reboot stops no node in BootNewEnvDummy, whose micro-steps here are dummy, dummy";
    assert_eq!(notes, json!([note]));
    assert_eq!(poll["nodes"]["ok"], json!(["beta-1.lab.test", "node-1.lab.test"]));
    anna.shows(&format!("{path}/logs?since=0"), note).await;
    // The old behaviour stays: what cannot stop anybody is no error.
    let (notes, poll, _) = deploy(json!(["node-1"]), "BootNewEnvHardReboot:kexec").await;
    let note = "stops no node in BootNewEnvHardReboot, whose micro-steps here are switch_pxe, reboot, wait_reboot";
    assert!(notes[0].as_str().unwrap().ends_with(note), "{notes}");
    assert_eq!(poll["nodes"]["ko"], json!([]));
    let (notes, _, path) = deploy(json!(["node-1"]), "SetDeploymentEnvDummy:dummy").await;
    assert_eq!(notes, Value::Null);
    let state = anna.get(&format!("{path}/state")).await.ok().json();
    assert_eq!(state["node-1.lab.test"]["state"], "brk");
}
