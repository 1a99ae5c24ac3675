//! Which nodes are taken by which operation.

use crate::nodes::Node;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The nodes that running operations hold, by name, with the operation's id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reservations(Arc<Mutex<HashMap<String, String>>>);

/// Nodes held by one operation; dropped, they are free.
#[derive(Debug)]
pub(crate) struct Reservation {
    table: Reservations,
    wid: String,
    nodes: Vec<String>,
}

impl Reservations {
    /// Takes those of `nodes` that are free for operation `wid`, all of them with `force`.
    /// Returns what was taken and the nodes that were busy.
    pub(crate) fn take(
        &self,
        wid: &str,
        nodes: Vec<Arc<Node>>,
        force: bool,
    ) -> (Reservation, Vec<Arc<Node>>, Vec<Arc<Node>>) {
        self.take_over(wid, nodes, |_| force)
    }

    /// Takes nothing, for an operation that only asks: it is in nobody's way, and nobody in its.
    pub(crate) fn none(&self, wid: &str) -> Reservation {
        self.take(wid, Vec::new(), false).0
    }

    /// The same, where `given_up` tells of those that are busy whether they are taken over.
    pub(crate) fn take_over(
        &self,
        wid: &str,
        nodes: Vec<Arc<Node>>,
        given_up: impl Fn(&Node) -> bool,
    ) -> (Reservation, Vec<Arc<Node>>, Vec<Arc<Node>>) {
        let mut table = self.table();
        let (free, busy): (Vec<_>, Vec<_>) =
            nodes.into_iter().partition(|node| !table.contains_key(&node.name) || given_up(node));
        let names: Vec<String> = free.iter().map(|node| node.name.clone()).collect();
        table.extend(names.iter().map(|name| (name.clone(), wid.to_owned())));
        let reservation = Reservation { table: self.clone(), wid: wid.to_owned(), nodes: names };
        (reservation, free, busy)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut table = self.table.table();
        for name in &self.nodes {
            // One that was taken over by force is not ours any more.
            if table.get(name) == Some(&self.wid) {
                table.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Arc<Node> {
        Arc::new(Node { name: name.into(), ..Node::example() })
    }

    fn names(nodes: &[Arc<Node>]) -> Vec<&str> {
        nodes.iter().map(|node| node.name.as_str()).collect()
    }

    #[test]
    fn a_node_is_held_by_one_operation_until_it_ends() {
        let table = Reservations::default();
        let (first, ..) = table.take("D-1", vec![node("a"), node("b")], false);
        let (second, free, busy) = table.take("D-2", vec![node("b"), node("c")], false);
        assert_eq!((names(&free), names(&busy)), (vec!["c"], vec!["b"]));
        drop(first);
        let (_third, free, _) = table.take("D-3", vec![node("a"), node("b"), node("c")], false);
        assert_eq!(names(&free), ["a", "b"]);
        drop(second);
    }

    #[test]
    fn what_was_taken_by_force_is_not_given_free_by_the_first_holder() {
        let table = Reservations::default();
        let (first, ..) = table.take("D-1", vec![node("a")], false);
        let (_second, free, _) = table.take("D-2", vec![node("a")], true);
        assert_eq!(names(&free), ["a"]);
        drop(first);
        let (_third, _, busy) = table.take("D-3", vec![node("a")], false);
        assert_eq!(names(&busy), ["a"]);
    }
}
