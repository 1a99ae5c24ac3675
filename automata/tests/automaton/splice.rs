//! Custom operations around a step.

use crate::support::{bad, fails_once, good, run, set};
use automata::{Plan, Position, Step, splice};

#[tokio::test(start_paused = true)]
async fn custom_operations_are_steps_before_after_and_instead() {
    let mount = Position::new("mount", [fails_once("mount", &[0]).retries(1)]);
    let format = Position::from(bad("format"));
    let mut positions =
        splice(mount, vec![good("pre-1"), good("pre-2")], vec![], vec![good("post")]);
    positions.extend(splice(format, vec![], vec![good("mine")], vec![good("last")]));
    let (ended, memory) = run(Plan::sequence([Step::plan("m", Plan::new(positions))]), 1).await;
    assert_eq!(ended.ok, set([0]));
    assert_eq!(
        memory.started(),
        [
            "m 0 0",
            "m-pre-1 0 0",
            "m-pre-2 0 0",
            "m-mount 0 0",
            "m-mount 0 1",
            "m-post 0 0",
            "m-mine 0 0",
            "m-last 0 0"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_custom_operation_that_fails_stops_what_follows_it() {
    let positions = splice(good("mount").into(), vec![bad("pre")], vec![], vec![]);
    let (ended, memory) = run(Plan::new(positions), 1).await;
    assert_eq!((ended.ko.len(), memory.started()), (1, vec!["pre 0 0".to_owned()]));
}
