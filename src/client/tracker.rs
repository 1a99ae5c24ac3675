//! Where each node is, from the events.

use crate::types::{Event, EventBody};
use indicatif::HumanBytes;
use std::collections::BTreeMap;

/// Where all nodes of one operation are.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracker {
    nodes: BTreeMap<String, Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// `Macro/micro`.
    step: String,
    bytes: Option<Bytes>,
    /// How it ended.
    ended: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Bytes {
    written: u64,
    total: u64,
    /// Bytes and time (Unix, seconds) at the first report: the rate is reckoned from there.
    first: (u64, f64),
    last: f64,
}

impl Bytes {
    #[expect(clippy::cast_precision_loss, reason = "fractions of a byte do not matter")]
    fn rate(self) -> f64 {
        let (bytes, at) = self.first;
        let seconds = self.last - at;
        if seconds > 0.0 { self.written.saturating_sub(bytes) as f64 / seconds } else { 0.0 }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "fractions of a byte per second do not matter, and a rate is not negative"
)]
fn amount(written: u64, total: u64, rate: f64) -> String {
    let rate = HumanBytes(rate as u64);
    format!("{} of {}, {rate}/s", HumanBytes(written), HumanBytes(total))
}

impl Tracker {
    /// Knows the nodes.
    pub(super) fn begin(&mut self, nodes: &[String]) {
        for node in nodes {
            self.nodes.entry(node.clone()).or_default();
        }
    }

    /// Takes note of an event; returns the nodes it is about.
    pub(super) fn event(&mut self, event: &Event) -> Vec<String> {
        match &event.body {
            EventBody::StepStarted { macro_step, micro, nodes } => {
                for name in nodes {
                    let node = self.nodes.entry(name.clone()).or_default();
                    node.step = format!("{macro_step}/{micro}");
                    node.bytes = None;
                }
                nodes.clone()
            }
            EventBody::Progress { node: name, written, total } => {
                let node = self.nodes.entry(name.clone()).or_default();
                // Fewer than before: another attempt.
                let before = node.bytes.filter(|bytes| bytes.written <= *written);
                let first = before.map(|bytes| bytes.first);
                node.bytes = Some(Bytes {
                    written: *written,
                    total: *total,
                    first: first.unwrap_or((*written, event.at)),
                    last: event.at,
                });
                vec![name.clone()]
            }
            EventBody::NodeEnded { node: name, state, reason } => {
                let node = self.nodes.entry(name.clone()).or_default();
                node.ended = Some(match reason {
                    Some(reason) => format!("{state}: {}", reason.trim()),
                    None => state.clone(),
                });
                vec![name.clone()]
            }
            EventBody::NodeLeft { node: name, state } => {
                let node = self.nodes.entry(name.clone()).or_default();
                node.ended = Some(state.clone());
                vec![name.clone()]
            }
            EventBody::StepEnded { .. } | EventBody::Message { .. } | EventBody::Ended { .. } => {
                Vec::new()
            }
        }
    }

    /// Whether a node is at its end.
    pub(super) fn ended(&self, node: &str) -> bool {
        self.nodes.get(node).is_some_and(|node| node.ended.is_some())
    }

    /// One node in a line.
    pub(super) fn describe(&self, node: &str) -> String {
        let Some(node) = self.nodes.get(node) else { return String::new() };
        match (&node.ended, node.bytes) {
            (Some(ended), _) => ended.lines().next().unwrap_or_default().to_owned(),
            (None, Some(bytes)) => {
                format!("{} {}", node.step, amount(bytes.written, bytes.total, bytes.rate()))
            }
            (None, None) => node.step.clone(),
        }
    }

    /// All nodes in a line.
    pub(super) fn summary(&self) -> String {
        let all = self.nodes.len();
        let ended = self.nodes.values().filter(|node| node.ended.is_some()).count();
        let failed = |node: &&Node| node.ended.as_ref().is_some_and(|end| end.starts_with("ko"));
        let failed = self.nodes.values().filter(failed).count();
        let mut text = format!("{ended} of {all} nodes at their end, {failed} failed");
        let mut steps: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut written, mut total, mut rate) = (0, 0, 0.0);
        for node in self.nodes.values().filter(|node| node.ended.is_none()) {
            if !node.step.is_empty() {
                *steps.entry(&node.step).or_default() += 1;
            }
            if let Some(bytes) = node.bytes {
                written += bytes.written;
                total += bytes.total;
                rate += bytes.rate();
            }
        }
        for (step, count) in steps {
            text.extend(["; ", step, ": ", &count.to_string()]);
        }
        if total > 0 {
            text.extend(["; ", &amount(written, total, rate)]);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Kind;

    fn event(at: f64, body: EventBody) -> Event {
        let (wid, cluster) = ("D-1".into(), "c".into());
        Event { id: 0, at, wid, kind: Kind::Deploy, cluster, node_set: None, body }
    }

    fn progress(at: f64, node: &str, written: u64) -> Event {
        event(at, EventBody::Progress { node: node.into(), written, total: 10 << 20 })
    }

    fn tracker() -> Tracker {
        let mut tracker = Tracker::default();
        let names = ["a", "b"].map(str::to_owned);
        tracker.begin(&names);
        let (macro_step, micro) = ("BroadcastEnvKascade".into(), "send_environment".into());
        tracker.event(&event(
            0.0,
            EventBody::StepStarted { macro_step, micro, nodes: names.to_vec() },
        ));
        tracker
    }

    #[test]
    fn a_node_tells_its_step_and_its_rate() {
        let mut tracker = tracker();
        assert_eq!(tracker.describe("a"), "BroadcastEnvKascade/send_environment");
        tracker.event(&progress(1.0, "a", 0));
        assert_eq!(tracker.event(&progress(3.0, "a", 4 << 20)), ["a"]);
        assert_eq!(
            tracker.describe("a"),
            "BroadcastEnvKascade/send_environment 4.00 MiB of 10.00 MiB, 2.00 MiB/s"
        );
        // A second attempt begins anew.
        tracker.event(&progress(9.0, "a", 1 << 20));
        assert!(tracker.describe("a").ends_with(", 0 B/s"), "{}", tracker.describe("a"));
    }

    #[test]
    fn many_nodes_are_summed_up() {
        let mut tracker = tracker();
        tracker.event(&progress(1.0, "a", 0));
        tracker.event(&progress(2.0, "a", 1 << 20));
        let (node, state) = ("b".into(), "ko".into());
        tracker.event(&event(
            2.0,
            EventBody::NodeEnded { node, state, reason: Some("x: no\n".into()) },
        ));
        assert!(tracker.ended("b") && !tracker.ended("a"));
        assert_eq!(tracker.describe("b"), "ko: x: no");
        assert_eq!(
            tracker.summary(),
            "1 of 2 nodes at their end, 1 failed; BroadcastEnvKascade/send_environment: 1; 1.00 MiB of 10.00 MiB, 1.00 MiB/s"
        );
    }
}
