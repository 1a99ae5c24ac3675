//! How answers are written, and for whom.

use crate::common::{Answer, Service};
use reqwest::Method;
use serde_json::{Value, json};

async fn accepting(service: &Service, accept: &str) -> Answer {
    let request = service.user("anna").request(Method::GET, "/nodes");
    Answer::to(request.header("accept", accept)).await
}

#[tokio::test]
async fn the_client_chooses_between_json_and_yaml() {
    let service = Service::new();
    for accept in [
        "*/*",
        "application/json",
        "application/json, application/x-yaml",
        "text/html, application/*;q=0.5",
    ] {
        let answer = accepting(&service, accept).await.ok();
        assert_eq!(answer.header("content-type"), Some("application/json; charset=\"UTF-8\""));
        assert_eq!(answer.json()["node-1.lab.test"], Value::Null);
    }
    for accept in ["application/x-yaml", "application/x-yaml, application/json"] {
        let answer = accepting(&service, accept).await.ok();
        assert_eq!(answer.header("content-type"), Some("application/x-yaml; charset=\"UTF-8\""));
        assert!(answer.text.starts_with("---\n"), "{answer:?}");
        let value: Value = serde_saphyr::from_str(&answer.text).unwrap();
        assert_eq!(value["node-1.lab.test"], Value::Null);
        assert_eq!(value.as_object().unwrap().len(), 4);
    }
    let nothing = accepting(&service, "text/html").await;
    nothing.refused(406, &["application/json or application/x-yaml"]);
}

#[tokio::test]
async fn an_answer_that_cannot_be_given_starts_nothing() {
    let service = Service::new();
    let anna = service.user("anna");
    let on = json!({"nodes": ["node-1"], "status": "on"});
    let request = anna.request(Method::PUT, "/power").json(&on).header("accept", "text/html");
    Answer::to(request).await.refused(406, &["application/json"]);
    let request = anna.request(Method::GET, "/power?nodes=node-1").header("accept", "text/html");
    Answer::to(request).await.refused(406, &["application/json"]);
    assert_eq!(anna.get("/power").await.ok().json(), json!([]));
    assert!(service.orders("node-1").is_empty());
}

#[tokio::test]
async fn what_old_clients_look_at_is_there() {
    let service = Service::new();
    let nobody = service.nobody();
    for (path, text) in [("/version", "test\n"), ("/auth_headers_prefix", "X-Kadeploy-\n")] {
        let answer = nobody.get(path).await.ok();
        assert_eq!(answer.text, text);
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=\"UTF-8\""));
        assert_eq!(answer.header("cache-control"), Some("no-store, no-cache"));
        assert_eq!(answer.header("etag"), Some(""));
        assert_eq!(answer.header("content-length"), Some(text.len().to_string().as_str()));
    }
    let info = nobody.get("/info/").await.ok().json();
    let dummy = json!([{"name": "BootNewEnvDummy", "retries": 0, "timeout": 300}]);
    assert_eq!(info["automata"]["alpha"]["BootNewEnv"], dummy);
    assert_eq!(info["supported_fs"]["beta"], json!(["ext2", "ext4"]));
    assert_eq!(info["vars"].as_array().unwrap().len(), 16);
    assert_eq!(nobody.get("/clusters").await.ok().json(), json!(["alpha", "beta"]));
}
