//! Orders that were under way when the service was stopped: first a look.
//!
//! Between the note that an order is about to be given and the note that it was accepted,
//! nobody knows whether it reached the machine. The machine does: it is watched for as long
//! as an order may take to show, and only one that is seen to run on is ordered again.

use super::{
    Run,
    ledger::{BootOrder, Phase, attempt},
};
use crate::platform::{Level, PowerState, Reach, boot_id};
use automata::{Context, NodeId};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long an order to boot may take to show: a system that shuts down in an orderly way
/// closes its ssh port within seconds.
const EFFECT_LIMIT: Duration = Duration::from_secs(20);

/// Pause between two looks at one node.
const PAUSE: Duration = Duration::from_millis(500);

/// Bound of one connection attempt.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// Bound of reading a node's power state.
const STATUS_LIMIT: Duration = Duration::from_secs(20);

/// Bound of reading a boot id.
const BOOT_ID_LIMIT: Duration = Duration::from_secs(10);

/// What one look said.
enum Look {
    Left,
    Stays,
}

/// What became of an order of before the restart.
pub(super) enum Before {
    /// It has had its effect, or was accepted and will have it.
    Obeyed,
    /// It had no effect: it is given again, with so much force.
    Lost(Level),
    /// It had failed: more force is next.
    Failed(Level),
    /// There was none.
    Never,
}

/// What became of the order to boot that this attempt of the step, before the service was
/// stopped, gave `id`.
pub(super) async fn boot_order(run: &Run, cx: &Context, id: NodeId) -> Before {
    let Some(order) = run.boot_order(id).filter(|order| order.by == attempt(cx)) else {
        return Before::Never;
    };
    match run.power_order(id) {
        None => Before::Never,
        Some((level, Phase::Failed)) => failed(level),
        Some((_, Phase::Issued | Phase::Observed)) => Before::Obeyed,
        Some((level, Phase::Intent)) => {
            let left = leaves(run, id, &order).await;
            let what = if left { "was obeyed" } else { "had no effect and is given again" };
            let name = &run.node(id).name;
            let text = format!("   * The order to {name} from before the restart {what}");
            run.journalist.message(3, text);
            if left {
                run.observed(id).await;
            }
            if left { Before::Obeyed } else { Before::Lost(level) }
        }
    }
}

/// What became of an order to switch a node, given before the service was stopped.
pub(super) async fn power_order(run: &Run, id: NodeId, wanted: PowerState) -> Before {
    let Some((level, phase)) = run.power_order(id) else { return Before::Never };
    let undecided = matches!(phase, Phase::Intent | Phase::Issued);
    let until = Instant::now() + if undecided { EFFECT_LIMIT } else { Duration::ZERO };
    loop {
        match run.ports.power.status(run.node(id), STATUS_LIMIT).await {
            Ok(state) if state == wanted => {
                run.observed(id).await;
                return Before::Obeyed;
            }
            Ok(_) if Instant::now() < until => sleep(PAUSE).await,
            _ if phase == Phase::Failed => return failed(level),
            // What cannot be seen is ordered again: switching on what is on changes nothing.
            Ok(_) | Err(_) => return Before::Lost(level),
        }
    }
}

/// What follows on an order that failed at `level`: the next one, or the last one anew.
fn failed(level: Level) -> Before {
    if level.harder() == level { Before::Lost(level) } else { Before::Failed(level.harder()) }
}

/// Watches a node until it has left the system it ran when it was ordered to boot.
async fn leaves(run: &Run, id: NodeId, order: &BootOrder) -> bool {
    let until = Instant::now() + EFFECT_LIMIT;
    loop {
        if let Look::Left = look(run, id, order).await {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        sleep(PAUSE).await;
    }
}

async fn look(run: &Run, id: NodeId, order: &BootOrder) -> Look {
    let node = run.node(id);
    let seen = run.ports.presence.last_seen(node);
    if seen.is_some_and(|seen| order.at.is_none_or(|at| seen.at > at)) {
        return Look::Left;
    }
    if order.was_off {
        // That it is down proves nothing; that it has power does.
        let state = run.ports.power.status(node, STATUS_LIMIT).await;
        return if let Ok(PowerState::On) = state { Look::Left } else { Look::Stays };
    }
    if order.went_down {
        return Look::Left;
    }
    let reach = run.probe(node, run.settings.ssh_port, PROBE_LIMIT).await;
    match (reach, order.answered, order.boot_id) {
        (Reach::Open, _, Some(before)) => {
            match boot_id::boot_id(&*run.ports.shell, node, BOOT_ID_LIMIT).await {
                Ok(now) if now != before => Look::Left,
                Err(error) if error.is_of_another_system() => Look::Left,
                _ => Look::Stays,
            }
        }
        // It answered nothing before, and now it does.
        (Reach::Open, false, None) => Look::Left,
        (Reach::Refused | Reach::Silent, true, _) => {
            run.witness(super::Note::WentDown { node: id }).await;
            Look::Left
        }
        (Reach::Open, true, None) | (Reach::Refused | Reach::Silent, false, _) => Look::Stays,
    }
}
