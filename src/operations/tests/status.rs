//! What `status` tells of an operation, looked at all the time while it runs.

use super::*;
use crate::{
    platform::sim::Faults,
    types::{StatusTree, StepNodes},
};
use std::collections::BTreeSet;

/// Nodes by the place where one look found them: `OK`, `Macro/OK`, `Macro/micro/**` and so on.
fn places(tree: &StatusTree) -> BTreeMap<String, BTreeSet<String>> {
    let mut places = BTreeMap::new();
    let mut put = |place: String, nodes: &[String]| {
        if !nodes.is_empty() {
            let set: BTreeSet<String> = nodes.iter().cloned().collect();
            assert_eq!(set.len(), nodes.len(), "{place}: twice the same");
            assert!(places.insert(place, set).is_none());
        }
    };
    for cluster in tree.values() {
        put("OK".into(), &cluster.ok);
        put("KO".into(), &cluster.ko);
        for (name, step) in &cluster.steps {
            put(format!("{name}/OK"), &step.ok);
            put(format!("{name}/KO"), &step.ko);
            for (micro, step) in &step.steps {
                let StepNodes { ok, ko, processing } = &step.nodes;
                for (list, nodes) in [("OK", ok), ("KO", ko), ("**", processing)] {
                    put(format!("{name}/{micro}/{list}"), nodes);
                }
            }
        }
    }
    places
}

/// All that one look found: each node is once at its end or in a micro-step, and where it has left
/// a macro-step it is not in that.
fn is_sound(places: &BTreeMap<String, BTreeSet<String>>) {
    let mut now = BTreeSet::new();
    for (place, nodes) in places {
        let parts: Vec<&str> = place.split('/').collect();
        if parts.len() == 2 {
            let inside = places.iter().filter(|(other, _)| {
                other.starts_with(&format!("{}/", parts[0])) && other.matches('/').count() == 2
            });
            let inside: BTreeSet<&String> = inside.flat_map(|(_, nodes)| nodes).collect();
            assert!(!inside.is_empty(), "{place}: nobody is left in it");
            assert!(nodes.iter().all(|node| !inside.contains(node)), "{places:?}");
        } else {
            assert!(nodes.iter().all(|node| now.insert(node.clone())), "{places:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lists_of_nodes_stand_beside_the_steps_that_they_have_left() {
    let faults = Faults::parse("bmc: {credentials: 0.2}").unwrap();
    let scenario = Scenario { faults, ..Scenario::new(5, 12) };
    let bed = Bed::new(&scenario).await;
    let wid = bed.deploy(json!({"nodes": ["node-[1-12].sim"]})).await;
    let mut seen = BTreeSet::new();
    while !bed.poll(&wid).done {
        let tree = bed.operations.status(Kind::Deploy, &wid, &anna()).unwrap();
        let found = places(&tree);
        is_sound(&found);
        seen.extend(found.into_keys());
        sleep(Duration::from_millis(250)).await;
    }
    assert!(bed.operations.status(Kind::Deploy, &wid, &anna()).unwrap().is_empty());
    let (ok, ko) = bed.ended(&wid).await;
    assert!(ok.len() >= 6 && !ko.is_empty(), "{}", bed.log(&wid));
    for place in ["OK", "KO", "SetDeploymentEnvUntrusted/OK", "SetDeploymentEnvUntrusted/KO"] {
        assert!(seen.contains(place), "{place} is not in {seen:#?}");
    }
    assert!(seen.iter().any(|place| place.ends_with("/**")), "{seen:#?}");
}
