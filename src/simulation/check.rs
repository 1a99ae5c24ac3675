//! What must hold whatever goes wrong.

use super::{
    record::{Told, Written},
    stage::DIGEST,
};
use crate::{
    nodes::Node,
    operations::{End, time_since},
    platform::sim::World,
    types::advice,
};
use automata::{Entry, ManagerPath, NoObserver, NodeId, Replay, ReplayError, Report, Status};
use std::{collections::BTreeMap, sync::Arc};

/// What is known of a run that is over.
pub(super) struct Facts {
    pub(super) world: Arc<World>,
    pub(super) nodes: Vec<Arc<Node>>,
    /// None if it did not end in time.
    pub(super) end: Option<End>,
    pub(super) written: Written,
    pub(super) settled: BTreeMap<String, Vec<Status>>,
    pub(super) past: Past,
}

/// The services, one after the other.
#[derive(Default)]
pub(super) struct Past {
    /// What each of them told.
    pub(super) told: Vec<Told>,
    /// What should be gone, and is not.
    pub(super) left: Vec<String>,
    /// Why those before the last one stopped.
    pub(super) refusals: Vec<String>,
}

/// The invariants that were broken, each in a line.
pub(super) fn broken(facts: &Facts) -> Vec<String> {
    let mut broken = facts.world.audit(|audit| audit.violations().to_vec());
    let Some(end) = &facts.end else {
        broken.push("the run did not end: a node waits for ever".to_owned());
        return broken;
    };
    for (node, (_, reason)) in facts.nodes.iter().zip(&end.nodes) {
        broken.extend(of_node(facts, &node.name, reason.as_deref()));
    }
    broken.extend(of_journal(facts, end));
    broken.extend(of_deadlines(facts, end));
    let past = &facts.past;
    // The first attempt that a later service sees need not be the first.
    if let [told] = &past.told[..] {
        broken.extend(told.starts.broken(&end.automaton));
    }
    broken.extend(past.told.iter().flat_map(|told| told.late.iter().cloned()));
    broken.extend(past.left.iter().cloned());
    let nameless = past.refusals.iter().filter(|why| !why.contains("state"));
    broken.extend(nameless.map(|why| format!("the disk failed, and all that was said is: {why}")));
    broken
}

/// Nothing may wait without an "until when": no step of the table, no run in the journal.
fn of_deadlines(facts: &Facts, end: &End) -> Vec<String> {
    let endless = end.automaton.unbounded();
    let endless = endless.iter().map(|path| format!("the step {path} has no time limit"));
    let runs = facts.written.records.iter().filter_map(|record| match &record.entry {
        Entry::Reported { report: Report::Started { run, until: None }, .. } => {
            Some(format!("run {} of {:?} has no deadline", run.0, record.manager))
        }
        _ => None,
    });
    endless.chain(runs).collect()
}

fn of_node(facts: &Facts, name: &str, reason: Option<&str>) -> Option<String> {
    let settled = facts.settled.get(name).map_or(&[][..], Vec::as_slice);
    match settled {
        [Status::Ok] => {
            let runs = facts.world.runs(name);
            if runs.as_deref() != Some(DIGEST) {
                let runs = runs.unwrap_or_else(|| "no installed system".to_owned());
                let console = facts.world.console(name).join("\n  ");
                return Some(format!("{name} is ok and runs {runs}; its console:\n  {console}"));
            }
        }
        [Status::Ko] => {
            let Some(reason) = reason.filter(|reason| !reason.trim().is_empty()) else {
                return Some(format!("{name} failed without a reason"));
            };
            if advice(reason).is_none() {
                return Some(format!(
                    "{name} failed, and nobody knows whose matter it is: {reason}"
                ));
            }
        }
        other => return Some(format!("{name} was settled {} times: {other:?}", other.len())),
    }
    let stays = facts.world.boots_deployment(name);
    stays.then(|| format!("{name} is left with a profile that boots the deployment system"))
}

/// The journal told again, as a service does that starts: by the clock of the server.
fn replayed(facts: &Facts, end: &End) -> Result<Replay, ReplayError> {
    let Written { records, stamps, .. } = &facts.written;
    let start = stamps.first().copied().unwrap_or_default();
    let mut replay = Replay::new(Arc::clone(&end.automaton));
    for (record, stamp) in records.iter().zip(stamps) {
        let at = u64::try_from(stamp.as_millis()).unwrap_or(u64::MAX);
        replay.take(record, time_since(start, at), &NoObserver)?;
    }
    Ok(replay)
}

/// The journal alone must lead to the same end.
fn of_journal(facts: &Facts, end: &End) -> Option<String> {
    let replayed = match replayed(facts, end) {
        Ok(replayed) => replayed,
        Err(error) => return Some(format!("the journal does not replay: {error}")),
    };
    let Some(walk) = replayed.walk(&ManagerPath::default()) else {
        return Some("the journal replays to no run".to_owned());
    };
    let state = walk.state();
    let same = state.is_done()
        && state.ok() == end.ended.ok
        && *state.ko() == end.ended.ko
        && state.brk() == end.ended.brk;
    let open = replayed.in_flight().len();
    let all = (0_u32..).map(NodeId).take(facts.nodes.len());
    let lost =
        all.filter(|id| !end.ended.ok.contains(*id) && !end.ended.ko.contains_key(id)).count();
    match (same, open, lost) {
        (true, 0, 0) => None,
        (false, ..) => Some("the journal replays to another end".to_owned()),
        (_, open, lost) => {
            Some(format!("{open} steps are in flight at the end, {lost} nodes are lost"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        platform::{Level, PowerAction},
        simulation::{Place, Scenario, Stage},
    };
    use std::time::Duration;

    /// Of a BMC, by default.
    const QUIET: Duration = Duration::from_secs(5);

    /// A run that is well but for what `spoil` does to it; what is found.
    async fn found(spoil: impl FnOnce(&mut Facts)) -> String {
        let scenario = Scenario::new(1, 3);
        let stage = Stage::new(&scenario, &Place::built_in().unwrap());
        let mut facts = stage.deploy().await.unwrap();
        assert_eq!(broken(&facts), Vec::<String>::new());
        spoil(&mut facts);
        broken(&facts).join("\n")
    }

    #[tokio::test(start_paused = true)]
    async fn each_broken_invariant_is_found() {
        let name = "node-2.sim";
        let settled = |again: Vec<Status>| {
            move |facts: &mut Facts| drop(facts.settled.insert(name.into(), again))
        };
        let text = found(settled(vec![Status::Ok, Status::Ok])).await;
        assert!(text.contains("node-2.sim was settled 2 times"), "{text}");
        let text = found(settled(vec![])).await;
        assert!(text.contains("node-2.sim was settled 0 times"), "{text}");
        let text = found(settled(vec![Status::Ko])).await;
        assert!(text.contains("node-2.sim failed without a reason"), "{text}");
        let text = found(|facts| {
            settled(vec![Status::Ko])(facts);
            if let Some(end) = &mut facts.end {
                end.nodes[1].1 = Some("the stars were not right".to_owned());
            }
        })
        .await;
        assert!(text.contains("nobody knows whose matter it is: the stars"), "{text}");
        let text =
            found(|facts| facts.past.told[0].late.push("Retry of n after it was settled".into()));
        assert_eq!(text.await, "Retry of n after it was settled");
        let text = found(|facts| facts.past.left.push("live tasks after the run: 1".into())).await;
        assert_eq!(text, "live tasks after the run: 1");
        let text = found(|facts| facts.end = None).await;
        assert!(text.contains("waits for ever"), "{text}");
        let text = found(|facts| drop(facts.written.records.pop())).await;
        assert!(text.contains("another end"), "{text}");
        let text = found(|facts| {
            for record in &mut facts.written.records {
                if let Entry::Reported { report: Report::Started { until, .. }, .. } =
                    &mut record.entry
                {
                    *until = None;
                }
            }
        })
        .await;
        assert!(text.contains("has no deadline"), "{text}");
        let text = found(|facts| drop(facts.written.records.remove(0))).await;
        assert!(text.contains("does not replay"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_does_not_run_the_image_is_found() {
        let (scenario, place) = (Scenario::new(1, 3), Place::built_in().unwrap());
        let stage = Stage::new(&scenario, &place);
        let (world, ports) = (Arc::clone(&stage.world), stage.plug().unwrap());
        let text = found(|facts| facts.world = Arc::clone(&world)).await;
        assert!(text.contains("is ok and runs an older image"), "{text}");
        // Two orders at once, and one to a node that is settled.
        let node = Arc::new(Node { name: "node-1.sim".into(), ..Node::example() });
        let order = || ports.power.act(&node, PowerAction::On, Level::Hard, Duration::MAX);
        let (first, second) = tokio::join!(order(), order());
        assert!(first.is_ok() && second.is_ok());
        // Another one at once; its twin has the same BMC.
        let twin = Arc::new(Node { name: "node-2.sim".into(), ..Node::example() });
        let on = |node: &Arc<Node>| {
            let (node, power) = (Arc::clone(node), Arc::clone(&ports.power));
            async move { power.act(&node, PowerAction::On, Level::Hard, QUIET).await.unwrap() }
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        on(&twin).await;
        tokio::time::sleep(QUIET).await;
        on(&node).await;
        tokio::time::sleep(QUIET).await;
        world.audit(|audit| audit.close("node-1.sim"));
        order().await.unwrap();
        let violations = world.audit(|audit| audit.violations().to_vec());
        let [both, bmc, early, after] = violations.as_slice() else { panic!("{violations:?}") };
        assert!(both.contains("of node-1.sim while another order was under way"), "{both}");
        assert!(bmc.contains("of the BMC at bmc-1.sim while another"), "{bmc}");
        assert!(early.contains("of the BMC at bmc-1.sim, "), "{early}");
        assert!(early.ends_with(" s before its quiet period was over"), "{early}");
        assert!(after.contains("after it was settled"), "{after}");
    }
}
