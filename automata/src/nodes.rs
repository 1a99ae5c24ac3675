//! Nodes as small numbers, and ordered sets of them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{fmt, slice, sync::Arc};

/// Number of a node in its operation; whoever starts a run keeps the names.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl NodeId {
    /// Its place in the list of the run's nodes.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Most nodes a set read from a journal may hold: a corrupt interval must not fill memory.
const MOST_NODES_READ: u64 = 1 << 22;

/// An ordered set of nodes.
///
/// Cloning is cheap: the ids are shared, and one node needs no memory of its own.
/// It is serialised as intervals `[[first, last], ...]`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct NodeSet(Ids);

/// `Many` holds two or more, strictly ascending, so that equal sets are equal values.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
enum Ids {
    #[default]
    None,
    One(NodeId),
    Many(Arc<[NodeId]>),
}

impl NodeSet {
    /// The set of no nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Ids::None)
    }

    /// The nodes in ascending order.
    pub fn as_slice(&self) -> &[NodeId] {
        match &self.0 {
            Ids::None => &[],
            Ids::One(node) => slice::from_ref(node),
            Ids::Many(nodes) => nodes,
        }
    }

    /// The nodes in ascending order.
    pub fn iter(&self) -> std::iter::Copied<slice::Iter<'_, NodeId>> {
        self.as_slice().iter().copied()
    }

    /// Whether `node` is in the set.
    pub fn contains(&self, node: NodeId) -> bool {
        self.as_slice().binary_search(&node).is_ok()
    }

    /// The nodes of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_empty() || self == other {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        let (mut left, mut right) = (self.as_slice(), other.as_slice());
        let mut merged = Vec::with_capacity(left.len() + right.len());
        while let (Some(&a), Some(&b)) = (left.first(), right.first()) {
            merged.push(a.min(b));
            left = &left[usize::from(a <= b)..];
            right = &right[usize::from(b <= a)..];
        }
        merged.extend_from_slice(left);
        merged.extend_from_slice(right);
        Self::from_ascending(merged)
    }

    /// The nodes of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        Self::from_ascending(self.iter().filter(|node| !other.contains(*node)).collect())
    }

    /// The nodes of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (few, many) = if self.len() <= other.len() { (self, other) } else { (other, self) };
        Self::from_ascending(few.iter().filter(|node| many.contains(*node)).collect())
    }

    fn from_ascending(nodes: Vec<NodeId>) -> Self {
        Self(match nodes.as_slice() {
            [] => Ids::None,
            [node] => Ids::One(*node),
            _ => Ids::Many(nodes.into()),
        })
    }

    fn intervals(&self) -> Vec<(u32, u32)> {
        let mut intervals: Vec<(u32, u32)> = Vec::new();
        for NodeId(id) in self {
            match intervals.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(id) => *last = id,
                _ => intervals.push((id, id)),
            }
        }
        intervals
    }
}

impl From<NodeId> for NodeSet {
    fn from(node: NodeId) -> Self {
        Self(Ids::One(node))
    }
}

impl FromIterator<NodeId> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Self {
        let mut nodes: Vec<NodeId> = nodes.into_iter().collect();
        if !nodes.is_sorted_by(|a, b| a < b) {
            nodes.sort_unstable();
            nodes.dedup();
        }
        Self::from_ascending(nodes)
    }
}

impl<'a> IntoIterator for &'a NodeSet {
    type Item = NodeId;
    type IntoIter = std::iter::Copied<slice::Iter<'a, NodeId>>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.intervals()).finish()
    }
}

impl Serialize for NodeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.intervals().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NodeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let intervals = Vec::<(u32, u32)>::deserialize(deserializer)?;
        let mut total = 0_u64;
        for &(first, last) in &intervals {
            let Some(more) = last.checked_sub(first) else {
                return Err(D::Error::custom(format!("interval {first}-{last} runs backwards")));
            };
            total += u64::from(more) + 1;
            if total > MOST_NODES_READ {
                return Err(D::Error::custom(format!("more than {MOST_NODES_READ} nodes")));
            }
        }
        Ok(intervals.into_iter().flat_map(|(first, last)| (first..=last).map(NodeId)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(nodes: &BTreeSet<u32>) -> NodeSet {
        nodes.iter().rev().copied().map(NodeId).collect()
    }

    fn ids() -> impl Strategy<Value = BTreeSet<u32>> {
        prop::collection::btree_set(0_u32..40, 0..20)
    }

    proptest! {
        #[test]
        fn the_algebra_is_that_of_sets(a in ids(), b in ids()) {
            prop_assert_eq!(set(&a).union(&set(&b)), set(&(&a | &b)));
            prop_assert_eq!(set(&a).difference(&set(&b)), set(&(&a - &b)));
            prop_assert_eq!(set(&a).intersection(&set(&b)), set(&(&a & &b)));
            prop_assert_eq!(set(&a).len(), a.len());
            for node in 0..40 {
                prop_assert_eq!(set(&a).contains(NodeId(node)), a.contains(&node));
            }
        }

        #[test]
        fn a_set_survives_being_written(a in ids()) {
            let text = serde_json::to_string(&set(&a)).unwrap();
            prop_assert_eq!(serde_json::from_str::<NodeSet>(&text).unwrap(), set(&a));
        }
    }

    #[test]
    fn a_corrupt_interval_is_refused_before_memory_is_used() {
        let error = serde_json::from_str::<NodeSet>("[[0,4294967295]]").unwrap_err();
        assert!(error.to_string().contains("more than"), "{error}");
        let error = serde_json::from_str::<NodeSet>("[[5,3]]").unwrap_err();
        assert!(error.to_string().contains("5-3"), "{error}");
    }
}
