//! `reboot`, `reboot_from_deploy_env` and `power`: orders, from soft to very hard.

use super::{
    Note, Phase, PowerStep, Run,
    gather::{Gather, each},
    ledger,
    recover::{self, Before},
    remote, together,
};
use crate::{
    nodes::Node,
    platform::{Errand, Input, Level, PowerAction, PowerError, PowerState, Reach, boot_id},
};
use automata::{Context, Failures, NodeId, NodeSet, Outcome, Reason};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Bound of one power order: a BMC that says nothing for that long is dead.
const ORDER_LIMIT: Duration = Duration::from_secs(45);

/// Bound of asking a running system to go off, which is seen to the end: it may take 90 seconds to
/// stop its services.
const SOFT_OFF_LIMIT: Duration = Duration::from_secs(135);

/// Bound of asking a running system to reboot: it hears that within seconds, or never.
const SOFT_LIMIT: Duration = Duration::from_secs(20);

/// Bound of reading a node's power state.
const STATUS_LIMIT: Duration = Duration::from_secs(20);

/// How long a running system may take to tell its boot id before it is rebooted: it is the
/// best proof there is, and a machine under load takes seconds to let us in.
const BOOT_ID_LIMIT: Duration = Duration::from_secs(10);

/// How long the ports of a node are tried before it is rebooted.
const PROBE_LIMIT: Duration = Duration::from_millis(500);

/// Starts the nodes anew. A retry of the macro-step begins at `hard`: the system
/// that did not obey once will hardly obey now. A node on which an accepted order was never
/// seen to have had an effect gets one with more force than that. Nodes that are off have no system to
/// ask: they are switched on.
pub(super) async fn reboot(run: &Run, nodes: &NodeSet, cx: &Context, level: Level) -> Outcome {
    let from = if cx.macro_attempt() > 0 { level.max(Level::Hard) } else { level };
    let mut gather = Gather::new(cx);
    if !cx.recovering() {
        return escalate(run, fresh(nodes), (cx, gather), PowerAction::Reboot, from).await;
    }
    let again = recovered(nodes, &mut gather, |id| recover::boot_order(run, cx, id)).await;
    escalate(run, again, (cx, gather), PowerAction::Reboot, from).await
}

/// Where each node begins that is ordered something.
type Starts = BTreeMap<NodeId, Start>;

/// Where a node begins.
#[derive(Clone, Copy, Default)]
struct Start {
    /// With this much force, if that is more than what is asked for.
    level: Option<Level>,
    /// It goes on with an order: what is known of it was noted before the first one.
    goes_on: bool,
}

/// Every one of `nodes`, from the beginning.
fn fresh(nodes: &NodeSet) -> Starts {
    nodes.iter().map(|id| (id, Start::default())).collect()
}

/// Looks at what became of orders of before a restart: nodes that obeyed are ready; where the
/// others begin.
async fn recovered<W>(
    nodes: &NodeSet,
    gather: &mut Gather<'_>,
    look: impl Fn(NodeId) -> W,
) -> Starts
where
    W: Future<Output = Before>,
{
    let starts = Mutex::new(Starts::new());
    let obeyed = |id| {
        let (look, starts) = (look(id), &starts);
        async move {
            let start = match look.await {
                Before::Obeyed => return Ok(()),
                Before::Never => Start::default(),
                Before::Lost(level) => Start { level: Some(level), goes_on: false },
                Before::Failed(level) => Start { level: Some(level), goes_on: true },
            };
            starts.lock().unwrap_or_else(PoisonError::into_inner).insert(id, start);
            Err("it is ordered again".into())
        }
    };
    gather.each(nodes, obeyed).await;
    starts.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Asks the deployment system to reboot at once.
pub(super) async fn reboot_from_deploy_env(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    each(nodes, cx, |id| async move {
        if has_left(run, cx, id).await {
            return Ok(());
        }
        send_off(run, cx, id, Errand::Reboot, Input::Empty).await
    })
    .await
}

/// Whether a node has obeyed an order that this attempt gave it before a restart.
pub(super) async fn has_left(run: &Run, cx: &Context, id: NodeId) -> bool {
    cx.recovering() && matches!(recover::boot_order(run, cx, id).await, Before::Obeyed)
}

/// Gives the running system of a node a last command, after which it boots.
pub(super) async fn send_off(
    run: &Run,
    cx: &Context,
    id: NodeId,
    errand: Errand,
    input: Input,
) -> Result<(), Reason> {
    let (answered, boot_id) = running_system(run, id).await;
    note_boot(run, cx, id, Known { answered, boot_id, was_off: false }).await?;
    let turn = run.windows.turns.take(run.node(id)).await.map_err(|why| why.to_string())?;
    let slot = run.windows.reboot.acquire().await;
    let order = run.intend(id, PowerAction::Reboot, Level::Soft).await?;
    let given = remote::command(run, cx, id, errand, input).await;
    drop((turn, slot));
    run.witness(order(if given.is_ok() { Phase::Issued } else { Phase::Failed })).await;
    given?;
    run.ports.shell.forget(run.node(id)).await;
    Ok(())
}

/// Switches on or off, or asks.
pub(super) async fn power(run: &Run, nodes: &NodeSet, cx: &Context, step: PowerStep) -> Outcome {
    match step {
        PowerStep::On(from) => {
            switch(run, nodes, cx, (PowerAction::On, PowerState::On), from).await
        }
        PowerStep::Off(from) => {
            switch(run, nodes, cx, (PowerAction::Off, PowerState::Off), from).await
        }
        PowerStep::Status => {
            run.journalist.message(3, "   * A power status will be performed".into());
            each(nodes, cx, |id| status(run, id)).await
        }
    }
}

async fn switch(
    run: &Run,
    nodes: &NodeSet,
    cx: &Context,
    (action, wanted): (PowerAction, PowerState),
    from: Level,
) -> Outcome {
    let mut gather = Gather::new(cx);
    if !cx.recovering() {
        return escalate(run, fresh(nodes), (cx, gather), action, from).await;
    }
    let again = recovered(nodes, &mut gather, |id| recover::power_order(run, id, wanted)).await;
    escalate(run, again, (cx, gather), action, from).await
}

async fn status(run: &Run, id: NodeId) -> Result<(), Reason> {
    let told = run.ports.power.status_text(run.node(id), STATUS_LIMIT).await;
    let text = told.map_err(|error| Reason::from(error.to_string()))?;
    run.witness(Note::Answer { node: id, text }).await;
    Ok(())
}

/// What is known of a node that is about to be ordered to boot.
struct Known {
    answered: bool,
    boot_id: Option<boot_id::BootId>,
    was_off: bool,
}

/// Whether the ssh port of a node is open, and which boot answers there.
async fn running_system(run: &Run, id: NodeId) -> (bool, Option<boot_id::BootId>) {
    let node = run.node(id);
    if run.probe(node, run.settings.ssh_port, PROBE_LIMIT).await != Reach::Open {
        return (false, None);
    }
    (true, boot_id::boot_id(&*run.ports.shell, node, BOOT_ID_LIMIT).await.ok())
}

/// Takes note of what is known of a node now, so that its reboot can be proved later.
async fn note_boot(run: &Run, cx: &Context, id: NodeId, known: Known) -> Result<(), Reason> {
    let Known { answered, boot_id, was_off } = known;
    let by = ledger::attempt(cx);
    run.note(Note::Boot { node: id, by, answered, boot_id, was_off }).await
}

/// The same before a reboot. A node that does not answer may be off, which its BMC knows:
/// nobody has to wait for a system that does not run.
async fn note_reboot(run: &Run, cx: &Context, id: NodeId) -> Result<(), Reason> {
    let (answered, boot_id) = running_system(run, id).await;
    let was_off = !answered && {
        let _slot = run.windows.reboot.acquire().await;
        let state = run.ports.power.status(run.node(id), STATUS_LIMIT).await;
        matches!(state, Ok(PowerState::Off))
    };
    note_boot(run, cx, id, Known { answered, boot_id, was_off }).await?;
    if was_off {
        let name = &run.node(id).name;
        run.journalist.message(5, format!("   * {name} is off: it is switched on"));
    }
    Ok(())
}

/// Why an order was not carried out.
pub(super) enum Refusal {
    /// It could not be written down, and so was not given: no machine is to blame, and no other
    /// order goes out instead.
    Unwritten(Reason),
    /// It was given, and refused.
    Refused(Reason),
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unwritten(why) | Refusal::Refused(why) => why,
        }
    }
}

/// Tries `action` on all nodes with more and more force, each from where it begins; what
/// still fails at the end has failed.
async fn escalate(
    run: &Run,
    starts: Starts,
    (cx, mut gather): (&Context, Gather<'_>),
    action: PowerAction,
    from: Level,
) -> Outcome {
    // Harder than what had no effect, be it in another attempt.
    let ignored =
        |id| if action == PowerAction::Reboot { run.open_reboot(id, false) } else { None };
    let first = |(id, start): (&NodeId, &Start)| {
        let known = start.level.or_else(|| ignored(*id).map(Level::harder));
        (*id, known.unwrap_or(from).max(from))
    };
    let first: BTreeMap<NodeId, Level> = starts.iter().map(first).collect();
    let (first, starts, unwritten) = (&first, &starts, &Mutex::new(BTreeSet::new()));
    let mut failed = Failures::new();
    for level in Level::ALL.into_iter().filter(|level| *level >= from) {
        let begin = first.iter().filter(|(_, first)| **first == level).map(|(id, _)| *id);
        let now: BTreeSet<NodeId> = begin.chain(failed.keys().copied()).collect();
        let lost = unwritten.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let now: NodeSet = now.difference(&lost).copied().collect();
        if now.is_empty() {
            continue;
        }
        let text = format!("   * Performing a {level} {action} on {}", run.names(&now));
        run.journalist.message(3, text);
        let groups = &together::groups(run, &now, action, level);
        let order = |id| async move {
            // Part of the order itself: a node that is slow to tell how it is holds nobody.
            let begins = first[&id] == level && !starts[&id].goes_on;
            let noted = if begins && action == PowerAction::Reboot {
                note_reboot(run, cx, id).await.map_err(Refusal::Unwritten)
            } else {
                Ok(())
            };
            let given = match (groups.get(&id), noted) {
                (Some(group), noted) => Box::pin(group.act(run, id, noted, (action, level))).await,
                (None, Ok(())) => act(run, id, action, level).await,
                (None, Err(refusal)) => Err(refusal),
            };
            given.map_err(|refusal| {
                if matches!(refusal, Refusal::Unwritten(_)) {
                    unwritten.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                }
                refusal.into()
            })
        };
        let now_failed = gather.each(&now, order).await;
        // A level that is not provided says less than one that was tried. Who gets no other order
        // has failed for the reason of the last one.
        let over = failed.iter().filter(|(id, _)| lost.contains(id));
        let over: Failures = over.map(|(id, why)| (*id, why.clone())).collect();
        failed = merge(&failed, now_failed);
        failed.extend(over);
    }
    gather.outcome(failed)
}

/// Gives a node that has not left for an order of `level` one with more force.
///
/// # Errors
/// There is none, or all were refused.
pub(super) async fn harder(run: &Run, id: NodeId, level: Level) -> Result<Level, Reason> {
    let mut why = Reason::from(format!("no reboot is stronger than {level}"));
    for level in Level::ALL.into_iter().filter(|one| *one > level) {
        match act(run, id, PowerAction::Reboot, level).await {
            Ok(()) => return Ok(level),
            Err(Refusal::Unwritten(reason)) => return Err(reason),
            Err(Refusal::Refused(reason)) => why = reason,
        }
    }
    Err(why)
}

fn merge(before: &Failures, now: Failures) -> Failures {
    let pick = |(id, reason): (NodeId, Reason)| match before.get(&id) {
        Some(earlier) if reason.ends_with(NOT_PROVIDED) && !earlier.ends_with(NOT_PROVIDED) => {
            (id, earlier.clone())
        }
        _ => (id, reason),
    };
    now.into_iter().map(pick).collect()
}

/// The end of every message that only says that a level does not exist.
const NOT_PROVIDED: &str = "command is not provided";

async fn act(run: &Run, id: NodeId, action: PowerAction, level: Level) -> Result<(), Refusal> {
    let node = run.node(id);
    // The turn first: whoever waits for it must not keep others from the window.
    let turn = run.windows.turns.take(node).await;
    let turn = turn.map_err(|why| Refusal::Refused(why.to_string().into()))?;
    let _slot = run.windows.reboot.acquire().await;
    let was_off = run.boot_order(id).is_some_and(|order| order.was_off);
    let order = run.intend(id, action, level).await.map_err(Refusal::Unwritten)?;
    let acted = if action == PowerAction::Reboot && was_off {
        start(run, node, level).await
    } else {
        run.ports.power.act(node, action, level, limit(action, level)).await
    };
    turn.over(&acted);
    run.witness(order(match (&acted, action) {
        (Err(_), _) => Phase::Failed,
        // Whether a node has rebooted is seen by `wait_reboot`.
        (Ok(()), PowerAction::Reboot) if !was_off => Phase::Issued,
        (Ok(()), _) => Phase::Observed,
    }))
    .await;
    if let Err(error) = acted {
        if matches!(error, PowerError::NotProvided { .. }) {
            let text = format!("   ! No {level} {action} command is defined for {}", node.name);
            run.journalist.message(5, text);
        }
        return Err(Refusal::Refused(error.to_string().into()));
    }
    if action == PowerAction::Reboot {
        run.ports.shell.forget(node).await;
    }
    Ok(())
}

/// Switches a node on that is off, by the site's way at `level` or a gentler one; by its
/// reboot where there is none.
async fn start(run: &Run, node: &Node, level: Level) -> Result<(), PowerError> {
    use PowerAction::{On, Reboot};
    for gentler in Level::ALL.into_iter().rev().filter(|one| *one <= level) {
        match run.ports.power.act(node, On, gentler, limit(On, gentler)).await {
            Err(PowerError::NotProvided { .. }) => {}
            acted => return acted,
        }
    }
    run.ports.power.act(node, Reboot, level, limit(Reboot, level)).await
}

pub(super) fn limit(action: PowerAction, level: Level) -> Duration {
    match (action, level) {
        (PowerAction::Reboot, Level::Soft) => SOFT_LIMIT,
        (PowerAction::Off, Level::Soft) => SOFT_OFF_LIMIT,
        _ => ORDER_LIMIT,
    }
}
