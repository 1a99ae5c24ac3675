//! What a site may have done at the end of operations.

use crate::common::{Service, Site, User, wid};
use serde_json::json;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

async fn on(user: User<'_>, hook: bool) -> String {
    let body = json!({"nodes": ["node-[1-2]"], "status": "on", "hook": hook});
    let wid = wid(&user.put("/power", &body).await);
    user.done(&format!("/power/{wid}")).await;
    wid
}

async fn holds(service: &Service, file: &str, text: &str) {
    let path = service.path(file);
    let there = async {
        while !fs::read_to_string(&path).is_ok_and(|found| found.contains(text)) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), there).await.unwrap();
}

#[tokio::test]
async fn the_hook_runs_where_it_was_asked_for() {
    let site = Site::new();
    site.write("hook", "#!/bin/sh\necho \"$1\" >> DIR/ran\nexit 3\n");
    fs::set_permissions(site.path("hook"), fs::Permissions::from_mode(0o755)).unwrap();
    let server = fs::read_to_string(site.path("server.conf")).unwrap();
    site.write("server.conf", &format!("{server}hooks: {{end_of_power: DIR/hook WORKFLOW_ID}}\n"));
    let service = Service::on(site);
    let anna = service.user("anna");
    let silent = on(anna, false).await;
    let told = on(anna, true).await;
    holds(&service, "ran", &told).await;
    assert_eq!(fs::read_to_string(service.path("ran")).unwrap(), format!("{told}\n"));
    assert_ne!(silent, told);
    // What is wrong with it is a matter of the log.
    assert_eq!(anna.get(&format!("/power/{told}")).await.ok().json()["error"], false);
}

/// A site with a hook for power operations, which does not come to its end as long as there is a
/// file `block`: there is one.
fn blocked() -> Site {
    let site = Site::new();
    site.write(
        "hook",
        "#!/bin/sh\necho \"$1\" >> DIR/ran\n[ ! -e DIR/block ] || exec sleep 1000\n",
    );
    site.write("block", "");
    fs::set_permissions(site.path("hook"), fs::Permissions::from_mode(0o755)).unwrap();
    let server = fs::read_to_string(site.path("server.conf")).unwrap();
    site.write("server.conf", &format!("{server}hooks: {{end_of_power: DIR/hook WORKFLOW_ID}}\n"));
    site
}

#[tokio::test]
async fn a_hook_that_a_stop_of_the_service_came_before_runs_at_the_next_start_and_then_no_more() {
    let service = Service::on(blocked());
    let told = on(service.user("anna"), true).await;
    holds(&service, "ran", &told).await;
    // The operation has ended, its hook has begun, and the service dies.
    let site = service.cut();
    fs::remove_file(site.path("block")).unwrap();
    let service = Service::on(site);
    holds(&service, "ran", &format!("{told}\n{told}\n")).await;
    // That it has run is written down a moment later.
    let after = on(service.user("anna"), true).await;
    holds(&service, "ran", &after).await;
    sleep(Duration::from_secs(2)).await;
    let service = Service::on(service.cut());
    let last = on(service.user("anna"), true).await;
    holds(&service, "ran", &last).await;
    let ran = fs::read_to_string(service.path("ran")).unwrap();
    assert_eq!(ran, format!("{told}\n{told}\n{after}\n{last}\n"));
}

#[tokio::test]
async fn a_stop_that_is_to_abort_does_not_wait_for_a_hook_and_the_next_start_runs_it() {
    let service = Service::with(blocked(), &["--abort-on-stop"]);
    let anna = service.user("anna");
    service.hold("node-1");
    let body = json!({"nodes": ["node-1"], "status": "on", "hook": true});
    let told = wid(&anna.put("/power", &body).await);
    anna.shows(&format!("/power/{told}/status"), "node-1.lab.test").await;
    let begun = Instant::now();
    let site = service.stop();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(fs::read_to_string(site.path("ran")).unwrap(), format!("{told}\n"));
    fs::remove_file(site.path("block")).unwrap();
    let service = Service::on(site);
    holds(&service, "ran", &format!("{told}\n{told}\n")).await;
    let poll = service.user("anna").get(&format!("/power/{told}")).await.ok().json();
    assert_eq!((&poll["done"], &poll["error"]), (&json!(true), &json!(true)));
}

#[tokio::test]
async fn old_operations_are_forgotten() {
    let service = Service::new();
    let old = on(service.user("anna"), false).await;
    let site = service.stop();
    let server = fs::read_to_string(site.path("server.conf")).unwrap();
    site.write("server.conf", &format!("{server}autoclean_threshold: 0\n"));
    let service = Service::on(site);
    let anna = service.user("anna");
    let gone = async {
        while anna.get(&format!("/power/{old}")).await.status != 400 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), gone).await.unwrap();
    // What was done stays known.
    let rates = anna.get("/stats?kind=failure_rates").await.ok().json();
    assert_eq!(rates, json!({"node-1.lab.test": 0.0, "node-2.lab.test": 0.0}));
}

#[tokio::test]
async fn what_was_said_and_done_is_in_the_files_of_the_site() {
    let site = Site::new();
    site.edit("machine", "lost its mains cable", "lost,\\\"its\\\"\nmains cable");
    let server = fs::read_to_string(site.path("server.conf")).unwrap();
    let logs =
        "logs: {logfile: DIR/rows, debugfile: DIR/said, database: false}\nverbosity: {logs: 0}\n";
    site.write("server.conf", &format!("{server}{logs}"));
    site.write("power/node-2.lab.test.broken", "");
    let service = Service::on(site);
    let anna = service.user("anna");
    let wid = on(anna, false).await;
    holds(&service, "rows", "node-2.lab.test").await;
    let text = fs::read_to_string(service.path("rows")).unwrap();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!((row.len(), &row[0], &row[2], &row[3]), (21, wid.as_str(), "anna", "On"));
    }
    assert_eq!((&rows[0][19], &rows[1][19]), ("true", "false"));
    assert!(rows[1][20].contains("lost,\"its\"\nmains cable"), "{rows:?}");
    let said = fs::read_to_string(service.path("said")).unwrap();
    let start = format!("{wid}|anna -> ");
    assert!(!said.is_empty() && said.lines().all(|line| line.starts_with(&start)), "{said}");
    // Details are left out at this level.
    assert!(!said.contains("   * "), "{said}");
    assert_eq!(anna.get("/stats?kind=failure_rates").await.ok().json(), json!({}));
}
