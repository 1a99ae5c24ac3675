//! Several nodes in a network and with disks of their own: that takes root, which makes namespaces.

use super::*;
use crate::{
    nodes::Node,
    platform::real::transfer::tests::{Bed, SAVE},
};
use std::{env, fs, net::Ipv4Addr};
use tokio::time::timeout;

const NODES: usize = 4;
/// Bytes of the image: sixteen pieces, and a bit.
const IMAGE: usize = (64 << 20) + 4321;
/// Nothing here takes so long, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs the program of its arguments beside a switch with nodes, `$node0` and so on. Each has a disk
/// of its own at `$down`. What the server sends goes through the device `switch`, at 100 Mbit/s; what
/// nodes send to one another does not.
const NETWORK: &str = r#"
ip link set lo up
ip link add switch type bridge && ip addr add 10.97.0.1/24 dev switch && ip link set switch up
tc qdisc add dev switch root tbf rate 100mbit burst 64k latency 100ms
for i in 0 1 2 3; do
    unshare --net --mount sh -c 'mount -t tmpfs node "$down" && exec sleep 1000' &
    node=$!
    export "node$i=$node"
    until [ "$(cat /proc/$node/comm)" = sleep ]; do sleep 0.01; done
    ip link add "port$i" type veth peer name eth netns "$node"
    ip link set "port$i" master switch up
    nsenter -t "$node" -n ip link set lo up
    nsenter -t "$node" -n ip addr add "10.97.0.$((10 + i))/24" dev eth
    nsenter -t "$node" -n ip link set eth up
done
"$@"
"#;

#[tokio::test]
async fn nodes_give_one_another_what_the_server_sends_once() {
    let down = tempfile::tempdir().unwrap();
    let run = Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-ec", NETWORK, "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg("platform::real::transfer::torrent::swarm::beside_a_switch")
        .env("down", down.path())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, run).await.expect("it ends").expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Words that run something on a node.
fn within(node: &Node) -> Vec<String> {
    let index = node.name.trim_start_matches('n').split('.').next().unwrap();
    let process = env::var(format!("node{index}")).unwrap();
    ["nsenter", "-t", &process, "-n", "-m", "--"].map(str::to_owned).to_vec()
}

/// Bytes that the server has sent.
fn sent() -> u64 {
    // As this process sees it: /sys is still that of the network outside.
    let devices = fs::read_to_string("/proc/self/net/dev").unwrap();
    let device = devices.lines().find_map(|line| line.trim().strip_prefix("switch:")).unwrap();
    device.split_whitespace().nth(8).unwrap().parse().unwrap()
}

#[tokio::test]
#[ignore = "run by the test above, in its network"]
async fn beside_a_switch() {
    let mut bed = Bed::with(|shell, _| shell.within = within);
    bed.image = (0..IMAGE).map(|at| (at ^ (at >> 9)).to_le_bytes()[0]).collect();
    let job = bed.job(NODES, SAVE);
    fs::write(&job.file, &bed.image).unwrap();
    let torrent = Torrent {
        tracker: Ipv4Addr::new(10, 97, 0, 1),
        limit: PATIENCE,
        directory: env::var("down").unwrap(),
    };
    let before = sent();
    let results = broadcast(&*bed.shell, &job, &torrent, &|_| ()).await;
    let sent = sent() - before;
    for Receiver { node, .. } in &job.receivers {
        assert_eq!(results[&node.name], Ok(()));
        bed.assert_received(node);
    }
    let images = sent / (IMAGE as u64 / 100);
    assert!(
        (100..300).contains(&images),
        "the server sent {images} % of the image to {NODES} nodes"
    );
}
