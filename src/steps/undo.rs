//! A deployment that is cancelled or fails: each node ends in a state that is known.
//!
//! What a failed one was at on a node is ended, and what it mounted is unmounted. Of one that is
//! cancelled there is more to do.
//! A node to whose disk nothing was written boots what it ran before; one to whose disk
//! something was written stays in the deployment system or is switched off, as its cluster's
//! file says. No profile stays behind that leads to the deployment system. What is done here
//! is written down as any step is: after a restart it is done again, and an order that was
//! given is looked at first.

use super::{Micro, Note, PowerStep, Run, Step, again};
use crate::platform::{Level, Reach, boot_id::boot_id};
use automata::{Context, NodeId, NodeSet, Outcome, Reason, Task};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// Bound of all orders to one node; what it then takes to boot comes on top.
const ORDERS_LIMIT: Duration = Duration::from_secs(330);

/// Bound of switching a node off where nothing else worked.
const OFF_LIMIT: Duration = Duration::from_secs(300);

/// How long an order may take to show that a running system has accepted.
const CALM: Duration = Duration::from_secs(30);

/// Bound of asking which boot a node is in.
const BOOT_ID_LIMIT: Duration = Duration::from_secs(10);

/// Bound of trying a port.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// What became of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// Its disk may not be as it was.
    pub written: bool,
    /// The state it is in, in words.
    pub state: String,
}

/// Brings a node whose deployment was broken off into a state that is known, within a bound.
/// `resumed` says that this may have been begun before a restart.
pub async fn undo(run: &Arc<Run>, id: NodeId, resumed: bool) -> Undone {
    let written = run.is_written(id);
    let bound = ORDERS_LIMIT + run.settings.boot_limit;
    let done = timeout(bound, bring(run, id, (written, resumed))).await;
    let done = done.unwrap_or_else(|_| Err(format!("nothing came of it in {bound:?}").into()));
    let state = match done {
        Ok(state) => state.to_owned(),
        Err(why) => match timeout(OFF_LIMIT, off(run, id, resumed)).await {
            Ok(Ok(())) => format!("it is switched off ({why})"),
            Ok(Err(error)) => unknown(&error),
            Err(_) => unknown(&format!("nothing came of it in {OFF_LIMIT:?}").into()),
        },
    };
    let disk = if written { "its disk was written to" } else { "its disk was not written to" };
    Undone { written, state: format!("{disk}, {state}") }
}

fn unknown(why: &Reason) -> String {
    format!("it could not be switched off: {why}. Look at its console")
}

/// The state in which a node ends; an error where it must be switched off.
async fn bring(
    run: &Arc<Run>,
    id: NodeId,
    (written, resumed): (bool, bool),
) -> Result<&'static str, Reason> {
    clear_profile(run, id).await?;
    match (written, run.boot_order(id).is_some()) {
        (false, false) => Ok("it was left as it was"),
        (false, true) => {
            one(run, id, Micro::Reboot(Level::Soft), resumed).await?;
            let timeout = run.settings.boot_limit;
            let wait = Micro::WaitReboot { deploy: false, timeout, press: true, moved: false };
            one(run, id, wait.clone(), resumed).await?;
            // An earlier order, of the deployment itself, may only now show: it counts when
            // the node is still there, or there again.
            sleep(CALM).await;
            one(run, id, wait, resumed).await?;
            Ok("it runs what it ran before")
        }
        (true, _) if run.settings.off_after_cancel => {
            off(run, id, resumed).await?;
            Ok("it is switched off")
        }
        (true, _) => {
            if !in_deployment_system(run, id).await {
                return Err("it was not in the deployment system".into());
            }
            again::tidy(run, id).await?;
            Ok("it is in the deployment system")
        }
    }
}

/// Nothing leads the node to the deployment system any more.
///
/// # Errors
/// That cannot be written down, or the profile stays.
pub async fn clear_profile(run: &Run, id: NodeId) -> Result<(), Reason> {
    // What others wrote is not ours: a node may need it to boot its disk.
    if !run.memory().profiles.contains_key(&id) {
        return Ok(());
    }
    let nodes: NodeSet = [id].into_iter().collect();
    let mut all = run.moved(&nodes);
    all.extend(run.members(&nodes));
    let cleared = run.ports.profiles.clear(&all).await;
    cleared.map_err(|error| Reason::from(error.to_string()))?;
    run.note(Note::NoProfile { nodes }).await
}

/// Ends what a deployment that failed left at work on a node, and what it mounted there: its disk
/// can be looked at, or the node be switched off, as it is. Nothing is done to a node that is
/// elsewhere than in the deployment system, or whose disk was not written to. Nor to one that has
/// been booted since: another operation may have taken it, and what is at work there is not ours.
///
/// # Errors
/// Something is still at work there, or that cannot be told.
pub async fn tidy(run: &Run, id: NodeId) -> Result<(), Reason> {
    let ours = run.memory().systems.get(&id).copied();
    let (true, Some(ours)) = (run.is_written(id), ours) else { return Ok(()) };
    if !in_deployment_system(run, id).await {
        return Ok(());
    }
    let now = boot_id(&*run.ports.shell, run.node(id), BOOT_ID_LIMIT).await;
    match now.map_err(|why| Reason::from(why.to_string()))? {
        now if now == ours => again::tidy(run, id).await,
        _ => Ok(()),
    }
}

async fn in_deployment_system(run: &Run, id: NodeId) -> bool {
    let address = IpAddr::V4(run.node(id).address);
    for port in [run.settings.ssh_port, run.settings.marker_port] {
        let reach = run.ports.presence.probe(SocketAddr::new(address, port), PROBE_LIMIT).await;
        if reach != Reach::Open {
            return false;
        }
    }
    true
}

async fn off(run: &Arc<Run>, id: NodeId, resumed: bool) -> Result<(), Reason> {
    one(run, id, Micro::Power(PowerStep::Off(Level::Soft)), resumed).await
}

/// Does a micro-step on one node.
async fn one(run: &Arc<Run>, id: NodeId, micro: Micro, resumed: bool) -> Result<(), Reason> {
    let name = format!("undo-{}", micro.name());
    let cx = if resumed { Context::detached_recovery(&name) } else { Context::detached(&name) };
    let lost = run.memory().lost.get(&id).cloned();
    if let Some(why) = lost {
        return Err(why);
    }
    let nodes = [id].into_iter().collect();
    let Outcome { ok, mut ko } = Step::new(micro, Arc::clone(run)).run(nodes, cx).await;
    match ko.remove(&id) {
        Some(why) => Err(why),
        None if ok.contains(id) => Ok(()),
        None => Err("it gave no result".into()),
    }
}

impl Run {
    /// Whether something may have been written to the disk of a node, by this operation or
    /// the one that it does again.
    pub fn is_written(&self, id: NodeId) -> bool {
        let memory = self.memory();
        memory.tickets.has(id) || memory.begins.contains_key(&id)
    }
}
