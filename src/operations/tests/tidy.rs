//! What a failed deployment leaves on its nodes.

use super::{retry::broken_relay, *};

#[tokio::test(start_paused = true)]
async fn a_deployment_that_fails_leaves_nothing_mounted() {
    let scenario = broken_relay();
    let bed = Bed::new(&scenario).await;
    let wid = bed.deploy(json!({})).await;
    let (world, mut mounted) = (&bed.stage.world, 0);
    while !bed.poll(&wid).done {
        mounted = mounted.max(NODES.iter().map(|node| world.mounted(node).len()).sum());
        sleep(Duration::from_secs(1)).await;
    }
    assert!(mounted > 0, "nothing was ever mounted");
    assert_eq!(bed.ended(&wid).await.1, NODES, "{}", bed.log(&wid));
    for node in NODES {
        let left = world.mounted(node);
        assert!(!left.iter().any(|place| place.starts_with("/mnt/dest")), "{node}: {left:?}");
    }
}
