//! Which machines there are, and which ones a user means.

use super::Node;
use crate::types::{Code, Problem};
use automata::ranges;
use std::{collections::BTreeSet, sync::Arc};

/// Most nodes one name may stand for: a range above it is a slip of the pen.
const MOST_NODES: usize = 100_000;

/// All machines of the site, in natural order.
#[derive(Debug, Default)]
pub struct Inventory {
    nodes: Vec<Arc<Node>>,
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
        Self { nodes }
    }

    /// All machines, in natural order.
    pub fn all(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// The machine of that very name.
    pub fn get(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|node| node.name == name)
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
        let mut chosen = BTreeSet::new();
        let mut twice = BTreeSet::new();
        for text in names {
            let expanded =
                ranges::expand(text, MOST_NODES).map_err(|error| wrong(error.to_string()))?;
            for name in expanded {
                let index = self.find(&name).map_err(|problem| match problem {
                    NotFound::Unknown => wrong(format!("The node '{name}' does not exist"))
                        .hint(format!("known nodes: {}", self.folded())),
                    NotFound::Ambiguous(could) => wrong(format!(
                        "Ambibuous node name '{name}' that can refer to {}",
                        could.join(" or ")
                    )),
                })?;
                if !chosen.insert(index) {
                    twice.insert(index);
                }
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

    /// The machine called `name`, or the only one whose name holds it as a whole part:
    /// `node-1` finds `node-1.site` and not `node-10.site`.
    fn find(&self, name: &str) -> Result<usize, NotFound> {
        if let Some(exact) = self.nodes.iter().position(|node| node.name == name) {
            return Ok(exact);
        }
        let found: Vec<usize> = (0..self.nodes.len())
            .filter(|index| !name.is_empty() && part_of(name, &self.nodes[*index].name))
            .collect();
        match found.as_slice() {
            [] => Err(NotFound::Unknown),
            [one] => Ok(*one),
            several => Err(NotFound::Ambiguous(
                several.iter().map(|index| self.nodes[*index].name.clone()).collect(),
            )),
        }
    }
}

enum NotFound {
    Unknown,
    Ambiguous(Vec<String>),
}

/// Whether `part` occurs in `name` without cutting a number in two.
fn part_of(part: &str, name: &str) -> bool {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    name.match_indices(part).any(|(at, _)| {
        let before = name[..at].chars().next_back();
        let after = name[at + part.len()..].chars().next();
        !digit(after) && (!digit(part.chars().next()) || !digit(before))
    })
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
