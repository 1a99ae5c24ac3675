//! What must hold wherever a service was stopped.

use super::{
    case::Case,
    ports::{DONE, Deed, PATIENT, SERVER, Sick, Sort},
    story::{Is, Story},
};
use crate::{store::NodeState, types::Kind};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What the order is called that lets a node jump into another kernel.
const KEXEC: &str = "Kexec";

const NODES: [&str; 3] = ["node-1.sim", "node-2.sim", "node-3.sim"];

/// What is wrong with `story`, beside `clean`, which is the same without a stop.
pub(super) fn broken(case: &Case, story: &Story, clean: &Story) -> Vec<String> {
    let mut broken = story.wrong.clone();
    broken.extend(outcome(case, story));
    broken.extend(orders(case, story, clean));
    broken.extend(writes(story, clean));
    broken.extend(unseen(story));
    broken.extend(unprepared(case, story));
    broken.extend(messages(story));
    broken
}

/// Every node comes to its right end, once.
fn outcome(case: &Case, story: &Story) -> Vec<String> {
    let mut broken = Vec::new();
    let Story { ok, ko, .. } = story;
    let well = |node: &&str| case.sick.is_none() || *node != PATIENT;
    let expected: Vec<_> = NODES.into_iter().filter(well).collect();
    if *ok != expected || ok.len() + ko.len() != NODES.len() || story.poll.error {
        broken.push(format!("ended with {:?}: {:?}", story.poll, story.reasons));
    }
    broken.extend(left(case, story));
    broken
}

/// What the nodes are left with.
fn left(case: &Case, story: &Story) -> Vec<String> {
    let mut broken = Vec::new();
    for (node, (runs, stays, told)) in &story.ends {
        if case.kind() == Kind::Deploy
            && story.ok.contains(node)
            && runs.as_deref() != Some(case.setting.runs)
        {
            broken.push(format!("{node} is ok and runs {runs:?}"));
        }
        if *stays {
            broken.push(format!("{node} is left with a profile that boots the deployment system"));
        }
        if *told > 1 {
            broken.push(format!("{node} ended {told} times"));
        }
    }
    let during = [NodeState::Deploying, NodeState::Rebooting, NodeState::Powering];
    for node in story.nodes.iter().filter(|node| during.contains(&node.state)) {
        broken.push(format!("{} is left {:?}", node.node, node.state));
    }
    broken
}

/// How often each thing of a sort was done to each node.
fn counts(deeds: &[Deed], sort: Sort) -> BTreeMap<(&str, &str), usize> {
    let mut counts = BTreeMap::new();
    for deed in deeds.iter().filter(|deed| deed.sort == sort) {
        *counts.entry((deed.node.as_str(), deed.what.as_str())).or_default() += 1;
    }
    counts
}

/// An order that reached a machine is not given again. It has to be where a machine booted without
/// our boot servers and runs what it ran before: once for a stop, more often for a long one, and
/// then with more force, for nobody saw it leave.
fn orders(case: &Case, story: &Story, clean: &Story) -> Vec<String> {
    let orders = |one: &Story| {
        let mut deeds = one.deeds.clone();
        if story.long {
            let reboots = deeds.iter_mut().filter(|deed| deed.what.ends_with(" reboot"));
            reboots.for_each(|deed| deed.what = "reboot".to_owned());
        }
        deeds
    };
    let [given, right] = [story, clean].map(orders);
    let [given, right] = [&given, &right].map(|deeds| counts(deeds, Sort::Order));
    let keys: BTreeSet<_> = given.keys().chain(right.keys()).collect();
    let mut broken = Vec::new();
    for key in keys {
        let [given, right] = [&given, &right].map(|all| all.get(key).copied().unwrap_or(0));
        // A machine that is found as it should be needs no order.
        let fewer = given < right && case.kind() == Kind::Power;
        let again = match (case.kind(), story.long) {
            // Whoever jumps needs no boot server.
            _ if key.1 == KEXEC => 0,
            (Kind::Deploy, false) => story.stops,
            (_, false) => 0,
            (_, true) => 2 * story.stops,
        };
        if !fewer && !(right..=right + again).contains(&given) {
            broken.push(format!("{key:?} {given} times instead of {right}"));
        }
    }
    broken
}

/// A node is written to once more at most for each stop: what was under way is done again.
fn writes(story: &Story, clean: &Story) -> Vec<String> {
    let [done, right] = [story, clean].map(|one| counts(&one.deeds, Sort::Write));
    let mut broken = Vec::new();
    for ((node, what), times) in &done {
        let most = right.get(&(node, what)).map_or(0, |right| right + story.stops);
        if *times > most {
            broken.push(format!("{what} of {node} {times} times"));
        }
    }
    for key in right.keys().filter(|key| !done.contains_key(key)) {
        broken.push(format!("{key:?} was left out"));
    }
    broken
}

/// After a restart no order is given again before somebody has looked at the node.
fn unseen(story: &Story) -> Vec<String> {
    let (mut seen, mut given) = (BTreeSet::new(), BTreeMap::new());
    let mut broken = Vec::new();
    for Deed { life, node, what, sort, .. } in &story.deeds {
        if *sort == Sort::Look {
            seen.insert((*life, node));
        }
        if *sort == Sort::Order {
            let first = *given.entry((node, what)).or_insert(*life);
            if first < *life && !seen.contains(&(*life, node)) {
                broken.push(format!("{what} of {node} again without a look at it"));
            }
        }
    }
    broken
}

/// Where the site has a command that comes before each jump from kernel to kernel, it has ended then.
fn unprepared(case: &Case, story: &Story) -> Vec<String> {
    let mut ready = !case.setting.prepares;
    let mut broken = Vec::new();
    for deed in &story.deeds {
        ready |= (deed.node.as_str(), deed.what.as_str()) == (SERVER, DONE);
        if deed.what == KEXEC && !ready {
            broken.push(format!("{} jumped before all was prepared for it", deed.node));
        }
    }
    broken
}

/// What must hold when the disk of the service fails: each node comes to an end, nobody is
/// told that all is well where it is not, and the reason names the state.
pub(super) fn failing(case: &Case, story: &Story, clean: &Story) -> Vec<String> {
    let mut broken = story.wrong.clone();
    let Story { ok, ko, .. } = story;
    if ok.len() + ko.len() != NODES.len() {
        broken.push(format!("ended with {:?}: {:?}", story.poll, story.reasons));
    }
    let named = |text: &str| text.contains("state");
    let why = story.error.iter().chain(&story.refused).map(ToString::to_string);
    let why: Vec<_> = why.chain(ko.iter().map(|node| story.reasons[node].clone())).collect();
    broken.extend(why.iter().filter(|why| !named(why)).cloned());
    if why.is_empty() && *ok != clean.ok {
        broken.push("nodes failed without a reason".to_owned());
    }
    broken.extend(left(case, story));
    // An order that could not be written down was not given: it may be given by a retry, or
    // with more force; but none that was given is given again, unless it is to boot the old
    // system of a node that nothing was written to.
    let right = counts(&clean.deeds, Sort::Order);
    for (key, given) in counts(&story.deeds, Sort::Order) {
        if given > right.get(&key).copied().unwrap_or(1) + 1 {
            broken.push(format!("{key:?} {given} times"));
        }
    }
    broken
}

/// What must hold for a deployment that was cancelled: each machine is in the state that its
/// result tells of, and no profile is left.
pub(super) fn undone(case: &Case, story: &Story, _: &Story) -> Vec<String> {
    let mut broken = story.wrong.clone();
    if story.ok.len() + story.ko.len() != NODES.len() {
        broken.push(format!("ended with {:?}: {:?}", story.poll, story.reasons));
    }
    broken.extend(left(case, story));
    broken.extend(messages(story));
    for (node, reason) in &story.reasons {
        let is = story.states[node];
        let told = [
            ("it runs what it ran before", Is::Runs),
            ("it is in the deployment system", Is::InDeploymentSystem),
            ("it is switched off", Is::Off),
            ("all had been done to it by then", Is::Runs),
        ];
        match told.iter().find(|(words, _)| reason.contains(words)) {
            Some((_, state)) if *state == is => {}
            _ => broken.push(format!("{node} is {is:?}; what is told is: {reason}")),
        }
    }
    broken
}

/// One line for each restart.
fn messages(story: &Story) -> Option<String> {
    let restarts = story.lines.iter().filter(|line| line.contains("The service was restarted"));
    let (told, stops) = (restarts.count(), story.stops);
    // A request that was not accepted, and an end that was written down, are not taken up.
    (told > stops).then(|| format!("{told} restarts were told of, {stops} happened"))
}

/// What was done without a record of it: each deed must be announced in the journal.
pub(super) fn unannounced(story: &Story) -> Vec<String> {
    let records: Vec<Value> = story
        .journal
        .iter()
        .map(|record| serde_json::from_str(record.body.get()).unwrap())
        .collect();
    let mut last: BTreeMap<&str, &Deed> = BTreeMap::new();
    let mut broken = Vec::new();
    for deed in story.deeds.iter().filter(|deed| deed.sort != Sort::Look) {
        let before = &records[..usize::try_from(deed.written).unwrap()];
        let announced = match deed.sort {
            Sort::Order => is_intended(before, &deed.node),
            Sort::Profile => is_profile_noted(before, deed),
            _ => true,
        };
        // Another thing is done to a node only after the journal has its reason.
        let same = last
            .insert(&deed.node, deed)
            .is_some_and(|last| last.what != deed.what && last.written == deed.written);
        if !announced || same {
            broken.push(format!("{} of {} is in no record", deed.what, deed.node));
        }
    }
    broken
}

fn number(node: &str) -> u64 {
    NODES.iter().position(|name| *name == node).unwrap() as u64
}

fn is_intended(before: &[Value], node: &str) -> bool {
    let notes = before.iter().rev().map(|record| &record["note"]["note"]["power"]);
    let mine = notes.filter(|note| note["node"] == number(node));
    mine.map(|note| note["phase"] == "intent").next().unwrap_or(false)
}

fn is_profile_noted(before: &[Value], deed: &Deed) -> bool {
    let notes = before.iter().rev().map(|record| &record["note"]["note"]["profile"]);
    let deploy = deed.what == "deploy";
    // The system of a file server comes from the network as well.
    let network = |note: &Value| note["deploy"] == true || note["boots"] == "nfsroot";
    notes.filter(|note| note.is_object()).any(|note| network(note) == deploy)
}

/// Whether the patient failed where it should.
pub(super) fn fails_in(sick: Sick, story: &Story) -> bool {
    let words = match sick {
        Sick::Preparation => "SetDeploymentEnv",
        Sick::Broadcast => "BroadcastEnv",
        Sick::Boot => "BootNewEnv",
        Sick::Orders => "",
    };
    story.lines.iter().any(|line| line.contains(words) && line.contains("failed for"))
}
