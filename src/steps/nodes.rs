//! `check_nodes` and `load_drivers`.

use super::{Check, Run, disk::everywhere, gather::each, remote};
use crate::platform::{Errand, Input, Reach};
use automata::{Context, NodeId, NodeSet, Outcome, Reason};
use std::time::Duration;

/// How long a node may take to answer: one that takes longer is to be booted.
const LIMIT: Duration = Duration::from_secs(20);

/// Lets the nodes pass that are what `check` asks for.
pub(super) async fn check(run: &Run, nodes: &NodeSet, cx: &Context, check: Check) -> Outcome {
    each(nodes, cx, |id| async move {
        match check {
            Check::Production => root_is(run, cx, id, &run.settings.prod_partition).await,
            Check::Deployed => {
                let target = run.target.as_ref().map_or("", |target| target.partition.as_str());
                root_is(run, cx, id, target).await
            }
            Check::Trusted => trusted(run, cx, id).await,
        }
    })
    .await
}

/// The node's root filesystem is on that partition.
async fn root_is(run: &Run, cx: &Context, id: NodeId, partition: &str) -> Result<(), Reason> {
    let limit = LIMIT.min(remote::time_left(cx));
    // The node may know the partition by another name: it says which device that is.
    let errand = Errand::RootDevice { beside: partition.to_owned() };
    let told = remote::within(run, id, errand, Input::Empty, limit).await?;
    let text = String::from_utf8_lossy(&told.stdout);
    let mut lines = text.lines().map(str::trim);
    let (found, wanted) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if !found.is_empty() && found == wanted {
        return Ok(());
    }
    let name = &run.node(id).name;
    Err(format!("Bad root partition: {name} runs from {found:?}, not from {partition}").into())
}

/// The node runs something that is trusted, and lets us in.
async fn trusted(run: &Run, cx: &Context, id: NodeId) -> Result<(), Reason> {
    let node = run.node(id);
    if !run.settings.trusted.contains(&node.name) {
        return Err(format!(
            "{} is not trusted: what is installed on it is not in trusted_deployment",
            node.name
        )
        .into());
    }
    if run.probe(node, run.settings.ssh_port, LIMIT).await != Reach::Open {
        return Err(format!("{} does not answer ssh", node.name).into());
    }
    let limit = LIMIT.min(remote::time_left(cx));
    remote::within(run, id, Errand::BootId, Input::Empty, limit).await.map(drop)
}

/// Loads the modules that the site names.
pub(super) async fn load_drivers(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let errand = Errand::LoadDrivers(run.settings.drivers.clone());
    everywhere(run, nodes, cx, errand, &Input::Empty).await
}
