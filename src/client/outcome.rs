//! How an operation ended.

use super::{Client, ClientError, Followed};
use crate::types::{Advice, Kind, NodeStatus, advice};
use automata::ranges::natural_order;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The end of an operation: the document that `--json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Id of the operation.
    pub wid: String,
    /// Nodes that are well.
    pub ok: Vec<String>,
    /// Nodes that are not, and why.
    pub ko: BTreeMap<String, String>,
    /// Seconds that each node spent in each step, `Macro/micro`.
    pub seconds: BTreeMap<String, BTreeMap<String, f64>>,
    /// What nodes answered (power status).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, String>,
    /// What the service wants the user to know.
    pub notes: Vec<String>,
    /// Why the operation broke off, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Outcome {
    /// Asks the service how the nodes of an operation ended.
    ///
    /// # Errors
    /// The service cannot be reached, or refuses.
    pub async fn ask(
        client: &Client,
        followed: &Followed,
        notes: Vec<String>,
    ) -> Result<Self, ClientError> {
        let path = format!("/{}/{}/state", followed.kind.path(), followed.wid);
        let state: BTreeMap<String, NodeStatus> = client.get(&path, &[("failed", "true")]).await?;
        Ok(Self::of(&followed.wid, state, notes))
    }

    fn of(wid: &str, state: BTreeMap<String, NodeStatus>, notes: Vec<String>) -> Self {
        let (mut ok, mut ko) = (Vec::new(), BTreeMap::new());
        let (mut seconds, mut answers) = (BTreeMap::new(), BTreeMap::new());
        for (node, status) in state {
            if !status.seconds.is_empty() {
                seconds.insert(node.clone(), status.seconds);
            }
            if let Some(answer) = status.out {
                answers.insert(node.clone(), answer.trim().to_owned());
            }
            match (status.state.as_str(), status.error) {
                ("discarded", _) => {
                    ko.insert(node, "discarded: another operation holds it".to_owned());
                }
                ("ko", error) => {
                    let reason = error.unwrap_or_else(|| "no reason is known".to_owned());
                    ko.insert(node, reason.trim().to_owned());
                }
                _ => ok.push(node),
            }
        }
        ok.sort_by(|a, b| natural_order(a, b));
        Self { wid: wid.to_owned(), ok, ko, seconds, answers, notes, error: None }
    }

    /// Whether every node is well.
    pub fn is_well(&self) -> bool {
        self.ko.is_empty() && self.error.is_none()
    }

    /// The lists of nodes for people.
    pub fn text(&self, kind: Kind) -> String {
        let mut lines: Vec<String> = Vec::new();
        lines.extend(self.answers.iter().map(|(node, answer)| format!("{node}: {answer}")));
        if self.answers.len() < self.ok.len() {
            lines.push(format!("The {kind} is successful on nodes"));
            lines.extend(self.ok.iter().cloned());
        }
        if !self.ko.is_empty() {
            lines.push(format!("The {kind} failed on nodes"));
            let mut failed: Vec<_> = self.ko.iter().collect();
            failed.sort_by(|a, b| natural_order(a.0, b.0));
            lines.extend(failed.into_iter().map(|(node, reason)| format!("{node} ({reason})")));
            let hints: BTreeSet<_> = self.ko.values().filter_map(|reason| advice(reason)).collect();
            lines.extend(hints.iter().map(|Advice { text, .. }| format!("hint: {text}")));
        }
        lines.iter().fold(String::new(), |text, line| text + line + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &str, error: Option<&str>) -> NodeStatus {
        NodeStatus { state: state.into(), error: error.map(str::to_owned), ..NodeStatus::default() }
    }

    fn outcome() -> Outcome {
        let state = BTreeMap::from([
            ("n-10".into(), status("ok", None)),
            ("n-2".into(), status("ok", None)),
            ("n-3".into(), status("ko", Some("Power-Off: broken\n"))),
            ("n-4".into(), status("discarded", None)),
        ]);
        Outcome::of("D-1", state, Vec::new())
    }

    #[test]
    fn a_discarded_node_is_not_well() {
        let outcome = outcome();
        assert_eq!(outcome.ok, ["n-2", "n-10"]);
        assert!(!outcome.is_well());
        assert_eq!(
            outcome.text(Kind::Deploy),
            "The deployment is successful on nodes\nn-2\nn-10\nThe deployment failed on nodes\nn-3 (Power-Off: broken)\nn-4 (discarded: another operation holds it)\n"
        );
    }

    #[test]
    fn what_helps_is_said_once() {
        let full = || status("ko", Some("tar: No space left on device"));
        let state = BTreeMap::from([("n-1".into(), full()), ("n-2".into(), full())]);
        let text = Outcome::of("D-1", state, Vec::new()).text(Kind::Deploy);
        assert!(text.ends_with("\nhint: use a smaller image, or a larger partition\n"), "{text}");
        assert_eq!(text.matches("hint:").count(), 1);
    }

    #[test]
    fn the_document_names_every_node() {
        let json = serde_json::to_value(outcome()).unwrap();
        assert_eq!(json["ko"]["n-3"], "Power-Off: broken");
        assert_eq!(json["ok"][1], "n-10");
        assert_eq!(json.get("error"), None);
    }

    #[test]
    fn a_power_status_is_told_per_node() {
        let node = NodeStatus { out: Some("on\n".into()), ..status("ok", None) };
        let outcome = Outcome::of("P-1", BTreeMap::from([("n".into(), node)]), Vec::new());
        assert_eq!(outcome.text(Kind::Power), "n: on\n");
    }
}
