//! How often each node was started on each step.

use automata::{Automaton, NodeSet, Path};
use litemap::LiteMap;
use std::collections::BTreeMap;

/// A step: position and alternative at each level.
type Key = Vec<(u32, u32)>;

/// Counts starts. A macro-step counts over the whole run, a micro-step within one attempt of
/// the macro-step around it.
#[derive(Default)]
pub(super) struct Starts {
    keys: Vec<(Key, Most)>,
    /// By node: starts of steps, by index into `keys`.
    nodes: Vec<LiteMap<u16, u16>>,
}

/// The most that happened to one node.
struct Most {
    path: String,
    starts: u32,
    /// The highest number an attempt had, and what it should have been by our count.
    wrong: Option<(u32, u32)>,
}

fn key(path: &Path) -> Key {
    path.steps().iter().map(|step| (step.position, step.alternative)).collect()
}

impl Starts {
    /// A step begins on `nodes`, as that attempt.
    pub(super) fn begin(&mut self, path: &Path, nodes: &NodeSet, attempt: u32) {
        let key = key(path);
        let index = self.index(&key, path);
        let inside: Vec<u16> = (0_u16..)
            .zip(&self.keys)
            .filter(|(_, (other, _))| other.len() > key.len() && other.starts_with(&key))
            .map(|(inside, _)| inside)
            .collect();
        for id in nodes {
            if self.nodes.len() <= id.index() {
                self.nodes.resize_with(id.index() + 1, LiteMap::new);
            }
            let counts = &mut self.nodes[id.index()];
            for inside in &inside {
                counts.remove(inside);
            }
            let count = counts.get(&index).map_or(1, |before| before.saturating_add(1));
            counts.insert(index, count);
            let (count, most) = (u32::from(count), &mut self.keys[usize::from(index)].1);
            most.starts = most.starts.max(count);
            if attempt + 1 != count {
                most.wrong = Some((attempt, count - 1));
            }
        }
    }

    fn index(&mut self, key: &Key, path: &Path) -> u16 {
        let known = self.keys.iter().position(|(known, _)| known == key);
        let index = known.unwrap_or_else(|| {
            let most = Most { path: path.to_string(), starts: 0, wrong: None };
            self.keys.push((key.clone(), most));
            self.keys.len() - 1
        });
        u16::try_from(index).unwrap_or(u16::MAX)
    }

    /// Where a node was started more often than `automaton` allows, or under a wrong number.
    pub(super) fn broken(&self, automaton: &Automaton) -> Vec<String> {
        let limits: BTreeMap<Key, u32> =
            automaton.limits().iter().map(|one| (key(&one.path), one.retries)).collect();
        let mut broken = Vec::new();
        for (key, Most { path, starts, wrong }) in &self.keys {
            match limits.get(key) {
                None => broken.push(format!("{path} was started and is not in the plan")),
                Some(retries) if *starts > retries + 1 => broken.push(format!(
                    "{path} was started {starts} times on a node, with {retries} retries"
                )),
                Some(_) => {}
            }
            if let Some((attempt, count)) = wrong {
                broken.push(format!("attempt {attempt} of {path} is attempt {count} of its node"));
            }
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use automata::{Context, NodeId, Outcome, Plan, Recovery, Step, Task};

    struct Nothing;

    #[async_trait::async_trait]
    impl Task for Nothing {
        fn recovery(&self) -> Recovery {
            Recovery::Rerun
        }

        async fn run(&self, nodes: NodeSet, _: Context) -> Outcome {
            Outcome::ok(nodes)
        }
    }

    #[test]
    fn one_start_too_many_is_found() {
        let inner = Plan::sequence([Step::task("micro", Nothing).retries(1)]);
        let plan = Plan::sequence([Step::plan("macro", inner).retries(1)]);
        let automaton = plan.compile().unwrap();
        let mut paths: Vec<_> = automaton.limits().into_iter().map(|one| one.path).collect();
        paths.sort_by_key(|path| path.steps().len());
        let [outer, micro] = paths.as_slice() else { panic!("{paths:?}") };
        let nodes: NodeSet = [NodeId(3)].into_iter().collect();
        let mut starts = Starts::default();
        for attempt in 0..2 {
            starts.begin(outer, &nodes, attempt);
            starts.begin(micro, &nodes, 0);
            starts.begin(micro, &nodes, 1);
        }
        assert_eq!(starts.broken(&automaton), Vec::<String>::new());
        starts.begin(micro, &nodes, 2);
        let text = starts.broken(&automaton).join("\n");
        assert_eq!(text, "macro-micro was started 3 times on a node, with 1 retries");
        starts.begin(outer, &nodes, 0);
        let text = starts.broken(&automaton).join("\n");
        assert!(text.contains("attempt 0 of macro is attempt 2 of its node"), "{text}");
    }
}
