//! The end of a demonstration, for people and as JSON.

use super::{
    super::{LabError, Reporter, error::Context},
    breakdown::{self, OwnTime},
    image::Image,
    proof::Proof,
    usage,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The JSON document.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Nodes that are proved.
    pub(super) ok: Vec<String>,
    /// Nodes that are not, and why.
    pub(super) ko: BTreeMap<String, String>,
    /// What was found on each node that answered.
    pub(super) proof: BTreeMap<String, Proof>,
    /// Node → step → seconds.
    pub(super) seconds: BTreeMap<String, BTreeMap<String, f64>>,
    /// Node → seconds of processor time that its machine used, from the first power-on to the proof.
    pub(super) guest_cpu: BTreeMap<String, f64>,
    /// Seconds that the service itself took, where there is one node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<OwnTime>,
    /// What was installed.
    pub(super) image: Option<Image>,
    /// Did the nodes run on hardware virtualisation?
    pub(super) accelerated: bool,
    /// Seconds that each stage took.
    pub(super) stages: BTreeMap<&'static str, f64>,
    /// Id of the deployment.
    pub(super) wid: Option<String>,
    /// What ended the run early.
    pub(super) error: Option<String>,
    /// Where the logs of a failed run are.
    pub(super) logs: Vec<PathBuf>,
    /// All nodes.
    #[serde(skip)]
    pub(super) nodes: Vec<String>,
}

impl Report {
    /// Takes note of how the run ended: a node of which nothing else is known failed with it.
    pub(super) fn conclude(&mut self, ended: Result<(), LabError>) {
        self.error = ended.err().map(|error| error.to_string());
        let reason = self.error.clone().unwrap_or_else(|| "nothing is known of it".into());
        for node in &self.nodes {
            if !self.ok.contains(node) {
                self.ko.entry(node.clone()).or_insert_with(|| reason.clone());
            }
        }
    }

    /// Is every node proved?
    pub(super) fn is_well(&self) -> bool {
        self.error.is_none() && self.ko.is_empty() && !self.ok.is_empty()
    }

    /// Tells what is not as it should be, and where the time went.
    pub(super) fn tell(&self, say: Reporter<'_>) {
        let mut lines = breakdown::steps(&self.seconds);
        lines.extend(self.service.iter().map(OwnTime::text));
        lines.extend(usage::text(&self.guest_cpu));
        for line in &lines {
            say(line);
        }
        for (node, reason) in &self.ko {
            say(&format!("{node} is not proved: {reason}"));
        }
        if let (Some(error), true) = (&self.error, self.ko.is_empty()) {
            say(error);
        }
        if !self.logs.is_empty() {
            say("what the service and the nodes said:");
        }
        self.logs.iter().for_each(|log| say(&format!("  {}", log.display())));
    }

    /// Writes it to `file`.
    pub(super) fn write(&self, file: &Path) -> Result<(), LabError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|source| LabError::Format { path: file.into(), source })?;
        std::fs::write(file, text + "\n").context(|| format!("writing {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_ends_early_fails_every_node_that_is_not_proved() {
        let nodes = ["a", "b", "c"].map(str::to_owned);
        let mut report = Report { nodes: nodes.to_vec(), ..Report::default() };
        report.ok.push("a".into());
        report.ko.insert("b".into(), "its own reason".into());
        report.conclude(Err(LabError::Interrupted { signal: "SIGTERM" }));
        assert!(!report.is_well());
        assert_eq!(report.ko["b"], "its own reason");
        assert!(report.ko["c"].contains("SIGTERM"));
        assert!(!report.ko.contains_key("a"));
    }

    #[test]
    fn without_a_proved_node_nothing_is_well() {
        let mut report = Report::default();
        report.conclude(Ok(()));
        assert!(!report.is_well());
        report.ok.push("a".into());
        assert!(report.is_well());
    }
}
