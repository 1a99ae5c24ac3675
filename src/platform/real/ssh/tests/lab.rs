//! A network that is cut: that takes root, which makes one in namespaces of its own.

use super::*;
use std::{env, process::Command as Program, time::Instant};

/// Far more than TCP needs to give a silent peer up, far less than the command takes.
const NOTICED: Duration = Duration::from_secs(120);
const WHOLE_TEST: Duration = Duration::from_secs(300);

/// Where the node is, on the far side of a cable.
const FAR: [u8; 4] = [10, 99, 0, 2];

/// Runs the program of its arguments on the near side, with the process on the far side in `$far`.
/// All of it ends with this shell.
const NETWORK: &str = r#"
ip link set lo up
unshare --net sleep 1000 &
export far=$!
until [ "$(readlink /proc/$far/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.01; done
ip link add near type veth peer name far netns $far
ip addr add 10.99.0.1/24 dev near && ip link set near up
nsenter -t $far -n ip addr add 10.99.0.2/24 dev far && nsenter -t $far -n ip link set far up
"$@"
"#;

/// A node that loses its power in the middle of a command: nothing comes from it any more, no end of
/// the connection either.
#[tokio::test]
async fn a_node_that_vanishes_is_noticed_long_before_the_deadline() {
    let inner = "platform::real::ssh::tests::lab::in_a_network_that_can_be_cut";
    let run = tokio::process::Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-ec", NETWORK, "sh"])
        .arg(env::current_exe().expect("this program"))
        .args(["--exact", "--ignored", "--nocapture", inner])
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(WHOLE_TEST, run).await.expect("it ends").expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by the test above, in its network"]
async fn in_a_network_that_can_be_cut() {
    let sshd = Sshd::start().await;
    let far = env::var("far").expect("a process on the far side");
    let there = |words: &str| {
        let mut program = Program::new("nsenter");
        program.args(["-t", &far, "-n"]).args(words.split(' '));
        program
    };
    let port = sshd.port;
    let listen = format!("socat TCP-LISTEN:{port},fork,reuseaddr TCP:10.99.0.1:{port}");
    let mut forwarder = there(&listen).spawn().expect("socat");
    while tokio::net::TcpStream::connect((std::net::Ipv4Addr::from(FAR), port)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (shell, started) = (sshd.shell(), sshd.path("started"));
    let text = format!("touch {}; sleep 1000", started.display());
    let long = Command { deadline: WHOLE_TEST, ..command(&text) };
    let cut = async {
        while !started.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Without its address the node takes in nothing and says nothing.
        let cut = there("ip addr flush dev far").status().expect("ip");
        assert!(cut.success());
        Instant::now()
    };
    let (ended, cut) = tokio::join!(async { shell.run(&node("n1", FAR), &long).await }, cut);
    assert!(matches!(ended, Err(ShellError::Unreachable { .. })), "{ended:?}");
    assert!(cut.elapsed() < NOTICED, "{:?}", cut.elapsed());
    forwarder.kill().and_then(|()| forwarder.wait()).expect("socat ends");
}
