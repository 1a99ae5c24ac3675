//! Metrics: what the service counts of itself.

use crate::common::{Service, wid};
use serde_json::json;
use std::collections::BTreeMap;

/// Prometheus' text format: each sample by its name and labels. A line that is neither a
/// comment nor a sample fails.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
            let bare = name.split('{').next().unwrap();
            assert!(bare.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{line}");
            assert_eq!(name.contains('{'), name.ends_with('}'), "{line}");
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line:?}")))
        })
        .collect()
}

#[tokio::test]
async fn an_operation_is_counted() {
    let service = Service::new();
    let anna = service.user("anna");
    service.write("power/node-2.lab.test.broken", "");
    let on = json!({"nodes": ["node-[1-2]"], "status": "on"});
    let id = wid(&anna.put("/power", &on).await);
    anna.done(&format!("/power/{id}")).await;
    anna.get("/none").await.refused(404, &[]);
    let answer = anna.get("/metrics").await.ok();
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = &answer.text;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).count();
    assert!(types >= 4, "{text}");
    let samples = samples(text);
    for name in [
        "kadence_operations_ended_total{kind=\"power\"}",
        "kadence_nodes_total{kind=\"power\",outcome=\"ok\"}",
        "kadence_nodes_total{kind=\"power\",outcome=\"ko\"}",
        "kadence_requests_total{status=\"404\"}",
    ] {
        assert_eq!(samples.get(name), Some(&1.0), "{name} in {text}");
    }
    let steps = samples.iter().filter(|(name, _)| name.starts_with("kadence_step_seconds_count"));
    assert!(steps.map(|(_, count)| count).sum::<f64>() >= 1.0, "{text}");
    assert!(!text.contains("node-1"), "a label per node would grow without bound");
}
