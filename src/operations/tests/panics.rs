//! A fault of our own in the middle of an operation.

use super::*;
use crate::{
    nodes::Node,
    platform::{Level, Power, PowerAction, PowerError, PowerState},
    store::NodeState,
    types::{PowerRequest, RebootRequest},
};

/// A power port with a mistake in it.
struct Mistaken;

#[async_trait::async_trait]
impl Power for Mistaken {
    async fn status(&self, _: &Node, _: Duration) -> Result<PowerState, PowerError> {
        Ok(PowerState::On)
    }

    async fn status_text(&self, _: &Node, _: Duration) -> Result<String, PowerError> {
        panic!("a mistake of ours")
    }

    async fn act(&self, _: &Node, _: PowerAction, _: Level, _: Duration) -> Result<(), PowerError> {
        panic!("a mistake of ours")
    }
}

#[tokio::test(start_paused = true)]
async fn no_node_stays_where_it_was_when_a_step_panicked() {
    let scenario = Scenario::new(71, 3);
    let bed = Bed::new(&scenario).await;
    let ports = Ports { power: Arc::new(Mistaken), ..bed.ports.clone() };
    bed.operations.means().premises.change(Arc::clone(&bed.stage.site), ports);
    let nodes = json!(["node-[1-3].sim"]);
    let reboot: RebootRequest =
        serde_json::from_value(json!({"nodes": nodes, "kind": "simple", "level": "hard"})).unwrap();
    let power: PowerRequest =
        serde_json::from_value(json!({"nodes": nodes, "status": "on"})).unwrap();
    let deploy: DeployRequest = serde_json::from_value(bed.body(json!({}))).unwrap();
    for (request, state, micro) in [
        (Request::Reboot(Box::new(reboot)), NodeState::RebootFailed, "Simple-reboot"),
        (Request::Power(Box::new(power)), NodeState::PowerFailed, "On-power"),
        (
            Request::Deploy(Box::new(deploy)),
            NodeState::DeployFailed,
            "SetDeploymentEnvUntrusted-reboot",
        ),
    ] {
        let kind = request.kind();
        let asked = Asked { request, user: "anna".into() };
        let wid = bed.operations.create(asked).await.unwrap().unwrap().wid;
        let poll = async || loop {
            let poll = bed.operations.poll(kind, &wid, &anna()).unwrap();
            if poll.done {
                break poll;
            }
            sleep(Duration::from_secs(1)).await;
        };
        let nodes = serde_json::to_value(poll().await.nodes).unwrap();
        assert_eq!(nodes, json!({"ok": [], "ko": NODES}));
        for (node, status) in bed.operations.state(kind, &wid, &anna()).unwrap() {
            let why = status.error.unwrap();
            assert!(why.starts_with(micro) && why.contains("panicked"), "{node}: {why}");
            // The next operation finds them free, which takes them all.
            assert_eq!(bed.record(&node).await.state, state, "{node}");
        }
    }
}
