//! Who may deploy where.

use crate::common::{Answer, Service, Site, User, wid};
use reqwest::Method;
use serde_json::{Value, json};

fn service() -> Service {
    let site = Site::new();
    site.edit("server.conf", "kind: dummy", "kind: db");
    Service::on(site)
}

async fn take(user: User<'_>, path: &str, body: Value) -> Answer {
    Answer::to(user.request(Method::DELETE, path).json(&body)).await
}

#[tokio::test]
async fn nothing_is_done_without_a_right_not_even_for_administrators() {
    let service = service();
    let (anna, root) = (service.user("anna"), service.user("root"));
    let on = json!({"nodes": ["node-1", "node-2"], "status": "on"});
    let text = "You do not have sufficient rights to perform the operation on all the nodes";
    for user in [anna, root] {
        let answer = user.put("/power", &on).await.refused_with(6, &[text]);
        assert_eq!(answer.text, format!("{text}\n"));
    }
    // Nor is a machine looked at for somebody who has no right on it.
    anna.get("/nodes/node-1/explain").await.refused_with(6, &[]);
    let (code, _, said) = service.cli(&["power", "on", "-m", "node-1"]).await;
    let way_out = "`kadence rights add USER -m node-1.lab.test`";
    assert!(code == 6 && said.contains(way_out), "{code} {said}");
    // Before all else that may be wrong, but after the nodes.
    let wrong = json!({"nodes": ["node-1"], "status": "sideways", "verbose_level": 9});
    anna.put("/power", &wrong).await.refused_with(6, &[]);
    anna.put("/power", &json!({"nodes": ["zz"]})).await.refused_with(2, &["zz"]);
    anna.get("/power?nodes=node-1").await.refused_with(6, &[]);

    let one = json!({"username": "anna", "nodes": ["node-1"]});
    let given = root.post("/rights/", &one).await.ok().json();
    assert_eq!(given, json!({"anna": {"node-1.lab.test": ["*"]}}));
    anna.put("/power", &on).await.refused_with(6, &[]);
    root.post(
        "/rights",
        &json!({"username": "anna", "nodes": ["node-2"], "partitions": ["/dev/sda9"]}),
    )
    .await
    .ok();
    // Power needs no right on a partition.
    let created = anna.put("/power", &on).await.ok();
    anna.done(&format!("/power/{}", wid(&created))).await;
    assert!(service.orders("node-3").is_empty());
}

#[tokio::test]
async fn a_deployment_needs_the_right_on_its_partition() {
    let service = service();
    let (anna, root) = (service.user("anna"), service.user("root"));
    let give = async |parts: Value| {
        let body = json!({"username": "anna", "nodes": ["node-1"], "partitions": parts});
        root.post("/rights", &body).await.ok();
    };
    give(json!(["/dev/sda5"])).await;
    let deploy = async |more: Value| {
        let mut body = json!({"nodes": ["node-1"], "environment": service.anonymous(json!({}))});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        anna.post("/deployment", &body).await
    };
    deploy(json!({})).await.refused_with(6, &["deployment on partition /dev/sda3"]);
    let text = ["deployment on partition /dev/sdb5"];
    deploy(json!({"block_device": "/dev/sdb", "deploy_partition": "5"}))
        .await
        .refused_with(6, &text);
    let five = deploy(json!({"deploy_partition": "5"})).await.ok();
    anna.done(&format!("/deployment/{}", wid(&five))).await;
    // A dry run is checked as well.
    deploy(json!({"dry_run": true})).await.refused_with(6, &[]);
    give(json!(["/dev/sda3"])).await;
    let three = deploy(json!({})).await.ok();
    anna.done(&format!("/deployment/{}", wid(&three))).await;
}

#[tokio::test]
async fn an_image_of_several_partitions_needs_the_right_on_each_and_on_the_one_that_boots() {
    let service = service();
    let (anna, root) = (service.user("anna"), service.user("root"));
    let parts = json!([{"id": 0, "device": "/dev/sda5"}, {"id": 1, "device": "/dev/sda6"}]);
    let environment = service.anonymous(json!({
        "image": {"file": service.image(), "kind": "fsa", "compression": 3}, "multipart": true,
        "options": {"partitions": parts},
        "boot": {"kernel": "/vmlinuz", "block_device": "/dev/sda", "partition": 3},
    }));
    let body = json!({"nodes": ["node-1"], "environment": environment});
    // With a right on another partition she is somebody, but not there.
    for (given, missing) in
        [("/dev/sda9", "/dev/sda5"), ("/dev/sda5", "/dev/sda6"), ("/dev/sda6", "/dev/sda3")]
    {
        let give = json!({"username": "anna", "nodes": ["node-1"], "partitions": [given]});
        root.post("/rights", &give).await.ok();
        let words = format!("deployment on partition {missing}");
        anna.post("/deployment", &body).await.refused_with(6, &[&words]);
    }
    let give = json!({"username": "anna", "nodes": ["node-1"], "partitions": ["/dev/sda3"]});
    root.post("/rights", &give).await.ok();
    let made = anna.post("/deployment", &body).await;
    let poll = anna.done(&format!("/deployment/{}", wid(&made))).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-1.lab.test"]));
}

#[tokio::test]
async fn rights_are_given_listed_and_taken_by_administrators() {
    let service = service();
    let (anna, root) = (service.user("anna"), service.user("root"));
    let text = "Forbidden -- Only administrators are allowed to manage rights";
    anna.get("/rights").await.refused(403, &[text]);
    anna.post("/rights", &json!({})).await.refused(403, &[text]);
    take(anna, "/rights/anna", json!({})).await.refused(403, &[text]);
    root.get("/rights?").await.refused(404, &[]);

    // Whoever is not named is who asks; what is not named is everything.
    assert_eq!(root.post("/rights", &json!({})).await.ok().json(), json!({"root": {"*": ["*"]}}));
    root.post("/rights", &json!({})).await.refused_with(14, &[]);
    let body = json!({"username": "anna", "nodes": ["node-[1-2]"], "partitions": ["/dev/sda3"]});
    root.post("/rights", &body).await.ok();
    let parts = json!({"username": "anna", "partitions": ["/dev/sda5"]});
    root.post("/rights", &parts).await.refused_with(11, &["single nodes"]);
    let ben = json!({"username": "ben", "nodes": ["node-1"]});
    let refused = root.post("/rights", &ben).await;
    let text = "Some rights are already set for user anna on nodes node-1.lab.test";
    refused.refused_with(11, &[text, "overwrite"]);
    // Ben gets node-1; Anna keeps node-2.
    let over = json!({"username": "ben", "nodes": ["node-1"], "overwrite": true});
    assert_eq!(
        root.post("/rights", &over).await.ok().json(),
        json!({"ben": {"node-1.lab.test": ["*"]}})
    );
    let all = json!({
        "anna": {"node-2.lab.test": ["/dev/sda3"]},
        "ben": {"node-1.lab.test": ["*"]},
        "root": {"*": ["*"]},
    });
    assert_eq!(root.get("/rights").await.ok().json(), all);
    assert_eq!(root.get("/rights/anna?").await.ok().json(), json!({"anna": all["anna"]}));
    assert_eq!(
        root.get("/rights/ben/node-1.lab.test").await.ok().json(),
        json!({"ben": all["ben"]})
    );
    root.get("/rights/ben/node-2.lab.test").await.refused(404, &[]);
    root.get("/rights/ben?nodes=node-2").await.refused(404, &[]);

    take(root, "/rights/root", json!({"nodes": ["node-1"]})).await.refused_with(11, &["all nodes"]);
    take(root, "/rights/ben", json!({"partitions": ["/dev/sda3"]})).await.refused_with(11, &[]);
    take(root, "/rights/carl", json!({})).await.refused_with(14, &[]);
    let taken = take(root, "/rights/anna/node-2.lab.test", json!({})).await.ok().json();
    assert_eq!(taken, json!({"anna": {"node-2.lab.test": ["/dev/sda3"]}}));
    root.get("/rights/anna").await.refused(404, &[]);
    // They are there after a restart.
    let service = Service::on(service.stop());
    let there = service.user("root").get("/rights").await.ok().json();
    assert_eq!(there, json!({"ben": all["ben"], "root": all["root"]}));
}

#[tokio::test]
async fn what_runs_is_ended_when_its_rights_are_taken_away() {
    let service = service();
    let (anna, root) = (service.user("anna"), service.user("root"));
    root.post("/rights", &json!({"username": "anna", "nodes": ["node-[1-3]"]})).await.ok();
    for node in ["node-1", "node-2", "node-3"] {
        service.hold(node);
    }
    let start = async |node: &str| {
        let on = json!({"nodes": [node], "status": "on"});
        format!("/power/{}", wid(&anna.put("/power", &on).await))
    };
    let (first, second, third) =
        (start("node-1").await, start("node-2").await, start("node-3").await);
    take(root, "/rights/anna/node-1.lab.test", json!({})).await.ok();
    let poll = anna.done(&first).await;
    assert_eq!(poll["nodes"]["ko"], json!(["node-1.lab.test"]));
    anna.shows(&format!("{first}/logs"), "The rights on these nodes were taken away").await;
    // Whoever takes over with overwrite ends what ran there as well.
    let over = json!({"username": "ben", "nodes": ["node-2"], "overwrite": true});
    root.post("/rights", &over).await.ok();
    anna.done(&second).await;
    // The others go on.
    assert_eq!(anna.get(&third).await.ok().json()["done"], false);
    service.release("node-3");
    assert_eq!(anna.done(&third).await["nodes"]["ok"], json!(["node-3.lab.test"]));
}

#[tokio::test]
async fn everybody_may_do_everything_where_the_configuration_says_so() {
    let service = Service::new();
    let root = service.user("root");
    assert_eq!(root.get("/rights/anna").await.ok().json(), json!({"anna": {"*": ["*"]}}));
    let on = json!({"nodes": ["node-1"], "status": "on"});
    service.user("anna").put("/power", &on).await.ok();
}

#[tokio::test]
async fn the_command_line_manages_rights() {
    let site = Site::new();
    site.edit("server.conf", "kind: dummy, almighty_users: root", "kind: db, almighty_users: anna");
    let service = Service::on(site);
    let (code, out, _) =
        service.cli(&["rights", "add", "ben", "-m", "node-1", "-p", "/dev/sda3"]).await;
    assert_eq!((code, out.lines().next()), (0, Some("added")), "{out}");
    let (_, out, _) = service.cli(&["rights", "list"]).await;
    assert_eq!(out, "USER  NODE             PARTITIONS\nben   node-1.lab.test  /dev/sda3\n");
    let (code, _, err) = service.cli(&["power", "on", "-m", "node-1"]).await;
    assert_eq!(code, 6, "{err}");
    let (code, out, _) = service.cli(&["rights", "remove", "ben", "--json"]).await;
    assert_eq!(code, 0);
    let gone: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(gone, json!({"ben": {"node-1.lab.test": ["/dev/sda3"]}}));
    assert_eq!(service.cli(&["rights", "remove", "ben"]).await.0, 14);
}
