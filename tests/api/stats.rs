//! What was done, over the wire.

use crate::common::{Answer, Service, Site, wid};
use flate2::read::GzDecoder;
use reqwest::Method;
use serde_json::{Value, json};

/// Rows, as a reader of CSV sees them.
async fn rows(service: &Service, path: &str) -> Vec<Vec<String>> {
    let request = service.user("anna").request(Method::GET, path);
    let response = request.header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/csv");
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let bytes = response.bytes().await.unwrap();
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).from_reader(GzDecoder::new(bytes.as_ref()));
    let fields = |row: csv::StringRecord| row.iter().map(str::to_owned).collect();
    reader.records().map(|row| fields(row.unwrap())).collect()
}

/// A service on which node-1 was switched on, node-2 failed twice with an error of two lines,
/// and node-1 was rebooted.
async fn service() -> Service {
    let site = Site::new();
    site.edit("machine", "lost its mains cable", "lost, says \\\"it\\\",\nits mains cable");
    let service = Service::on(site);
    let anna = service.user("anna");
    service.write("power/node-2.lab.test.broken", "");
    let power = json!({"nodes": ["node-[1-2]"], "status": "on"});
    let first = anna.put("/power", &power).await;
    anna.done(&format!("/power/{}", wid(&first))).await;
    let again = json!({"nodes": ["node-2"], "status": "on"});
    let second = anna.put("/power", &again).await;
    anna.done(&format!("/power/{}", wid(&second))).await;
    service
}

#[tokio::test]
async fn rows_survive_commas_and_newlines() {
    let service = service().await;
    let all = rows(&service, "/stats").await;
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|row| row.len() == 20), "{all:?}");
    let few =
        rows(&service, "/stats/power?fields=hostname&fields=success&fields=error&nodes=node-2")
            .await;
    assert_eq!(few.len(), 2);
    for row in few {
        assert_eq!((row[0].as_str(), row[1].as_str()), ("node-2.lab.test", "false"));
        assert!(row[2].contains("lost, says \"it\",\nits mains cable"), "{row:?}");
    }
    assert!(rows(&service, "/stats/deploy").await.is_empty());
    let one = rows(&service, "/stats?fields=step1&fields=user&nodes=node-1").await;
    assert_eq!(one, [["On", "anna"]]);
}

#[tokio::test]
async fn rows_are_chosen_sorted_and_limited() {
    let service = service().await;
    let names = async |query: &str| -> Vec<String> {
        let path = format!("/stats?fields=hostname&{query}");
        rows(&service, &path).await.into_iter().map(|mut row| row.remove(0)).collect()
    };
    let (one, two) = ("node-1.lab.test", "node-2.lab.test");
    assert_eq!(names("sort=hostname").await, [one, two, two]);
    assert_eq!(names("sort=success&sort=hostname&limit=2").await, [two, two]);
    assert_eq!(names("date_min=Sun,%2006%20Nov%201994%2008:49:37%20GMT").await.len(), 3);
    assert!(names("date_max=Sun,%2006%20Nov%201994%2008:49:37%20GMT").await.is_empty());
    assert!(names("min_retries=99").await.is_empty());
    assert_eq!(names("min_retries=0&step_retries=1").await.len(), 3);
    let wid = rows(&service, "/stats?fields=wid&nodes=node-1").await.remove(0).remove(0);
    assert_eq!(names(&format!("wid={wid}&sort=hostname")).await, [one, two]);
    let anna = service.user("anna");
    for (query, word) in [
        ("fields=colour", "must have a value in (wid,user,"),
        ("sort=colour", "'sort'"),
        ("kind=none", "(all,failure_rates)"),
        ("limit=x", "should be a Integer"),
        ("date_min=yesterday", "HTTP date"),
        ("step_retries=4", "(1,2,3)"),
    ] {
        anna.get(&format!("/stats?{query}")).await.refused_with(4, &[word]);
    }
    anna.get("/stats?nodes=zz").await.refused_with(2, &["zz"]);
    let request = anna.request(Method::GET, "/stats").header("accept-encoding", "identity");
    Answer::to(request).await.refused(406, &["Not Acceptable -- Content-Encoding: gzip"]);
}

#[tokio::test]
async fn rates_tell_the_part_that_failed() {
    let service = service().await;
    let anna = service.user("anna");
    let rates = anna.get("/stats?kind=failure_rates").await.ok();
    assert_eq!(rates.json(), json!({"node-1.lab.test": 0.0, "node-2.lab.test": 1.0}));
    assert!(rates.text.contains("0.0"), "{rates:?}");
    let bad = anna.get("/stats?kind=failure_rates&min_failure_rate=0.5").await.ok();
    assert_eq!(bad.json(), json!({"node-2.lab.test": 1.0}));
    let (code, out, _) = service.cli(&["stats", "--failure-rates"]).await;
    assert_eq!((code, out.as_str()), (0, "node-1.lab.test: 0\nnode-2.lab.test: 1\n"));
    let (_, out, _) =
        service.cli(&["stats", "power", "-m", "node-2", "-f", "hostname,error", "--json"]).await;
    let rows: Value = serde_json::from_str(&out).unwrap();
    assert!(rows[0]["error"].as_str().unwrap().contains(",\nits mains"), "{out}");
}
