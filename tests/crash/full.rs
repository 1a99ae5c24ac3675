//! The real process on a disk that is full: each change fails with the reason, everything can
//! be read, and it goes on once there is room.

use crate::common::{Service, wid};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use std::fs;

/// From now on no file that the service writes may be longer than `most` bytes: it sees what
/// it would see on a disk that is full.
fn limit(service: &Service, most: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(service.pid()).unwrap());
    let limit = Rlimit { current: most, maximum: None };
    prlimit(pid, Resource::Fsize, limit).unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_and_what_is_there_is_read() {
    let service = Service::new();
    let anna = service.user("anna");
    let environment = |n: usize| -> Value {
        let mut description = service.description();
        description["name"] = json!(format!("env-{n}"));
        description["description"] = json!("x".repeat(4000));
        json!({"environment": description})
    };
    anna.post("/environments", &environment(0)).await.ok();
    service.hold("node-1");
    let on = json!({"nodes": ["node-1"], "status": "on"});
    let path = format!("/power/{}", wid(&anna.put("/power", &on).await));
    anna.shows(&format!("{path}/status"), "node-1.lab.test").await;
    let file = service.path("state/state.redb");
    limit(&service, Some(fs::metadata(&file).unwrap().len()));
    // There is room left in the file: it is used up first.
    let mut recorded = 1;
    let refused = loop {
        let answer = anna.post("/environments", &environment(recorded)).await;
        if answer.status != 200 {
            break answer;
        }
        recorded += 1;
        assert!(recorded < 10_000, "the disk is not full");
    };
    refused.refused_with(20, &["the disk is full", "state.redb", "free some space"]);
    let begin = json!({"nodes": ["node-2"], "status": "on"});
    anna.put("/power", &begin).await.refused_with(20, &["the disk is full"]);
    assert!(service.orders("node-2").is_empty(), "what is not written down must not be done");
    let names = |list: Value| list.as_array().unwrap().len();
    assert_eq!(names(anna.get("/environments").await.ok().json()), recorded);
    assert_eq!(anna.get(&path).await.ok().json()["done"], false);
    limit(&service, None);
    anna.post("/environments", &environment(recorded)).await.ok();
    assert_eq!(names(anna.get("/environments").await.ok().json()), recorded + 1);
    service.release("node-1");
    let poll = anna.done(&path).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-1.lab.test"]), "{poll}");
    let service = Service::on(service.stop());
    let list = service.user("anna").get("/environments").await.ok().json();
    assert_eq!(names(list), recorded + 1);
}
