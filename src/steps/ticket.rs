//! What destroys what is on a disk needs a ticket.
//!
//! A ticket is good for one write, by one attempt of one step of one operation, to one disk.
//! It is written down before it is used, so that none is ever given twice:
//!
//! * the first ticket of a node in an operation is for the disk that its node tells of then;
//!   every later one is for the same disk. A node that tells nothing of its disk gets
//!   tickets for a disk of which nothing is told;
//! * an attempt gets one ticket per node. A further attempt gets another one. So does an attempt
//!   that was in flight when the service was stopped: it begins again, once per restart, if
//!   its node still tells of the same disk;
//! * the node itself looks at the ticket: it does nothing if the disk is not the one
//!   or if it has seen the ticket before.

use super::{Note, Run, disk::no_target, gather::each, ledger, remote};
use crate::platform::{DiskId, DiskTicket, Errand, Input};
use automata::{Context, NodeId, NodeSet, Outcome, Reason};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Bound of asking which disk it is.
const IDENTIFY_LIMIT: Duration = Duration::from_secs(30);

/// The tickets of a run.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    last: u32,
    nodes: HashMap<NodeId, Held>,
}

/// The last ticket of a node.
#[derive(Debug)]
struct Held {
    disk: DiskId,
    /// Which attempt of which step has it.
    by: String,
    /// It is of before a restart.
    recalled: bool,
}

impl Tickets {
    /// Takes a ticket into account that was drawn, perhaps before a restart.
    pub(super) fn take(
        &mut self,
        (node, serial): (NodeId, u32),
        by: String,
        disk: DiskId,
        recalled: bool,
    ) {
        self.last = self.last.max(serial);
        self.nodes.insert(node, Held { disk, by, recalled });
    }

    /// Whether a node has had a ticket.
    pub(super) fn has(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }

    /// Number of the next ticket, for that attempt; none if it has had its own.
    fn draw(&mut self, node: NodeId, by: &str, recovering: bool) -> Option<u32> {
        let again = recovering && self.nodes.get(&node).is_some_and(|held| held.recalled);
        if !again && self.nodes.get(&node).is_some_and(|held| held.by == by) {
            return None;
        }
        if let Some(held) = self.nodes.get_mut(&node) {
            // Here and now: two that ask at once must not both get one.
            (held.by, held.recalled) = (by.to_owned(), false);
        }
        self.last += 1;
        Some(self.last)
    }
}

/// Does an errand that destroys what is on the disk of every node.
pub(super) async fn everywhere(
    run: &Run,
    nodes: &NodeSet,
    cx: &Context,
    errand: Errand,
    input: &Input,
) -> Outcome {
    if run.target.is_none() {
        return no_target(nodes);
    }
    let errand = &Arc::new(errand);
    each(nodes, cx, |id| async move {
        let errand = ticketed(run, cx, id, errand).await?;
        remote::command(run, cx, id, errand, input.clone()).await.map(drop)
    })
    .await
}

/// `errand` with a ticket for this attempt, which is written down.
pub(super) async fn ticketed(
    run: &Run,
    cx: &Context,
    id: NodeId,
    errand: &Arc<Errand>,
) -> Result<Errand, Reason> {
    let Some(target) = &run.target else { return Err("the operation installs nothing".into()) };
    let disk = disk(run, cx, id, &target.device).await?;
    let by = ledger::attempt(cx);
    let drawn = run.memory().tickets.draw(id, &by, cx.recovering());
    let Some(serial) = drawn else {
        return Err(format!(
            "refused: this attempt of {} has had its ticket for the disk of {}: it writes once",
            cx.path(),
            run.node(id).name
        )
        .into());
    };
    run.note(Note::Ticket { node: id, serial, by, disk: disk.clone() }).await?;
    let ticket =
        DiskTicket { id: format!("{}.{serial}", run.wid), device: target.device.clone(), disk };
    Ok(Errand::Ticketed { ticket, errand: Arc::clone(errand) })
}

/// Which disk this run writes to on a node. Asked for the first ticket, and after a restart.
async fn disk(run: &Run, cx: &Context, id: NodeId, device: &str) -> Result<DiskId, Reason> {
    let first = run.memory().tickets.nodes.get(&id).map(|held| held.disk.clone());
    if let Some(first) = &first
        && !cx.recovering()
    {
        return Ok(first.clone());
    }
    let errand = Errand::IdentifyDisk { device: device.to_owned() };
    let limit = IDENTIFY_LIMIT.min(remote::time_left(cx));
    let told = remote::within(run, id, errand, Input::Empty, limit).await?;
    let found = DiskId::told(&String::from_utf8_lossy(&told.stdout));
    match first {
        Some(first) if first != found => Err(format!(
            "refused: {device} of {} is another disk than the one this operation began to write \
             to, which was: {first}; now it is: {found}. Put that one back, or deploy the node anew",
            run.node(id).name
        )
        .into()),
        _ => Ok(found),
    }
}
