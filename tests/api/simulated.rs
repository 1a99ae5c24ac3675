//! A service whose machines are simulated, from the outside.

use crate::common::{Answer, Service, Site, User, wid};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const STEPS: &str = "    SetDeploymentEnv: [{type: Untrusted, timeout: 300}]
    BroadcastEnv: [{type: Chain, timeout: 300}]
    BootNewEnv: [{type: Kexec, timeout: 300}, {type: Classical, timeout: 300}]
";

/// 20 simulated machines and one of files.
fn site() -> Site {
    let site = Site::new();
    site.simulate(20, 50, STEPS);
    site
}

#[tokio::test]
async fn a_service_deploys_reboots_and_switches_machines_that_do_not_exist() {
    let service = Service::on(site());
    let anna = service.user("anna");
    let body = json!({"nodes": ["node-[1-20]"], "environment": service.anonymous(json!({})), "verbose_level": 5});
    let deployment = wid(&anna.post("/deployment/", &body).await);
    let poll = anna.done(&format!("/deployment/{deployment}")).await;
    assert_eq!(poll["nodes"]["ok"].as_array().unwrap().len(), 20, "{poll}");
    assert_eq!(poll["nodes"]["ko"], json!([]));
    let logs = anna.get(&format!("/deployment/{deployment}/logs")).await.ok().text;
    for step in ["wait_reboot", "send_environment", "kexec"] {
        assert!(logs.contains(step), "{step}: {logs}");
    }

    // What a machine that does not exist says is recorded as well.
    let said = anna.get("/nodes/node-7.lab.test/console").await.ok().json();
    let text = said["text"].as_str().unwrap();
    assert!(text.contains("Linux of the deployment system") && said["wid"] == deployment, "{said}");

    let body = json!({"nodes": ["node-[1-3]"], "kind": "simple"});
    let reboot = wid(&anna.post("/reboot/", &body).await);
    let poll = anna.done(&format!("/reboot/{reboot}")).await;
    assert_eq!(poll["nodes"]["ok"].as_array().unwrap().len(), 3, "{poll}");

    for (order, state) in [("off", "off"), ("on", "on")] {
        let body = json!({"nodes": ["node-2"], "status": order, "level": "hard"});
        let power = wid(&anna.put("/power/", &body).await);
        let poll = anna.done(&format!("/power/{power}")).await;
        assert_eq!(poll["nodes"]["ko"], json!([]), "{poll}");
        let asked = wid(&anna.get("/power?nodes=node-2").await);
        anna.done(&format!("/power/{asked}")).await;
        let told = anna.get(&format!("/power/{asked}/state")).await.ok().json();
        assert_eq!(told["node-2.lab.test"]["out"], state);
    }
}

#[tokio::test]
async fn simulated_and_other_machines_are_reached_each_in_their_way() {
    let service = Service::on(site());
    let anna = service.user("anna");
    let body = json!({"nodes": ["node-1", "beta-1"], "status": "on", "level": "soft"});
    let power = wid(&anna.put("/power/", &body).await);
    let poll = anna.done(&format!("/power/{power}")).await;
    assert_eq!(poll["nodes"]["ok"].as_array().unwrap().len(), 2, "{poll}");
    assert!(service.orders("beta-1").contains(&"on".to_owned()));
}

/// How many of the simulated machines have power.
async fn have_power(user: User<'_>) -> usize {
    let asked = format!("/power/{}", wid(&user.get("/power?nodes=node-[1-20]").await));
    user.done(&asked).await;
    let told = user.get(&format!("{asked}/state")).await.ok().json();
    told.as_object().unwrap().values().filter(|node| node["out"] == "on").count()
}

#[tokio::test]
async fn machines_that_do_not_exist_outlive_the_service() {
    let mut service = Service::on(site());
    for (order, powered) in [("off", 0), ("on", 20)] {
        let anna = service.user("anna");
        let body = json!({"nodes": ["node-[1-20]"], "status": order, "level": "hard"});
        anna.done(&format!("/power/{}", wid(&anna.put("/power/", &body).await))).await;
        assert_eq!(have_power(anna).await, powered);
        service = Service::on(service.cut());
        assert_eq!(have_power(service.user("anna")).await, powered);
    }
    // In another world they are others: some of them are off.
    let site = service.stop();
    site.edit("clusters.conf", "seed: 3", "seed: 4");
    let service = Service::on(site);
    let powered = have_power(service.user("anna")).await;
    assert!((1..20).contains(&powered), "{powered}");
}

/// What was told of one command.
#[derive(Debug, PartialEq)]
struct Record {
    node: String,
    /// Lines, the first one with `COMMAND: ` before it.
    command: Vec<String>,
    out: Vec<String>,
    err: Vec<String>,
    status: i32,
}

/// Reads the records of an answer, each line of which has its place.
fn records(answer: &Answer) -> Vec<Record> {
    const RULE: &str = "-------------------------";
    let lines = answer.text.lines().filter(|line| !line.is_empty());
    let mut texts = lines.map(|line| {
        let (at, text) = line.split_once('|').unwrap();
        assert!(at.parse::<f64>().unwrap() > 1e9 && !text.contains('|'), "{line}");
        text
    });
    let mut records = Vec::new();
    while let Some(rule) = texts.next() {
        let node = texts.next().unwrap().strip_prefix("NODE: ").unwrap().to_owned();
        assert_eq!((rule, texts.next()), (RULE, Some(RULE)));
        let mut record = Record { node, command: Vec::new(), out: vec![], err: vec![], status: -1 };
        loop {
            let text = texts.next().unwrap();
            if let Some(status) = text.strip_prefix("STATUS: ") {
                record.status = status.parse().unwrap();
                break;
            }
            match (text.strip_prefix("STDOUT: "), text.strip_prefix("STDERR: ")) {
                (Some(line), _) => record.out.push(line.to_owned()),
                (_, Some(line)) => record.err.push(line.to_owned()),
                // A command may have several lines.
                _ => record.command.push(text.to_owned()),
            }
        }
        assert!(record.command[0].starts_with("COMMAND: "), "{record:?}");
        records.push(record);
    }
    records
}

async fn deploys(user: User<'_>, changes: Value) -> String {
    let environment = user.service().anonymous(json!({}));
    let mut body = json!({"nodes": ["node-[1-2]"], "environment": environment, "debug": true});
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let path = format!("/deployment/{}", wid(&user.post("/deployment/", &body).await));
    user.done(&path).await;
    path
}

#[tokio::test]
async fn what_commands_print_is_given_once_and_with_a_cursor_again() {
    let service = Service::on(site());
    let anna = service.user("anna");
    let path = deploys(anna, json!({})).await;
    let debugs = format!("{path}/debugs");
    let debug = async |user: User<'_>| user.get(&path).await.ok().json()["debugs"].clone();
    assert_eq!(debug(anna).await, true);
    let all = anna.get(&format!("{debugs}?since=0")).await.ok();
    let told = records(&all);
    let names: BTreeSet<_> = told.iter().map(|record| record.node.as_str()).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["node-1.lab.test", "node-2.lab.test"]);
    assert!(told.iter().any(|record| !record.out.is_empty()), "{told:#?}");
    assert!(told.iter().all(|record| record.status == 0 && record.err.is_empty()), "{told:#?}");

    // A cursor takes nothing from anybody, of one node neither.
    let count = all.text.lines().count();
    let (next, of_one) = (count.to_string(), format!("{debugs}/node-1.lab.test"));
    assert_eq!(all.header("x-kadence-cursor"), Some(next.as_str()));
    let rest = anna.get(&format!("{debugs}?since={}", count - 1)).await.ok();
    assert_eq!(rest.text.trim_end(), all.text.lines().last().unwrap());
    let one = anna.get(&format!("{of_one}?since=0")).await.ok();
    assert_eq!(one.header("x-kadence-cursor"), Some(next.as_str()));
    assert!(records(&one).iter().all(|record| record.node == "node-1.lab.test"));
    assert_eq!(anna.get(&format!("{debugs}?since={count}")).await.ok().text, "");
    anna.get(&format!("{debugs}?since=x")).await.refused_with(4, &["'since'", "Integer"]);
    for query in ["", "?since=0"] {
        let unknown = format!("{debugs}/node-3.lab.test{query}");
        anna.get(&unknown).await.refused(404, &["no debugging output"]);
    }
    assert_eq!(debug(anna).await, true);

    // Each reader gets each line once.
    let first = anna.get(&of_one).await.ok();
    assert_eq!(records(&first), records(&one));
    assert_eq!(anna.get(&of_one).await.ok().text, "\n");
    assert_eq!(debug(anna).await, true);
    let others = records(&anna.get(&debugs).await.ok());
    assert_eq!(others.len() + records(&one).len(), told.len());
    assert!(others.iter().all(|record| record.node == "node-2.lab.test"));
    assert_eq!(
        (anna.get(&debugs).await.ok().text.as_str(), debug(anna).await),
        ("\n", false.into())
    );

    // So it is after a restart, and nothing is lost.
    let service = Service::on(service.stop());
    let (anna, root) = (service.user("anna"), service.user("root"));
    assert_eq!((debug(anna).await, debug(root).await), (false.into(), true.into()));
    assert_eq!(anna.get(&debugs).await.ok().text, "\n");
    assert_eq!(anna.get(&format!("{debugs}?since=0")).await.ok().text, all.text);
    assert_eq!(records(&root.get(&debugs).await.ok()), told);
}

#[tokio::test]
async fn what_a_command_complains_of_is_told_with_its_status() {
    let service = Service::on(site());
    let anna = service.user("anna");
    let gone =
        json!({"nodes": ["node-1"], "deploy_partition": "9", "disable_disk_partitioning": true});
    let path = deploys(anna, gone).await;
    let told = records(&anna.get(&format!("{path}/debugs")).await.ok());
    let failed: Vec<_> = told.iter().filter(|record| record.status != 0).collect();
    assert!(!failed.is_empty(), "{told:#?}");
    for record in failed {
        let complaint = ["/dev/sda9: No such file or directory".to_owned()];
        assert_eq!((record.status, record.err.as_slice()), (1, &complaint[..]), "{record:#?}");
    }
}
