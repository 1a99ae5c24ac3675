//! Links of a given speed: that takes root, which makes a network in namespaces of its own.

use crate::bed::{PATIENCE, bytes, relay};
use relay::{
    message::{Ticket, Timing},
    source::{self, Broadcast, Member, Report, Shape},
};
use std::{env, fs, net::Ipv4Addr, process::Stdio, sync::Mutex, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpListener, process::Command, time::timeout};

const NODES: usize = 4;
/// Megabits per second of the slow link, and of the others.
const SPEEDS: [u32; 2] = [16, 160];
const IMAGE: usize = 24 * 1024 * 1024;

/// Runs the program of its arguments beside a switch with four nodes, `$node0` to `$node3`.
const NETWORK: &str = r#"
ip link set lo up
ip link add switch type bridge && ip addr add 10.98.0.1/24 dev switch && ip link set switch up
for i in 0 1 2 3; do
    unshare --net sleep 1000 &
    node=$!
    export "node$i=$node"
    until [ "$(readlink /proc/$node/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.01; done
    ip link add "port$i" type veth peer name eth netns "$node"
    ip link set "port$i" master switch up
    nsenter -t "$node" -n ip link set lo up
    nsenter -t "$node" -n ip addr add "10.98.0.$((10 + i))/24" dev eth
    nsenter -t "$node" -n ip link set eth up
    rate=$fast; [ "$i" != "$slow" ] || rate=$thin
    tc qdisc add dev "port$i" root tbf rate "${rate}mbit" burst 32k latency 100ms
    nsenter -t "$node" -n tc qdisc add dev eth root tbf rate "${rate}mbit" burst 32k latency 100ms
done
"$@"
"#;

#[tokio::test]
async fn a_node_with_a_slow_link_holds_up_nobody() {
    the_others_do_not_wait_for(1).await;
}

/// The server sends to it as fast as it can: nothing on the server tells that it is slow.
#[tokio::test]
async fn nor_does_it_as_the_first_of_the_line() {
    the_others_do_not_wait_for(0).await;
}

async fn the_others_do_not_wait_for(slow: usize) {
    let run = Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-ec", NETWORK, "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "links::beside_a_switch"])
        .envs([("slow", slow.to_string()), ("thin", SPEEDS[0].to_string())])
        .env("fast", SPEEDS[1].to_string())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, run).await.expect("it ends").expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by the test above, in its network"]
async fn beside_a_switch() {
    let dir = tempfile::tempdir().unwrap();
    let image = bytes(IMAGE);
    fs::write(dir.path().join("image"), &image).unwrap();
    let listener = TcpListener::bind("10.98.0.1:0").await.unwrap();
    let out = |index: usize| dir.path().join(format!("out{index}"));
    let member = |index: usize| Member {
        name: format!("node{index}"),
        address: Ipv4Addr::new(10, 98, 0, 10 + u8::try_from(index).unwrap()).into(),
        command: format!("cat > {}", out(index).display()),
        group: String::new(),
        resumes: false,
    };
    let job = Broadcast {
        file: dir.path().join("image"),
        members: (0..NODES).map(member).collect(),
        server: listener.local_addr().unwrap(),
        deadline: PATIENCE,
        timing: Timing { beat: Duration::from_millis(200), ..Timing::default() },
        block: 64 * 1024,
        ring: 32,
        shape: Shape::default(),
        rate: None,
        total_rate: None,
        run: None,
        leaving: std::sync::Arc::default(),
    };
    let children = Mutex::new(Vec::new());
    let launch = async |index: usize, ticket: Ticket| {
        let mut child = on_node(index).stdin(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&serde_json::to_vec(&ticket).unwrap()).await.unwrap();
        children.lock().unwrap().push(child);
        Ok(())
    };
    let taken = Mutex::new([0; NODES]);
    let slow: usize = env::var("slow").unwrap().parse().unwrap();
    // What the slow one had when the last of the others was done.
    let behind = Mutex::new(None);
    let progress = |index: usize, bytes: u64| {
        let mut taken = taken.lock().unwrap();
        taken[index] = bytes;
        let done = |(index, bytes): (usize, &u64)| index == slow || *bytes == IMAGE as u64;
        if taken.iter().enumerate().all(done) {
            behind.lock().unwrap().get_or_insert(taken[slow]);
        }
    };
    let report = source::broadcast(listener, &job, launch, &progress).await.unwrap();
    (0..NODES).for_each(|index| assert!(fs::read(out(index)).unwrap() == image, "{index}"));
    all_are_well(&report, &job.members[slow].name);
    let behind = behind.into_inner().unwrap().unwrap();
    assert!(behind < IMAGE as u64 * 3 / 4, "the slow one had {behind} of {IMAGE}");
}

fn all_are_well(report: &Report, slow: &str) {
    assert_eq!(report.outcomes, vec![Ok(()); NODES]);
    let told = report.slow.iter().find(|one| one.name == slow);
    let told = told.unwrap_or_else(|| panic!("{:?}", report.slow)).to_string();
    assert!(told.contains("is so slow that nobody waits for it any more"), "{told}");
}

/// The relay in the namespace of a node.
fn on_node(index: usize) -> Command {
    let node = env::var(format!("node{index}")).unwrap();
    let mut command = Command::new("nsenter");
    command.args(["-t", &node, "-n"]).arg(relay().as_std().get_program()).arg("run");
    command.stdout(Stdio::null());
    command
}
