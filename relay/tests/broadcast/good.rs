//! Everyone is well, or it is only the command that is not.

use crate::bed::{BLOCK, Bed, relay};
use relay::source::{Failure, Shape};
use std::time::Duration;

const SAVE: &str = r#"cat > "$OUT""#;

#[tokio::test]
async fn five_nodes_get_the_file_and_the_server_sends_it_once() {
    let size = 100 * BLOCK + 12_345;
    let mut bed = Bed::new(5, size, SAVE).await;
    let report = bed.run().await;
    assert_eq!(report.outcomes, vec![Ok(()); 5]);
    for index in 0..5 {
        bed.assert_received(index);
        bed.exited(index).await;
    }
    assert_eq!(*bed.progress.lock().unwrap(), vec![size as u64; 5]);
    let sent = usize::try_from(report.sent).unwrap();
    assert!(sent >= size && sent < size + size / 100, "{sent} bytes sent for {size}");
}

#[tokio::test]
async fn one_node_is_a_plain_stream() {
    for size in [0, 1, BLOCK, BLOCK + 1] {
        let mut bed = Bed::new(1, size, SAVE).await;
        assert_eq!(bed.run().await.outcomes, vec![Ok(())]);
        bed.assert_received(0);
    }
}

/// All `members` of a broadcast of that `shape`, in so many groups by turns, get everything; how
/// often the server sends it.
async fn shaped(members: usize, shape: Shape, groups: usize) -> f64 {
    let size = 60 * BLOCK;
    let mut bed = Bed::new(members, size, SAVE).await;
    bed.job.shape = shape;
    for (index, member) in bed.job.members.iter_mut().enumerate() {
        member.group = format!("switch {}", index % groups);
    }
    let report = bed.run().await;
    assert_eq!(report.outcomes, vec![Ok(()); members]);
    assert!(report.losses.is_empty(), "{:?}", report.losses);
    (0..members).for_each(|index| bed.assert_received(index));
    #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
    let images = report.sent as f64 / size as f64;
    images
}

#[tokio::test]
async fn nodes_of_two_switches_are_two_chains_and_the_server_sends_it_twice() {
    let images = shaped(6, Shape::default(), 2).await;
    assert!((2.0..2.05).contains(&images), "{images}");
}

#[tokio::test]
async fn in_a_tree_the_server_sends_it_once() {
    let images = shaped(7, Shape { arity: 2 }, 1).await;
    assert!((1.0..1.05).contains(&images), "{images}");
}

#[tokio::test]
async fn a_node_serves_as_many_others_as_it_is_told() {
    let images = shaped(26, Shape { arity: 24 }, 1).await;
    assert!((1.0..1.05).contains(&images), "{images}");
}

#[tokio::test]
async fn a_failed_command_fails_its_node_alone() {
    let command = r#"[ "$NODE" != 1 ] || { echo "no disk" >&2; exit 3; }; cat > "$OUT""#;
    let mut bed = Bed::new(3, 40 * BLOCK, command).await;
    let outcomes = bed.run().await.outcomes;
    let failed = Failure::Command { status: 3, stderr: "no disk".into() };
    assert_eq!(outcomes, vec![Ok(()), Err(failed), Ok(())]);
    bed.assert_received(0);
    bed.assert_received(2);
}

#[tokio::test]
async fn a_command_that_ends_early_with_status_0_has_not_succeeded() {
    let command = r#"[ "$NODE" != 0 ] || { exec head -c 10 >/dev/null; }; cat > "$OUT""#;
    let mut bed = Bed::new(2, 40 * BLOCK, command).await;
    let outcomes = bed.run().await.outcomes;
    assert!(matches!(outcomes[0], Err(Failure::Short { .. })), "{:?}", outcomes[0]);
    assert_eq!(outcomes[1], Ok(()));
    bed.assert_received(1);
}

#[tokio::test]
async fn a_command_that_stops_reading_is_killed_and_its_node_forwards() {
    let command = r#"[ "$NODE" != 0 ] || { exec sleep 600; }; cat > "$OUT""#;
    let mut bed = Bed::new(3, 40 * BLOCK, command).await;
    bed.job.timing.stall = Duration::from_secs(5);
    let outcomes = bed.run().await.outcomes;
    let Err(Failure::Failed(why)) = &outcomes[0] else { panic!("{:?}", outcomes[0]) };
    assert!(why.contains("took no byte for 5 s"), "{why}");
    assert_eq!(outcomes[1..], [Ok(()), Ok(())]);
    bed.assert_received(1);
    bed.assert_received(2);
}

#[tokio::test]
async fn a_node_that_does_not_come_is_left_out() {
    let mut bed = Bed::new(4, 10 * BLOCK, SAVE).await;
    bed.job.timing.join = Duration::from_secs(10);
    let absent = std::sync::Mutex::new(Vec::new());
    let report = bed
        .run_with(async |index, mut ticket| match index {
            0 => Err("no route".to_owned()),
            2 => {
                // Takes the connection and never speaks.
                let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                ticket.server = mute.local_addr().unwrap();
                absent.lock().unwrap().push(mute);
                Ok(ticket)
            }
            _ => Ok(ticket),
        })
        .await;
    assert_eq!(report.outcomes[0], Err(Failure::Launch("no route".into())));
    assert_eq!(
        report.outcomes[2].as_ref().unwrap_err().to_string(),
        "node2 did not join within 10 s"
    );
    for index in [1, 3] {
        assert_eq!(report.outcomes[index], Ok(()));
        bed.assert_received(index);
    }
}

#[tokio::test]
async fn the_program_says_what_it_is() {
    let version = relay().arg("--version").output().await.unwrap();
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        format!("kadence-relay {} protocol 4\n", env!("CARGO_PKG_VERSION"))
    );
    let digest = relay().arg("--digest").output().await.unwrap();
    let sum = std::process::Command::new("sha256sum")
        .arg(env!("CARGO_BIN_EXE_kadence-relay"))
        .output()
        .unwrap();
    assert_eq!(digest.stdout[..64], sum.stdout[..64]);
    assert!(!relay().arg("--what").output().await.unwrap().status.success());
}
