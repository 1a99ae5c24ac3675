//! The table of routes, the document made of it, and the guard before each route.

use crate::common::{Answer, Service};
use kadence::api::{Permission, document, routes};
use reqwest::Method;
use serde_json::Value;
use std::{collections::BTreeSet, fs};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/api-doc/openapi.json");

#[test]
fn the_document_that_is_checked_in_is_the_one_of_this_release() {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(FILE, document()).unwrap();
    }
    let there = fs::read_to_string(FILE).unwrap();
    assert!(there == document(), "{FILE} is out of date: run the test with UPDATE=1");
}

#[test]
fn each_route_is_in_the_document_and_nothing_else() {
    let document: Value = serde_json::from_str(&document()).unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            described.insert((method.to_uppercase(), path.clone()));
            let summary = operation["summary"].as_str().or(operation["description"].as_str());
            assert!(summary.is_some_and(|text| !text.is_empty()), "{method} {path} says nothing");
            // Each segment that is left open is described, and no other.
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let named: BTreeSet<_> = parameters
                .filter(|one| one["in"] == "path")
                .map(|one| one["name"].as_str().unwrap().to_owned())
                .collect();
            let open = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            assert_eq!(named, open.map(str::to_owned).collect(), "{method} {path}");
        }
    }
    let there: BTreeSet<_> =
        routes().map(|(method, path, _)| (method.to_string(), path.to_owned())).collect();
    assert_eq!(described, there);
    let ids = document["paths"].as_object().unwrap().values().flat_map(|methods| {
        methods.as_object().unwrap().values().map(|one| one["operationId"].as_str().unwrap())
    });
    assert_eq!(ids.collect::<BTreeSet<_>>().len(), there.len());
}

#[tokio::test]
async fn each_route_refuses_the_unknown_the_unnamed_and_other_methods() {
    let service = Service::new();
    let (anna, nobody) = (service.user("anna"), service.nobody());
    let mut methods_of = std::collections::BTreeMap::<String, Vec<String>>::new();
    for (method, path, permission) in routes() {
        let there = path.replace(['{', '}'], "");
        methods_of.entry(there.clone()).or_default().push(method.to_string());
        let method: Method = method.as_str().parse().unwrap();
        let answer = Answer::to(nobody.request(method.clone(), &there)).await;
        if permission == Permission::Anyone {
            answer.ok();
        } else {
            answer.refused(401, &["Unauthorized -- Authentication failed"]);
        }
        // A slash at the end changes nothing.
        if permission != Permission::Anyone {
            let slash = Answer::to(nobody.request(method, &format!("{there}/"))).await;
            slash.refused(401, &[]);
        }
    }
    for (path, methods) in methods_of {
        for wrong in ["PATCH", "HEAD", "OPTIONS", "TRACE", "BREW"] {
            let answer = Answer::to(anna.request(wrong.parse().unwrap(), &path)).await;
            assert_eq!(answer.status, 405, "{wrong} {path}");
            let allowed: BTreeSet<_> = answer.header("allow").unwrap().split(',').collect();
            assert_eq!(allowed, methods.iter().map(String::as_str).collect(), "{path}");
        }
    }
    for path in ["/", "/none", "/deployments", "/power/a/b/c/d", "/nodes/a/b", "/%00", "/..%2fetc"]
    {
        anna.get(path).await.refused(404, &["File Not Found"]);
    }
    let served = nobody.get("/openapi.json").await.ok();
    assert_eq!(served.json(), serde_json::from_str::<Value>(&document()).unwrap());
}
