//! A peer breaks in the middle.

use crate::{
    bed::{BLOCK, Bed, PATIENCE, is_dead, kill, until, written_pid},
    proxy::Proxy,
};
use relay::source::Failure;
use rustix::process::Signal;
use std::time::Duration;

/// Node 2 takes three blocks and holds the pipeline up, once node 3 has had some; the
/// others save the image.
const HELD: &str = r#"
    if [ "$NODE" = 2 ]; then
        head -c 196608 > /dev/null
        until [ -s "${OUT%2}3" ]; do sleep 0.1; done
        echo $$ > "$OUT.pid"
        exec sleep 600
    fi
    cat > "$OUT""#;

/// Sends `signal` to the relay of node 2 of 5 while it holds the others up: all others finish.
async fn break_the_third(signal: Signal, silence: Duration) -> Failure {
    let mut bed = Bed::new(5, 60 * BLOCK, HELD).await;
    bed.job.timing.silence = silence;
    let pid_file = bed.out(2).with_extension("pid");
    // The relay is a child of the test, so its id is known once its command runs.
    let victim = std::sync::Arc::new(std::sync::Mutex::new(None));
    let told = victim.clone();
    let breaking = async {
        let command = written_pid(&pid_file).await;
        let relay = parent(command);
        kill(relay, signal);
        *told.lock().unwrap() = Some((relay, command));
    };
    let (report, ()) = tokio::join!(bed.run(), breaking);
    for index in [0, 1, 3, 4] {
        assert_eq!(report.outcomes[index], Ok(()), "node{index}");
        bed.assert_received(index);
        bed.exited(index).await;
    }
    let (relay, command) = victim.lock().unwrap().take().unwrap();
    assert_eq!(relay, bed.pid(2));
    if signal == Signal::STOP {
        // Awake again it finds the server gone, and leaves nothing behind.
        kill(relay, Signal::CONT);
        until("the command of the woken relay is killed", || is_dead(command)).await;
    } else {
        // Nobody is left to kill its command.
        kill(command, Signal::KILL);
    }
    bed.exited(2).await;
    // The image went out once, and besides it what node 3 missed; node 4 had it from there.
    let (sent, size) = (usize::try_from(report.sent).unwrap(), 60 * BLOCK);
    assert!(sent < 2 * size, "{sent} bytes sent for {size}");
    report.outcomes[2].clone().unwrap_err()
}

pub(crate) fn parent(pid: rustix::process::Pid) -> rustix::process::Pid {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let parent = after_name.split(' ').nth(1).unwrap();
    rustix::process::Pid::from_raw(parent.parse().unwrap()).unwrap()
}

#[tokio::test]
async fn the_others_finish_without_a_relay_that_is_killed() {
    let failure = break_the_third(Signal::KILL, Duration::from_secs(60)).await;
    assert!(matches!(&failure, Failure::Gone { name, .. } if name == "node2"), "{failure:?}");
}

#[tokio::test]
async fn the_others_finish_without_a_relay_that_freezes() {
    let failure = break_the_third(Signal::STOP, Duration::from_secs(8)).await;
    let text = failure.to_string();
    assert!(text.starts_with("the relay of node2 went away at block "), "{text}");
    assert!(text.contains("nothing was heard for 8 s"), "{text}");
}

/// The others go on without it, and it gets what it missed.
#[tokio::test]
async fn a_relay_that_wakes_up_again_finishes_too() {
    let mut bed = Bed::new(4, 60 * BLOCK, WAITING).await;
    bed.job.timing.silence = PATIENCE;
    let relay = bed.out(1).with_extension("pid");
    let (others, wake) = ([0, 2, 3].map(|index| bed.out(index)), bed.out(1).with_extension("go"));
    let freezing = async {
        let relay = parent(written_pid(&relay).await);
        kill(relay, Signal::STOP);
        for path in others {
            until("the others finish", || size(&path) == 60 * BLOCK as u64).await;
        }
        std::fs::write(&wake, "").unwrap();
        kill(relay, Signal::CONT);
    };
    let (report, ()) = tokio::join!(bed.run(), freezing);
    assert_eq!(report.outcomes, vec![Ok(()); 4]);
    (0..4).for_each(|index| bed.assert_received(index));
}

/// Node 1 takes three blocks, says so, and waits.
const WAITING: &str = r#"
    if [ "$NODE" = 1 ]; then
        head -c 196608 > "$OUT"
        echo $$ > "$OUT.pid"
        until [ -e "$OUT.go" ]; do sleep 0.1; done
        exec cat >> "$OUT"
    fi
    cat > "$OUT""#;

fn size(path: &std::path::Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// It is stuck for longer than the patience; nobody waits for it.
#[tokio::test]
async fn a_command_that_takes_nothing_for_a_while_holds_up_nobody() {
    let mut bed = Bed::new(4, 60 * BLOCK, WAITING).await;
    let (others, wake) = ([0, 2, 3].map(|index| bed.out(index)), bed.out(1).with_extension("go"));
    let waking = async {
        for path in others {
            until("the others finish", || size(&path) == 60 * BLOCK as u64).await;
        }
        std::fs::write(&wake, "").unwrap();
    };
    let (report, ()) = tokio::join!(bed.run(), waking);
    assert_eq!(report.outcomes, vec![Ok(()); 4]);
    (0..4).for_each(|index| bed.assert_received(index));
}

/// It takes a block in a tenth of a second, the others take what comes.
#[tokio::test]
async fn a_slow_command_holds_up_nobody() {
    const SLOW: &str = r#"
        if [ "$NODE" = 0 ]; then
            : > "$OUT"
            until [ -e "$OUT.go" ]; do head -c 16384 >> "$OUT"; sleep 0.05; done
        fi
        cat >> "$OUT""#;
    let mut bed = Bed::new(4, 200 * BLOCK, SLOW).await;
    let (others, hurry) = ([1, 2, 3].map(|index| bed.out(index)), bed.out(0).with_extension("go"));
    let slow = bed.out(0);
    let watching = async {
        for path in others {
            until("the others finish", || size(&path) == 200 * BLOCK as u64).await;
        }
        assert!(size(&slow) < 190 * BLOCK as u64, "it is behind: {}", size(&slow));
        std::fs::write(&hurry, "").unwrap();
    };
    let (report, ()) = tokio::join!(bed.run(), watching);
    assert_eq!(report.outcomes, vec![Ok(()); 4]);
    (0..4).for_each(|index| bed.assert_received(index));
}

#[tokio::test]
async fn a_node_that_comes_late_gets_what_it_missed() {
    let mut bed = Bed::new(4, 60 * BLOCK, r#"cat > "$OUT""#).await;
    bed.job.timing.gather = Duration::from_secs(1);
    let others = [0, 1, 3].map(|index| bed.out(index));
    let report = bed
        .run_with(async |index, ticket| {
            if index == 2 {
                for path in &others {
                    until("the others finish", || size(path) == 60 * BLOCK as u64).await;
                }
            }
            Ok(ticket)
        })
        .await;
    assert_eq!(report.outcomes, vec![Ok(()); 4]);
    (0..4).for_each(|index| bed.assert_received(index));
}

/// All relays but the last are killed, one after the other.
#[tokio::test]
async fn the_last_one_gets_the_image_when_all_before_it_die() {
    const MARKED: &str = r#"echo $$ > "$OUT.pid"; head -c 196608 > "$OUT"
        until [ -e "${OUT%?}0.go" ]; do sleep 0.1; done; exec cat >> "$OUT""#;
    let mut bed = Bed::new(6, 60 * BLOCK, MARKED).await;
    let pids = [0, 1, 2, 3, 4].map(|index| bed.out(index).with_extension("pid"));
    let go = bed.out(0).with_extension("go");
    let killing = async {
        for path in pids {
            let command = written_pid(&path).await;
            kill(parent(command), Signal::KILL);
            kill(command, Signal::KILL);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        std::fs::write(&go, "").unwrap();
    };
    let (report, ()) = tokio::join!(bed.run(), killing);
    assert_eq!(report.outcomes[5], Ok(()));
    bed.assert_received(5);
    for index in 0..5 {
        let failure = report.outcomes[index].as_ref().unwrap_err();
        let name = format!("node{index}");
        assert!(matches!(failure, Failure::Gone { name: gone, .. } if *gone == name), "{failure}");
    }
}

#[tokio::test]
async fn a_flipped_byte_on_the_wire_is_noticed_and_healed() {
    // Inside block 4, whatever few beats are on the wire before it.
    const AT: u64 = 300_000;
    let mut bed = Bed::new(4, 60 * BLOCK, r#"cat > "$OUT""#).await;
    let proxy = Proxy::new();
    let report = {
        let alter = async |index: usize, mut ticket: relay::message::Ticket| {
            if index == 1 {
                ticket.server = proxy.before(ticket.server, AT).await;
            }
            Ok(ticket)
        };
        bed.run_with(alter).await
    };
    assert_eq!(report.outcomes, vec![Ok(()); 4]);
    (0..4).for_each(|index| bed.assert_received(index));
    let healed = &report.losses[0];
    assert_eq!(
        (healed.node.as_str(), healed.peer.as_str(), healed.block),
        ("node2", "node1", 4),
        "{healed}"
    );
    assert_eq!(healed.why, "the block does not have its digest");
}

/// What it missed comes from the server, and breaks on the way: that is not its peer's fault.
#[tokio::test]
async fn the_server_is_named_when_what_it_sends_again_breaks() {
    // Inside block 1, whatever few beats are on the wire before it.
    const AT: u64 = 100_000;
    let mut bed = Bed::new(3, 60 * BLOCK, r#"cat > "$OUT""#).await;
    bed.job.timing.gather = Duration::from_secs(1);
    let others = [0, 1].map(|index| bed.out(index));
    let proxy = Proxy::new();
    let report = {
        let alter = async |index: usize, mut ticket: relay::message::Ticket| {
            if index == 2 {
                for path in &others {
                    until("the others finish", || size(path) == 60 * BLOCK as u64).await;
                }
                ticket.server = proxy.instead_of(ticket.server, AT).await;
            }
            Ok(ticket)
        };
        bed.run_with(alter).await
    };
    assert_eq!(report.outcomes, vec![Ok(()); 3]);
    bed.assert_received(2);
    let [loss] = &report.losses[..] else { panic!("{:?}", report.losses) };
    assert_eq!(
        (loss.node.as_str(), loss.peer.as_str(), loss.block),
        ("node2", "the server", 1),
        "{loss}"
    );
    assert_eq!(loss.why, "the block does not have its digest");
}

/// A pipeline that nobody moves ends at its deadline.
#[tokio::test]
async fn the_deadline_ends_what_hangs() {
    let mut bed = Bed::new(2, 4 * BLOCK, "cat > /dev/null; exec sleep 600").await;
    bed.job.deadline = Duration::from_secs(5);
    let deadline = Err(Failure::Deadline(bed.job.deadline));
    assert_eq!(bed.run().await.outcomes, vec![deadline.clone(), deadline]);
    bed.exited(0).await;
    bed.exited(1).await;
}

#[tokio::test]
async fn relays_whose_server_is_gone_kill_their_commands_and_exit() {
    let command = r#"echo $$ > "$OUT.pid"; cat > /dev/null; exec sleep 600"#;
    let mut bed = Bed::new(3, 20 * BLOCK, command).await;
    let files: Vec<_> = (0..3).map(|index| bed.out(index).with_extension("pid")).collect();
    let running = async {
        let mut pids = Vec::new();
        for file in &files {
            pids.push(written_pid(file).await);
        }
        pids
    };
    let pids = tokio::select! {
        report = bed.run() => panic!("it ended: {report:?}"),
        pids = running => pids,
    };
    // The broadcast has been dropped in the middle.
    for (index, pid) in pids.into_iter().enumerate() {
        bed.exited(index).await;
        until("the command is killed", || is_dead(pid)).await;
    }
}
