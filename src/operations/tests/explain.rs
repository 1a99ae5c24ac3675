//! What is told of a node that does not get on.

use super::*;
use crate::platform::sim::Faults;

/// What is told of the first node so long after the beginning of a deployment in which `faults`
/// happen to it.
async fn told(faults: &str, after: Duration) -> crate::types::Explanation {
    let faults = Faults::parse(faults).unwrap();
    let scenario = Scenario { faults, ..Scenario::new(1, 1) };
    let bed = Bed::new(&scenario).await;
    bed.deploy(json!({"nodes": ["node-1.sim"]})).await;
    sleep(after).await;
    bed.operations.explain("node-1", &anna()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_in_its_firmware_has_asked_for_nothing() {
    let told = told("boot: {stuck: {rate: 1.0}}", Duration::from_secs(200)).await;
    assert_eq!(told.waits_for.as_deref(), Some("wait_reboot in SetDeploymentEnvUntrusted"));
    assert!(told.cause.contains("asked none of our boot servers"), "{told:?}");
    assert!(told.since.is_some_and(|since| since > 100), "{told:?}");
    assert!(told.until.is_some_and(|left| left > 0), "{told:?}");
    assert_eq!((&*told.seen.power, &*told.seen.ssh), ("on", "silent"));
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_kernel_panics_has_fetched_it() {
    let told = told("boot: {panic: {rate: 1.0}}", Duration::from_secs(300)).await;
    assert!(told.cause.contains("the kernel hangs or panicked"), "{told:?}");
    assert!(told.seen.request.is_some(), "{told:?}");
    assert!(told.next.iter().any(|next| next.contains("console")), "{told:?}");
}
