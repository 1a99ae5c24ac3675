//! The order in which blocks travel.

use super::Member;
use std::collections::BTreeMap;

/// Who gets blocks from whom at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Each node hands the stream to so many others: 1 makes a chain, more a tree.
    pub arity: usize,
}

impl Default for Shape {
    /// A chain: every link carries the stream once.
    fn default() -> Self {
        Self { arity: 1 }
    }
}

impl Shape {
    /// Each of the members that `joined`, by index and in order, with the one that it gets
    /// blocks from; none for the server. Members of one group make a chain or a tree of
    /// their own.
    pub(super) fn parents(
        self,
        joined: &[usize],
        members: &[Member],
    ) -> Vec<(usize, Option<usize>)> {
        let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut parents = Vec::new();
        for index in joined {
            let line = groups.entry(&members[*index].group).or_default();
            // The children of place p are the places p * arity + 1 to p * arity + arity.
            let parent = line.len().checked_sub(1).map(|place| line[place / self.arity.max(1)]);
            parents.push((*index, parent));
            line.push(*index);
        }
        parents
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parents(arity: usize, groups: &[&str]) -> Vec<Option<usize>> {
        let member = |group: &&str| Member {
            name: String::new(),
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            command: String::new(),
            group: (*group).to_owned(),
            resumes: false,
        };
        let members: Vec<Member> = groups.iter().map(member).collect();
        let joined: Vec<usize> = (0..members.len()).collect();
        Shape { arity }.parents(&joined, &members).into_iter().map(|(_, parent)| parent).collect()
    }

    #[test]
    fn a_chain_a_tree_and_a_chain_for_each_switch() {
        assert_eq!(parents(1, &[""; 4]), [None, Some(0), Some(1), Some(2)]);
        assert_eq!(parents(2, &[""; 6]), [None, Some(0), Some(0), Some(1), Some(1), Some(2)]);
        assert_eq!(parents(1, &["a", "b", "a", "b"]), [None, None, Some(0), Some(1)]);
    }
}
