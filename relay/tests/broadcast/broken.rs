//! A peer breaks in the middle.

use crate::{
    bed::{BLOCK, Bed, is_dead, kill, loss, until, written_pid},
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

/// Sends `signal` to the relay of node 2 of 5 while it holds the others up.
async fn break_the_third(signal: Signal, silence: Duration) -> Vec<Result<(), Failure>> {
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
    for index in [0, 1] {
        bed.assert_received(index);
    }
    for index in [0, 1, 3, 4] {
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
    report.outcomes
}

fn parent(pid: rustix::process::Pid) -> rustix::process::Pid {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let parent = after_name.split(' ').nth(1).unwrap();
    rustix::process::Pid::from_raw(parent.parse().unwrap()).unwrap()
}

fn assert_named(outcomes: &[Result<(), Failure>]) {
    assert_eq!(outcomes[..2], [Ok(()), Ok(())], "those before it finish");
    assert!(
        matches!(&outcomes[2], Err(Failure::Gone { name, .. }) if name == "node2"),
        "{:?}",
        outcomes[2]
    );
    let first = loss(&outcomes[3]);
    assert_eq!((first.node.as_str(), first.peer.as_str()), ("node3", "node2"));
    assert!(first.address.starts_with("127.0.0.4:"), "{first}");
    assert_eq!(first.offset, first.block * BLOCK as u64);
    assert!((1..60).contains(&first.block), "{first}");
    assert_eq!(loss(&outcomes[4]), first, "the cause is passed on");
}

#[tokio::test]
async fn a_relay_that_is_killed_fails_itself_and_those_behind_it() {
    assert_named(&break_the_third(Signal::KILL, Duration::from_secs(60)).await);
}

#[tokio::test]
async fn a_relay_that_freezes_is_noticed_by_its_silence() {
    let outcomes = break_the_third(Signal::STOP, Duration::from_secs(6)).await;
    assert_named(&outcomes);
    let text = outcomes[2].as_ref().unwrap_err().to_string();
    assert!(text.contains("nothing was heard for 6 s"), "{text}");
}

#[tokio::test]
async fn a_flipped_byte_on_the_wire_is_named() {
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
    assert_eq!(report.outcomes[..2], [Ok(()), Ok(())]);
    let loss = loss(&report.outcomes[2]);
    assert_eq!((loss.node.as_str(), loss.peer.as_str(), loss.block), ("node2", "node1", 4));
    assert_eq!(loss.why, "the block does not have its digest");
    assert_eq!(report.outcomes[2], report.outcomes[3]);
    bed.assert_received(1);
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
