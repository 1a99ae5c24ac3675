//! What an operation left its nodes in, and where one that does it again goes on with each.

use super::{
    Inner,
    journal::{self, Entry},
    operation::Operation,
    order::Order,
};
use crate::{
    nodes::Node,
    steps::{self, Begin, Entrance, Left, Note},
    types::{Kind, NodeStatus},
};
use automata::ranges;
use futures_util::future::join_all;
use std::{collections::BTreeMap, time::UNIX_EPOCH};

/// What is known of nodes, by name.
type Known = BTreeMap<String, Left>;

/// What the journal of `first` says of its nodes; `orders` are its own, with all its nodes.
/// Nothing where the journal cannot be read: nothing relies on it then.
pub(super) async fn left(inner: &Inner, first: &Operation, orders: &[Order]) -> Known {
    let mut known = Known::new();
    for order in orders {
        let before = order.begins.iter().map(|(name, begin)| (name.clone(), begin.left.clone()));
        known.extend(before);
    }
    let start = first.start.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let read = journal::read(&*inner.means.store, &first.wid, start, |_, entry| {
        if let Entry::Note { cluster, note } = entry
            && let Some(order) = orders.iter().find(|order| order.cluster == cluster)
        {
            take(&mut known, order, note);
        }
        Ok(())
    });
    if let Err(why) = read.await {
        tracing::warn!(wid = first.wid, why, "its nodes begin at the start");
        known.clear();
    }
    known
}

fn take(known: &mut Known, order: &Order, note: Note) {
    let (Note::System { node: id, .. } | Note::Ticket { node: id, .. }) = &note else { return };
    let Some(node) = order.nodes.get(id.index()) else { return };
    let left = known.entry(node.name.clone()).or_default();
    match note {
        Note::System { boot, .. } => left.boot = Some(boot),
        // The first: every later one was for the same disk.
        Note::Ticket { disk, .. } => drop(left.disk.get_or_insert(disk)),
        _ => {}
    }
}

/// Decides, by a look at each node of `order`, where it goes on; what the user should know
/// of that.
pub(super) async fn decide(
    inner: &Inner,
    first: &Operation,
    order: &mut Order,
    (states, known): (&BTreeMap<String, NodeStatus>, &Known),
) -> Vec<String> {
    order.begins.clear();
    if first.kind != Kind::Deploy {
        return Vec::new();
    }
    let one = |node| begin(inner, order, node, (states, known));
    let decided = join_all(order.nodes.iter().map(|node| one(node))).await;
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let wid = &first.wid;
    for (node, decided) in order.nodes.iter().zip(decided) {
        let text = match &decided {
            Ok(Begin { from: Entrance::Broadcast, .. }) => {
                format!(
                    "go on with BroadcastEnv, on a new filesystem: still in the deployment system of {wid}"
                )
            }
            Ok(Begin { from: Entrance::Boot, .. }) => {
                format!("go on with BootNewEnv: still in the deployment system of {wid}")
            }
            Err(why) => format!("begin with SetDeploymentEnv: {why}"),
        };
        told.entry(text).or_default().push(node.name.clone());
        if let Ok(begin) = decided {
            order.begins.insert(node.name.clone(), begin);
        }
    }
    let line = |(text, names): (String, Vec<String>)| {
        format!("{} {text}", ranges::fold(names.iter().map(String::as_str)))
    };
    told.into_iter().map(line).collect()
}

/// Where a node goes on; why at the start.
async fn begin(
    inner: &Inner,
    order: &Order,
    node: &Node,
    (states, known): (&BTreeMap<String, NodeStatus>, &Known),
) -> Result<Begin, String> {
    let step = states.get(&node.name).and_then(|status| status.macro_step.as_deref());
    let Some(step) = step else { return Err("nothing was done to it".to_owned()) };
    let positions = &order.wish.positions;
    let position = positions.iter().position(|ways| ways.iter().any(|way| way.name == step));
    let from = position.and_then(Entrance::position);
    let from = from.ok_or_else(|| format!("it failed in {step}"))?;
    let left = known.get(&node.name).cloned().unwrap_or_default();
    let means = &inner.means;
    let device = order.target.as_ref().map_or("", |target| target.device.as_str());
    let ports = [order.settings.ssh_port, order.settings.marker_port];
    steps::still_there((&means.ports(), &means.windows), ports, node, (device, &left)).await?;
    Ok(Begin { from, left })
}
