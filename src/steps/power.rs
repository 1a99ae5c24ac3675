//! `reboot`, `reboot_from_deploy_env` and `power`: orders, from soft to very hard.

use super::{
    PowerStep, Run,
    gather::{Gather, each},
    remote,
    run::BootOrder,
};
use crate::platform::{Input, Level, PowerAction, PowerError, PowerState, Reach, boot_id};
use automata::{Context, Failures, NodeId, NodeSet, Outcome, Reason};
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};

/// Bound of one power order: a BMC that says nothing for that long is dead.
const ORDER_LIMIT: Duration = Duration::from_secs(45);

/// Bound of reading a node's power state.
const STATUS_LIMIT: Duration = Duration::from_secs(20);

/// How long a running system may take to tell its boot id before it is rebooted.
const BOOT_ID_LIMIT: Duration = Duration::from_secs(3);

/// How long the ports of a node are tried before it is rebooted.
const PROBE_LIMIT: Duration = Duration::from_millis(500);

/// Starts the nodes anew. A retry of the macro-step begins at `hard`: the system
/// that did not obey once will hardly obey now.
pub(super) async fn reboot(run: &Run, nodes: &NodeSet, cx: &Context, level: Level) -> Outcome {
    let from = if cx.macro_attempt() > 0 { level.max(Level::Hard) } else { level };
    let mut gather = Gather::new(cx);
    let before = gather.each(nodes, |id| note_order(run, id)).await;
    debug_assert!(before.is_empty(), "taking note of an order cannot fail");
    gather.take_back();
    escalate(run, nodes, gather, PowerAction::Reboot, from).await
}

/// Asks the deployment system to reboot at once.
pub(super) async fn reboot_from_deploy_env(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let text = "nohup sh -c 'sleep 0.2; /sbin/reboot -f' >/dev/null 2>&1 </dev/null &";
    each(nodes, cx, |id| leave(run, cx, id, text)).await
}

/// Gives the running system of a node a last command, after which it boots.
pub(super) async fn leave(run: &Run, cx: &Context, id: NodeId, text: &str) -> Result<(), Reason> {
    note_order(run, id).await?;
    let _slot = run.windows.reboot.acquire().await;
    remote::command(run, cx, id, text, Input::Empty).await?;
    run.ports.shell.forget(run.node(id)).await;
    Ok(())
}

/// Switches on or off, or asks.
pub(super) async fn power(run: &Run, nodes: &NodeSet, cx: &Context, step: PowerStep) -> Outcome {
    match step {
        PowerStep::On(from) => escalate(run, nodes, Gather::new(cx), PowerAction::On, from).await,
        PowerStep::Off(from) => escalate(run, nodes, Gather::new(cx), PowerAction::Off, from).await,
        PowerStep::Status => {
            run.journalist.message(3, "   * A power status will be performed".into());
            each(nodes, cx, |id| status(run, id)).await
        }
    }
}

async fn status(run: &Run, id: NodeId) -> Result<(), Reason> {
    let told = run.ports.power.status_text(run.node(id), STATUS_LIMIT).await;
    let text = told.map_err(|error| Reason::from(error.to_string()))?;
    run.journalist.answer(id, text);
    Ok(())
}

/// Takes note of what is known of a node now, so that its reboot can be proved later.
async fn note_order(run: &Run, id: NodeId) -> Result<(), Reason> {
    let node = run.node(id);
    let port = SocketAddr::new(IpAddr::V4(node.address), run.settings.ssh_port);
    let boot_id = match run.ports.presence.probe(port, PROBE_LIMIT).await {
        Reach::Open => boot_id::boot_id(&*run.ports.shell, node, BOOT_ID_LIMIT).await.ok(),
        _ => None,
    };
    let order = BootOrder { at: SystemTime::now(), boot_id, went_down: false };
    run.orders().insert(id, order);
    Ok(())
}

/// Tries `action` on all nodes with more and more force; what still fails at the end has failed.
async fn escalate(
    run: &Run,
    nodes: &NodeSet,
    mut gather: Gather<'_>,
    action: PowerAction,
    from: Level,
) -> Outcome {
    let mut left = nodes.clone();
    let mut failed = Failures::new();
    for level in Level::ALL.into_iter().filter(|level| *level >= from) {
        let text = format!("   * Performing a {level} {action} on {}", run.names(&left));
        run.journalist.message(3, text);
        let now_failed = gather.each(&left, |id| act(run, id, action, level)).await;
        // A level that is not provided says less than what the level before it said.
        failed = merge(&failed, now_failed);
        left = failed.keys().copied().collect();
        if left.is_empty() {
            break;
        }
    }
    gather.outcome(failed)
}

fn merge(before: &Failures, now: Failures) -> Failures {
    let pick = |(id, reason): (NodeId, Reason)| match before.get(&id) {
        Some(earlier) if reason.ends_with(NOT_PROVIDED) => (id, earlier.clone()),
        _ => (id, reason),
    };
    now.into_iter().map(pick).collect()
}

/// The end of every message that only says that a level does not exist.
const NOT_PROVIDED: &str = "command is not provided";

async fn act(run: &Run, id: NodeId, action: PowerAction, level: Level) -> Result<(), Reason> {
    let node = run.node(id);
    let _slot = run.windows.reboot.acquire().await;
    let was_off = action == PowerAction::Reboot
        && level > Level::Soft
        && matches!(run.ports.power.status(node, STATUS_LIMIT).await, Ok(PowerState::Off));
    let acted = run.ports.power.act(node, action, level, ORDER_LIMIT).await;
    if let Err(error) = acted {
        if matches!(error, PowerError::NotProvided { .. }) {
            let text = format!("   ! No {level} {action} command is defined for {}", node.name);
            run.journalist.message(5, text);
        }
        return Err(error.to_string().into());
    }
    if action == PowerAction::Reboot {
        run.ports.shell.forget(node).await;
        if let (true, Some(order)) = (was_off, run.orders().get_mut(&id)) {
            order.went_down = true;
        }
    }
    Ok(())
}
