//! What must hold whatever goes wrong.

use super::{
    record::{Told, Written},
    retold::Retold,
    stage::DIGEST,
};
use crate::{nodes::Node, operations::End, platform::sim::World, types::advice};
use automata::{ManagerPath, NodeId, Status};
use std::sync::Arc;

/// What is known of a run that is over.
pub(super) struct Facts {
    pub(super) world: Arc<World>,
    pub(super) nodes: Vec<Arc<Node>>,
    /// None if it did not end in time.
    pub(super) end: Option<End>,
    pub(super) written: Written,
    /// None as `end`.
    pub(super) retold: Option<Retold>,
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
    let (Some(end), Some(retold)) = (&facts.end, &facts.retold) else {
        broken.push("the run did not end: a node waits for ever".to_owned());
        return broken;
    };
    let ends = facts.nodes.iter().zip(&retold.tally.settled).zip(&end.nodes);
    broken.extend(ends.filter_map(|((node, settled), (_, reason))| {
        of_node(&facts.world, &node.name, settled, reason.as_deref())
    }));
    broken.extend(of_journal(retold, end, facts.nodes.len()));
    broken.extend(of_deadlines(retold, end));
    let past = &facts.past;
    broken.extend(retold.tally.starts.broken(&end.automaton));
    broken
        .extend(past.told.iter().flat_map(|told| told.late.iter().chain(&told.mistakes).cloned()));
    broken.extend(past.left.iter().cloned());
    let nameless = past.refusals.iter().filter(|why| !why.contains("state"));
    broken.extend(nameless.map(|why| format!("the disk failed, and all that was said is: {why}")));
    broken
}

/// Nothing may wait without an "until when": no step of the table, no run in the journal.
fn of_deadlines(retold: &Retold, end: &End) -> Vec<String> {
    let endless = end.automaton.unbounded();
    let endless = endless.iter().map(|path| format!("the step {path} has no time limit"));
    endless.chain(retold.endless.iter().cloned()).collect()
}

fn of_node(world: &World, name: &str, settled: &[Status], reason: Option<&str>) -> Option<String> {
    match settled {
        [Status::Ok] => {
            let runs = world.runs(name);
            if runs.as_deref() != Some(DIGEST) {
                let runs = runs.unwrap_or_else(|| "no installed system".to_owned());
                let console = world.console(name).join("\n  ");
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
    let stays = world.boots_deployment(name);
    stays.then(|| format!("{name} is left with a profile that boots the deployment system"))
}

/// The journal alone must lead to the same end.
fn of_journal(retold: &Retold, end: &End, nodes: usize) -> Option<String> {
    let walks = match retold.walks() {
        Ok(walks) => walks,
        Err(error) => return Some(format!("the journal does not replay: {error}")),
    };
    let Some(walk) = walks.walk(&ManagerPath::default()) else {
        return Some("the journal replays to no run".to_owned());
    };
    let state = walk.state();
    let same = state.is_done()
        && state.ok() == end.ended.ok
        && *state.ko() == end.ended.ko
        && state.brk() == end.ended.brk;
    let open = walks.in_flight().len();
    let all = (0_u32..).map(NodeId).take(nodes);
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
        operations::tell,
        platform::{Command, Errand, Input, Level, PowerAction},
        simulation::{Place, Scenario, Stage, state::State},
    };
    use automata::{Entry, Record, Report};
    use std::time::Duration;

    /// Of a BMC, by default.
    const QUIET: Duration = Duration::from_secs(5);

    /// A run that is well but for what `spoil` does to it; what is found.
    async fn found(spoil: impl FnOnce(&mut Facts)) -> String {
        let (mut facts, _) = well().await;
        spoil(&mut facts);
        broken(&facts).join("\n")
    }

    /// A run that is well, and its journal.
    async fn well() -> (Facts, Vec<(Duration, Record)>) {
        let scenario = Scenario::new(1, 3);
        let stage = Stage::new(&scenario, &Place::built_in().unwrap());
        let mut state = State::new(scenario.seed, &stage.world);
        let facts = stage.deploy_on(&mut state).await.unwrap();
        assert_eq!(broken(&facts), Vec::<String>::new());
        let mut records = Vec::new();
        let store = state.open(false).unwrap();
        tell(&*store, |at, record| records.push((at, record))).await.unwrap();
        (facts, records)
    }

    /// What is found if its journal is another one.
    async fn found_in(spoil: impl FnOnce(&mut Vec<(Duration, Record)>)) -> String {
        let (mut facts, mut records) = well().await;
        spoil(&mut records);
        let end = facts.end.as_ref().unwrap();
        let mut retold = Retold::new(&end.automaton, facts.nodes.len());
        for (at, record) in &records {
            retold.take(*at, record);
        }
        facts.retold = Some(retold);
        broken(&facts).join("\n")
    }

    #[tokio::test(start_paused = true)]
    async fn each_broken_invariant_is_found() {
        let settled = |again: Vec<Status>| {
            move |facts: &mut Facts| facts.retold.as_mut().unwrap().tally.settled[1] = again
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
        let panicked = "node-2.sim: the kexec step panicked: index out of bounds";
        let text = found(|facts| facts.past.told[0].mistakes.push(panicked.into())).await;
        assert_eq!(text, panicked);
        let text = found(|facts| facts.past.left.push("live tasks after the run: 1".into())).await;
        assert_eq!(text, "live tasks after the run: 1");
        let text = found(|facts| facts.end = None).await;
        assert!(text.contains("waits for ever"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_journal_that_says_something_else_is_found() {
        let text = found_in(|_| ()).await;
        assert_eq!(text, "");
        let text = found_in(|records| drop(records.pop())).await;
        assert!(text.contains("another end"), "{text}");
        let text = found_in(|records| {
            for (_, record) in records {
                if let Entry::Reported { report: Report::Started { until, .. }, .. } =
                    &mut record.entry
                {
                    *until = None;
                }
            }
        })
        .await;
        assert!(text.contains("has no deadline"), "{text}");
        let text = found_in(|records| drop(records.remove(0))).await;
        assert!(text.contains("does not replay"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_system_that_reboots_itself_while_its_bmc_is_ordered_is_found() {
        let (scenario, place) = (Scenario::new(1, 3), Place::built_in().unwrap());
        let stage = Stage::new(&scenario, &place);
        let ports = stage.plug().unwrap();
        stage.world.put_into_deployment("node-1.sim");
        let node = &stage.site.inventory.all()[0];
        let reboot = Command {
            errand: Errand::Reboot.into(),
            input: Input::Empty,
            deadline: Duration::from_secs(60),
            output_limit: 1024,
        };
        let order = ports.power.act(node, PowerAction::Reboot, Level::Hard, Duration::MAX);
        let (errand, order) = tokio::join!(ports.shell.run(node, &reboot), order);
        assert!(errand.is_ok() && order.is_ok(), "{errand:?} {order:?}");
        let violations = stage.world.audit(|audit| audit.violations().join("\n"));
        assert!(violations.contains("while another order was under way"), "{violations}");
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
