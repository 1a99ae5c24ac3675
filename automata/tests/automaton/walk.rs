//! The walk by itself: random reports, legal and not, and the drawing of its plan.

use crate::support::{bad, good, set};
use automata::{
    Command, Failures, Illegal, InvalidPlan, NodeId, Plan, Position, Raise, Report, RunId, SetId,
    State, Step, Walk,
};
use proptest::prelude::*;

fn plan() -> Plan {
    let first = Position::new("first", [good("a").retries(1), good("b"), good("c").retries(2)]);
    let second = Position::new("second", [good("d").breakpoint(true)]);
    Plan::new([first, second, good("e").retries(1).into()])
}

fn counter() -> impl FnMut() -> SetId {
    let mut next = 0;
    move || {
        next += 1;
        SetId(next)
    }
}

#[test]
fn reports_that_do_not_fit_are_refused_and_change_nothing() {
    let (mut walk, first) = Walk::start(plan().compile().unwrap(), set(0..2), SetId::FIRST, true);
    let Command::Run { run, .. } = first[0] else { panic!("{first:?}") };
    let finished = Report::Finished { run, ok: set(0..2), ko: Failures::new() };
    let started = Report::Started { run, until: None };
    let nodes = Raise::Ok(set([0]));
    let before = walk.state().clone();
    let mut ids = counter();
    for (report, why) in [
        (&finished, Illegal::NotStarted(run)),
        (&Report::TimedOut { run }, Illegal::NotStarted(run)),
        (&Report::Raised { run, nodes, set: None }, Illegal::NotStarted(run)),
        (&Report::Started { run: RunId(9), until: None }, Illegal::NotOpen(RunId(9))),
        (&Report::TimedOut { run: RunId(9) }, Illegal::NotOpen(RunId(9))),
    ] {
        assert_eq!(walk.apply(report, &mut ids), Err(why));
        assert_eq!(*walk.state(), before);
    }
    assert_eq!(walk.apply(&started, &mut ids), Ok(vec![]));
    assert_eq!(walk.apply(&started, &mut ids), Err(Illegal::CannotStart(run)));
    walk.apply(&finished, &mut ids).unwrap();
    assert_eq!(walk.apply(&finished, &mut ids), Err(Illegal::NotOpen(run)));
    assert!(walk.state().has_paused());
    walk.apply(&Report::Killed { reason: "k".into() }, &mut ids).unwrap();
    assert_eq!(walk.apply(&finished, &mut ids), Err(Illegal::Killed));
    assert_eq!((walk.state().ko().len(), walk.state().is_done()), (2, true));
}

#[test]
fn plans_with_holes_are_refused_by_name() {
    let refused = |plan: Plan| plan.compile().err().map(|error| error.to_string());
    assert_eq!(
        Plan::default().compile().err(),
        Some(InvalidPlan::NoPositions("the plan".to_owned()))
    );
    let hollow = Plan::sequence([good("x"), Step::plan("Boot", Plan::default())]);
    assert_eq!(refused(hollow).unwrap(), "`Boot` has no steps: give it at least one");
    let hollow = Plan::new([Position::new("Broadcast", [])]);
    assert!(refused(hollow).unwrap().contains("`Broadcast` has no alternatives"));
}

#[test]
fn a_plan_can_be_drawn() {
    let boot = Step::plan("Boot", Plan::sequence([good("reboot").retries(2), bad("wait")]));
    let plan = Plan::new([Position::new("Boot", [boot.retries(1), good("other \"way\"")])]);
    let drawing = plan.compile().unwrap().dot();
    for part in [
        "digraph",
        "subgraph cluster_",
        "label=\"Boot\"",
        "label=\"reboot\"",
        "2 retries",
        "1 retry",
        "fall back",
        "give up",
        "other \\\"way\\\"",
    ] {
        assert!(drawing.contains(part), "no {part} in\n{drawing}");
    }
    assert_eq!(drawing.matches('{').count(), drawing.matches('}').count());
}

/// One choice of a random run: which open run, what it says, of which nodes.
type Choice = (prop::sample::Index, u8, u16);

/// Nodes of the low and the high bits of a number.
fn some(bits: u16, shift: u32) -> impl Iterator<Item = NodeId> {
    (0..8_u32).filter(move |node| bits >> (node + shift) & 1 == 1).map(NodeId)
}

fn report_of(walk: &Walk, (which, kind, bits): &Choice) -> Option<Report> {
    let open: Vec<_> = walk.state().open_runs().map(|(run, .., started)| (run, started)).collect();
    let ko = || -> Failures { some(*bits, 8).map(|node| (node, "no".into())).collect() };
    if open.is_empty() || kind % 32 == 31 {
        return walk.state().has_paused().then(|| match kind % 3 {
            0 => Report::Aborted { reason: "aborted".into() },
            _ => Report::Continued,
        });
    }
    let (run, started) = *which.get(&open);
    Some(match kind % 8 {
        _ if !started => Report::Started { run, until: None },
        0..3 => Report::Finished { run, ok: some(*bits, 0).collect(), ko: ko() },
        3 => Report::TimedOut { run },
        4 => Report::Raised { run, nodes: Raise::Ko(ko()), set: None },
        5 => Report::Raised {
            run,
            nodes: Raise::Brk(some(*bits & *bits >> 8, 0).collect()),
            set: None,
        },
        _ => {
            Report::Raised { run, nodes: Raise::Ok(some(*bits, 0).collect()), set: Some(SetId(77)) }
        }
    })
}

/// How many nodes settled by a list of commands.
fn settled(commands: &[Command]) -> Vec<NodeId> {
    let settled = commands.iter().filter_map(|command| match command {
        Command::Settle { nodes, .. } => Some(nodes.iter()),
        _ => None,
    });
    settled.flatten().collect()
}

proptest! {
    #[test]
    fn the_same_reports_give_the_same_state_and_every_node_settles_once(
        choices in prop::collection::vec(any::<Choice>(), 0..200),
        keep in any::<bool>(),
        kill in any::<bool>(),
    ) {
        let automaton = plan().compile().unwrap();
        let (mut walk, first) = Walk::start(automaton.clone(), set(0..8), SetId::FIRST, keep);
        let mut ends = settled(&first);
        let (mut ids, mut reports, mut states) = (counter(), Vec::new(), Vec::<State>::new());
        for choice in &choices {
            let Some(report) = report_of(&walk, choice) else { continue };
            ends.extend(settled(&walk.apply(&report, &mut ids).unwrap()));
            states.push(walk.state().clone());
            reports.push(report);
        }
        if kill {
            let report = Report::Killed { reason: "kill".into() };
            ends.extend(settled(&walk.apply(&report, &mut ids).unwrap()));
            states.push(walk.state().clone());
            reports.push(report);
            prop_assert_eq!(walk.state().ko().len(), 8);
        }
        let all = ends.len();
        ends.sort_unstable();
        ends.dedup();
        prop_assert_eq!(ends.len(), all, "a node settled twice");
        prop_assert_eq!(walk.state().is_done(), all == 8);

        let written = serde_json::to_string(&reports).unwrap();
        let reports: Vec<Report> = serde_json::from_str(&written).unwrap();
        let (mut again, _) = Walk::start(automaton, set(0..8), SetId::FIRST, keep);
        let mut ids = counter();
        for (report, state) in reports.iter().zip(&states) {
            again.apply(report, &mut ids).unwrap();
            prop_assert_eq!(again.state(), state);
        }
    }
}
