//! The rules against a plain model: a set of triples, changed in the obvious way.

use super::*;
use proptest::prelude::*;

const USERS: [&str; 3] = ["anna", "ben", "root"];
const NODES: [&str; 4] = ["*", "n1", "n2", "n3"];
const PARTS: [&str; 3] = ["*", "/dev/sda1", "/dev/sda2"];

/// What somebody does.
#[derive(Clone, Debug)]
enum Act {
    Add(Wanted, bool),
    Take(Wanted),
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let names = |of: &'static [&'static str]| {
        proptest::collection::vec(proptest::sample::select(of).prop_map(str::to_owned), 0..3)
    };
    let user = proptest::sample::select(&USERS[..]).prop_map(str::to_owned);
    (user, names(&NODES[1..]), names(&PARTS[1..])).prop_map(|(user, nodes, partitions)| Wanted {
        user,
        nodes,
        partitions,
    })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (wanted(), any::<bool>()).prop_map(|(wanted, over)| Act::Add(wanted, over)),
        wanted().prop_map(Act::Take),
    ]
}

type Set = BTreeSet<(String, String, String)>;

fn triple(right: &RightRecord) -> (String, String, String) {
    (right.user.clone(), right.node.clone(), right.part.clone())
}

fn records(set: &Set) -> Vec<RightRecord> {
    let record = |(user, node, part): &(String, String, String)| RightRecord {
        user: user.clone(),
        node: node.clone(),
        part: part.clone(),
    };
    set.iter().map(record).collect()
}

fn of(set: &Set, user: &str) -> Vec<RightRecord> {
    records(set).into_iter().filter(|right| right.user == user).collect()
}

/// What a user may do, in the obvious words: for each node and partition, whether there is a
/// right on it; rights on all nodes, where he has some, are the only ones.
fn may(set: &Set, user: &str, node: &str, part: &str) -> bool {
    let all = set.iter().any(|(who, on, _)| who == user && on == ALL);
    set.iter().any(|(who, on, what)| {
        let there = if all { on == ALL } else { on == node };
        who == user && there && (part.is_empty() || what == ALL || what == part)
    })
}

fn named<'a>(list: &'a [String], all: &'a [&'a str]) -> Vec<&'a str> {
    if list.is_empty() { all.to_vec() } else { list.iter().map(String::as_str).collect() }
}

fn apply(set: &mut Set, turn: &Turn) {
    for right in &turn.forget {
        assert!(set.remove(&triple(right)), "took what was not there: {right:?}");
    }
    for right in &turn.put {
        assert!(set.insert(triple(right)), "gave what was there: {right:?}");
    }
}

fn check_add(before: &Set, after: &Set, wanted: &Wanted, over: bool) -> Result<(), TestCaseError> {
    for node in named(&wanted.nodes, &NODES[1..]) {
        for part in named(&wanted.partitions, &PARTS[1..]) {
            let everywhere = before.iter().any(|(who, on, _)| *who == wanted.user && on == ALL);
            // Rights on single nodes do not count beside rights on all.
            if wanted.nodes.is_empty() || !everywhere {
                prop_assert!(may(after, &wanted.user, node, part), "{} {}", node, part);
            }
        }
    }
    // He lost nothing that he could do.
    for node in &NODES[1..] {
        for part in &PARTS[1..] {
            if may(before, &wanted.user, node, part) {
                prop_assert!(may(after, &wanted.user, node, part), "lost {} {}", node, part);
            }
        }
    }
    // Others lost only what they had on those very nodes, and only where that was asked for.
    for right in before.difference(after).filter(|(who, ..)| *who != wanted.user) {
        let here = wanted.nodes.contains(&right.1);
        prop_assert!(over && here && right.0 != "root", "took {:?}", right);
    }
    for (who, ..) in after.difference(before) {
        prop_assert_eq!(who, &wanted.user);
    }
    Ok(())
}

fn check_take(before: &Set, after: &Set, wanted: &Wanted) -> Result<(), TestCaseError> {
    prop_assert!(after.is_subset(before) && after != before);
    for node in named(&wanted.nodes, &NODES[1..]) {
        for part in named(&wanted.partitions, &PARTS[1..]) {
            prop_assert!(!may(after, &wanted.user, node, part));
        }
    }
    for (who, node, _) in before.difference(after) {
        prop_assert_eq!(who, &wanted.user);
        prop_assert!(wanted.nodes.is_empty() || wanted.nodes.contains(node));
    }
    Ok(())
}

proptest! {
    #[test]
    fn rights_come_and_go_as_in_the_model(acts in proptest::collection::vec(act(), 1..25)) {
        let mut set = Set::new();
        for act in acts {
            let before = set.clone();
            match &act {
                Act::Add(wanted, over) => {
                    match add(&records(&set), wanted, *over, |user| user == "root") {
                        Ok(turn) => {
                            apply(&mut set, &turn);
                            check_add(&before, &set, wanted, *over)?;
                        }
                        Err(problem) => {
                            let text = problem.to_string();
                            let known = text.contains("are there already")
                                || text.contains("on single nodes")
                                || (text.contains("already set for user") && !over);
                            prop_assert!(known, "{}", text);
                        }
                    }
                }
                Act::Take(wanted) => {
                    if let Ok(turn) = take(&of(&set, &wanted.user), wanted) {
                        apply(&mut set, &turn);
                        check_take(&before, &set, wanted)?;
                    }
                }
            }
            for user in USERS {
                let mine = of(&set, user);
                for node in &NODES[1..] {
                    for part in PARTS[1..].iter().chain(&[""]) {
                        prop_assert_eq!(allows(&mine, &[node], part), may(&set, user, node, part));
                    }
                }
            }
        }
    }
}

fn right(user: &str, node: &str, part: &str) -> RightRecord {
    RightRecord { user: user.into(), node: node.into(), part: part.into() }
}

fn want(user: &str, nodes: &[&str], parts: &[&str]) -> Wanted {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Wanted { user: user.into(), nodes: texts(nodes), partitions: texts(parts) }
}

#[test]
fn overwriting_takes_the_rights_of_others_on_those_nodes_and_no_others() {
    let all = [
        right("ben", "n1", "*"),
        right("ben", "n2", "*"),
        right("ben", "*", "/dev/sda9"),
        right("root", "n1", "*"),
    ];
    let wanted = want("anna", &["n1"], &[]);
    let refused = add(&all, &wanted, false, |user| user == "root").unwrap_err().to_string();
    assert!(refused.contains("Some rights are already set for user ben on nodes n1"), "{refused}");
    let turn = add(&all, &wanted, true, |user| user == "root").unwrap();
    assert_eq!(turn.put, [right("anna", "n1", "*")]);
    assert_eq!(turn.forget, [right("ben", "n1", "*")]);
}

#[test]
fn a_right_on_all_swallows_those_on_some_and_is_not_taken_in_part() {
    let mine = [right("anna", "n1", "/dev/sda1"), right("anna", "n1", "/dev/sda2")];
    let turn = add(&mine, &want("anna", &["n1"], &[]), false, |_| false).unwrap();
    assert_eq!((turn.put.len(), turn.forget.len()), (1, 2));
    let conflict = |problem: Problem| match problem {
        Problem::Application { code, .. } => code.number(),
        _ => 0,
    };
    let of_all = add(&mine, &want("anna", &[], &["/dev/sda3"]), false, |_| false).unwrap_err();
    assert_eq!(conflict(of_all), 11);
    let whole = [right("anna", "*", "*")];
    assert_eq!(conflict(take(&whole, &want("anna", &["n1"], &[])).unwrap_err()), 11);
    assert_eq!(conflict(take(&whole, &want("anna", &[], &["/dev/sda1"])).unwrap_err()), 11);
    assert_eq!(take(&whole, &want("anna", &[], &[])).unwrap().forget, whole);
    assert_eq!(conflict(take(&[], &want("anna", &[], &[])).unwrap_err()), 14);
    let again = add(&whole, &want("anna", &[], &[]), false, |_| false).unwrap_err();
    assert_eq!(conflict(again), 14);
}
