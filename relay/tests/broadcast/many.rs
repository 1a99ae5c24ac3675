//! Sixteen relays, and some of them killed at any moment.

use crate::bed::{BLOCK, Bed, kill};
use relay::source::Failure;
use rustix::process::Signal;
use std::time::Duration;

const NODES: usize = 16;
const IMAGE: usize = 100 * BLOCK;
/// Bytes per second of each link: so the stream takes two seconds.
const RATE: u64 = IMAGE as u64 / 2;

/// Random numbers that are the same each time.
struct Dice(u64);

impl Dice {
    /// A number below `end`.
    fn roll(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

/// Who is killed, and when: bytes that the first of all has then. In order of the moments.
fn fates(seed: u64, killed: usize) -> Vec<(u64, usize)> {
    let mut dice = Dice(seed);
    let mut nodes: Vec<usize> = (0..NODES).collect();
    let mut fates: Vec<(u64, usize)> = (0..killed)
        .map(|_| {
            let victim = dice.roll(nodes.len() as u64);
            let moment = dice.roll(IMAGE as u64 * 7 / 10);
            (moment, nodes.swap_remove(usize::try_from(victim).unwrap()))
        })
        .collect();
    fates.sort_unstable();
    fates
}

/// The others finish when so many are killed.
async fn finish_without(seed: u64, killed: usize) {
    let mut bed = Bed::new(NODES, IMAGE, r#"cat > "$OUT""#).await;
    bed.job.rate = Some(RATE);
    let fates = fates(seed, killed);
    let (relays, progress) = (bed.relays.clone(), bed.progress.clone());
    let killing = async {
        for (moment, victim) in &fates {
            let farthest = || progress.lock().unwrap().iter().copied().max().unwrap();
            while farthest() < *moment || relays.lock().unwrap()[*victim].is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let id = relays.lock().unwrap()[*victim].as_ref().unwrap().id().unwrap();
            kill(rustix::process::Pid::from_raw(id.try_into().unwrap()).unwrap(), Signal::KILL);
        }
    };
    let (report, ()) = tokio::join!(bed.run(), killing);
    for (index, outcome) in report.outcomes.iter().enumerate() {
        if fates.iter().any(|(_, victim)| *victim == index) {
            let Err(Failure::Gone { name, .. }) = outcome else {
                panic!("seed {seed}: node{index} was killed: {outcome:?}")
            };
            assert_eq!(*name, format!("node{index}"));
        } else {
            assert_eq!(*outcome, Ok(()), "seed {seed}: node{index}");
            bed.assert_received(index);
        }
    }
}

#[tokio::test]
async fn fifteen_finish_without_one() {
    for seed in [1, 2] {
        finish_without(seed, 1).await;
    }
}

#[tokio::test]
async fn thirteen_finish_without_three() {
    for seed in [3, 4] {
        finish_without(seed, 3).await;
    }
}

#[tokio::test]
async fn the_last_of_sixteen_finishes_alone() {
    for seed in [5, 6] {
        finish_without(seed, NODES - 1).await;
    }
}

/// A disk of a megabyte, in a namespace of its own: only its node fails, and says why.
#[tokio::test]
async fn a_full_disk_fails_its_node_alone() {
    const COMMAND: &str = r#"
        [ "$NODE" = 1 ] || exec cat > "$OUT"
        mkdir "$OUT.disk"
        exec unshare --mount sh -c 'mount -t tmpfs -o size=1m disk "$OUT.disk" && exec cat > "$OUT.disk/image"'"#;
    let mut bed = Bed::new(4, IMAGE, COMMAND).await;
    let report = bed.run().await;
    for index in [0, 2, 3] {
        assert_eq!(report.outcomes[index], Ok(()), "node{index}");
        bed.assert_received(index);
    }
    let Err(Failure::Command { status: 1, stderr }) = &report.outcomes[1] else {
        panic!("{:?}", report.outcomes[1])
    };
    assert!(stderr.contains("No space left on device"), "{stderr}");
}
