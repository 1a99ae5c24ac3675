//! Which machines there are, and which ones a user means.

use super::Node;
use crate::types::{Code, Problem};
use aho_corasick::AhoCorasick;
use automata::ranges;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// Most nodes that a request may name, and one name stand for: a range above it is a slip of the
/// pen.
const MOST_NODES: usize = 100_000;

/// All machines of the site, in natural order.
#[derive(Debug, Default)]
pub struct Inventory {
    nodes: Vec<Arc<Node>>,
    by_name: HashMap<String, usize>,
}

/// Machines a user named.
#[derive(Debug, PartialEq, Eq)]
pub struct Selection {
    /// Each once, in natural order.
    pub nodes: Vec<Arc<Node>>,
    /// What the user should know, such as a name given twice.
    pub notes: Vec<String>,
}

impl Inventory {
    /// An inventory of `nodes`; their names are different from one another.
    pub fn new(mut nodes: Vec<Arc<Node>>) -> Self {
        nodes.sort_by(|a, b| ranges::natural_order(&a.name, &b.name));
        let by_name = nodes.iter().enumerate().map(|(at, node)| (node.name.clone(), at)).collect();
        Self { nodes, by_name }
    }

    /// All machines, in natural order.
    pub fn all(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// The machine of that very name.
    pub fn get(&self, name: &str) -> Option<&Arc<Node>> {
        self.by_name.get(name).map(|index| &self.nodes[*index])
    }

    /// The machines that `names` (names and ranges, as typed) stand for. Error 2 for an
    /// empty list, a malformed or exploding range, an unknown or an ambiguous name.
    pub fn select(&self, names: &[String]) -> Result<Selection, Problem> {
        let wrong = |why: String| Problem::parameter(Code::InvalidNodelist, "nodes", why);
        if names.is_empty() {
            return Err(
                wrong("mandatory".into()).hint("name the nodes with -m, as in -m 'node-[1-3]'")
            );
        }
        let (wanted, repeated) = each_once(names).map_err(wrong)?;
        let (mut chosen, mut twice) = (BTreeSet::new(), BTreeSet::new());
        for (name, found) in wanted.iter().zip(self.find(&wanted)) {
            let index = found.map_err(|problem| match problem {
                NotFound::Unknown => wrong(format!("The node '{name}' does not exist"))
                    .hint(format!("known nodes: {}", self.folded())),
                NotFound::Ambiguous(could) => wrong(format!(
                    "Ambibuous node name '{name}' that can refer to {}",
                    could.join(" or ")
                )),
            })?;
            if !chosen.insert(index) || repeated.contains(name) {
                twice.insert(index);
            }
        }
        let name = |index: &usize| self.nodes[*index].name.as_str();
        let notes = if twice.is_empty() {
            Vec::new()
        } else {
            vec![format!(
                "named more than once, counted once: {}",
                ranges::fold(twice.iter().map(name))
            )]
        };
        let nodes = chosen.iter().map(|index| Arc::clone(&self.nodes[*index])).collect();
        Ok(Selection { nodes, notes })
    }

    /// The names of all machines, folded for a message.
    fn folded(&self) -> String {
        ranges::fold(self.nodes.iter().map(|node| node.name.as_str()))
    }

    /// For each of `names` the machine of that name, or the only one whose name holds it as a
    /// whole part: `node-1` finds `node-1.site` and not `node-10.site`. All are looked for in one
    /// pass: a site may have ten thousand machines, and a request name them all.
    fn find(&self, names: &[String]) -> Vec<Result<usize, NotFound>> {
        // What is longer than every name is no part of one, and would take the finder long to make.
        let longest = self.nodes.iter().map(|node| node.name.len()).max().unwrap_or_default();
        let parts: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| (1..=longest).contains(&name.len()))
            .filter(|name| !self.by_name.contains_key(*name))
            .collect();
        let mut holders: HashMap<&str, Vec<usize>> = HashMap::new();
        // Only of more parts than there can be is none made.
        if let Ok(finder) = AhoCorasick::new(&parts) {
            for (index, node) in self.nodes.iter().enumerate() {
                for found in finder.find_overlapping_iter(&node.name) {
                    if !is_whole(&node.name, found.start(), found.end()) {
                        continue;
                    }
                    let mine = holders.entry(parts[found.pattern()]).or_default();
                    if mine.last() != Some(&index) {
                        mine.push(index);
                    }
                }
            }
        }
        let one = |name: &String| match (self.by_name.get(name), holders.get(name.as_str())) {
            (Some(exact), _) => Ok(*exact),
            (None, None) => Err(NotFound::Unknown),
            (None, Some(found)) => match found.as_slice() {
                [one] => Ok(*one),
                several => Err(NotFound::Ambiguous(
                    several.iter().map(|index| self.nodes[*index].name.clone()).collect(),
                )),
            },
        };
        names.iter().map(one).collect()
    }
}

enum NotFound {
    Unknown,
    Ambiguous(Vec<String>),
}

/// The names that `texts` stand for, each once, and those of them that were there more than once.
/// An error for a malformed range, and for more names than a request may have.
fn each_once(texts: &[String]) -> Result<(Vec<String>, HashSet<String>), String> {
    let (mut names, mut repeated, mut read) = (Vec::new(), HashSet::new(), HashSet::new());
    let (mut known, mut again) = (HashSet::new(), HashSet::new());
    for text in texts {
        if !read.insert(text) {
            again.insert(text);
            continue;
        }
        let most = MOST_NODES - names.len();
        for name in ranges::expand(text, most).map_err(|error| error.to_string())? {
            if known.insert(name.clone()) {
                names.push(name);
            } else {
                repeated.insert(name);
            }
        }
    }
    for text in again {
        repeated.extend(ranges::expand(text, MOST_NODES).map_err(|error| error.to_string())?);
    }
    Ok((names, repeated))
}

/// Whether what is from `start` to `end` in `name` cuts no number in two.
fn is_whole(name: &str, start: usize, end: usize) -> bool {
    let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let bytes = name.as_bytes();
    let before = start.checked_sub(1).and_then(|at| bytes.get(at));
    !digit(bytes.get(end)) && (!digit(bytes.get(start)) || !digit(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        let node = |name: &str| {
            Arc::new(Node { name: name.into(), cluster: "lab".into(), ..Node::example() })
        };
        let names = ["node-10.site", "node-1.site", "node-2.site", "beta-1.site"];
        Inventory::new(names.map(node).to_vec())
    }

    fn select(names: &[&str]) -> Result<(Vec<String>, Vec<String>), String> {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        match inventory().select(&names) {
            Ok(found) => Ok((found.nodes.iter().map(|n| n.name.clone()).collect(), found.notes)),
            Err(problem) => Err(problem.to_string()),
        }
    }

    #[test]
    fn short_names_and_ranges_find_their_nodes_in_natural_order() {
        let (nodes, notes) = select(&["node-10", "node-[1-2]"]).unwrap();
        assert_eq!(nodes, ["node-1.site", "node-2.site", "node-10.site"]);
        assert!(notes.is_empty());
    }

    #[test]
    fn ten_thousand_names_are_found_at_once() {
        let node =
            |at: usize| Arc::new(Node { name: format!("node-{at}.site"), ..Node::example() });
        let inventory = Inventory::new((1..=10_000).map(node).collect());
        let begun = std::time::Instant::now();
        for names in [
            vec!["node-[1-10000]".to_owned()],
            vec!["node-[1-10000].site".to_owned()],
            vec!["node-1".to_owned(); 100_000],
        ] {
            inventory.select(&names).unwrap();
        }
        assert!(inventory.select(&["a".repeat(1 << 20)]).is_err());
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
        let many: Vec<_> = (0..20).map(|at| format!("node-[1-1000{at}]")).collect();
        assert!(inventory.select(&many).is_err());
    }

    #[test]
    fn a_node_named_twice_counts_once_with_a_note() {
        let (nodes, notes) = select(&["node-1", "node-[1-2].site"]).unwrap();
        assert_eq!(nodes, ["node-1.site", "node-2.site"]);
        assert_eq!(notes, ["named more than once, counted once: node-1.site"]);
    }

    #[test]
    fn what_cannot_be_found_is_named() {
        let text = |why: &str| Err(format!("Invalid node list -- Parameter 'nodes': {why}"));
        assert_eq!(select(&[]), text("mandatory"));
        assert_eq!(select(&["zz"]), text("The node 'zz' does not exist"));
        assert_eq!(
            select(&["node"]),
            text(
                "Ambibuous node name 'node' that can refer to node-1.site or node-2.site or node-10.site"
            )
        );
        assert!(select(&["node-[1-99999999]"]).unwrap_err().contains("node-[1-99999999]"));
    }
}
