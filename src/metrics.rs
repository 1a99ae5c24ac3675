//! Counters and times, for Prometheus. Few labels, and never a node.

use crate::types::{EventBody, Kind};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// All metrics of the service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    operations: Family<OperationLabel, Counter>,
    nodes: Family<NodeLabel, Counter>,
    steps: Family<StepLabel, Histogram>,
    requests: Family<RequestLabel, Counter>,
    damaged: Gauge,
    reloads: Family<ReloadLabel, Counter>,
    streams: Family<StreamLabel, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OperationLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NodeLabel {
    kind: &'static str,
    outcome: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StepLabel {
    step: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReloadLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StreamLabel {
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabel {
    status: u16,
}

impl Default for Metrics {
    fn default() -> Self {
        // From an eighth of a second to about an hour.
        let seconds = || Histogram::new(exponential_buckets(0.125, 2.0, 16));
        let mut metrics = Self {
            registry: Registry::with_prefix("kadence"),
            operations: Family::default(),
            nodes: Family::default(),
            steps: Family::new_with_constructor(seconds),
            requests: Family::default(),
            damaged: Gauge::default(),
            reloads: Family::default(),
            streams: Family::default(),
        };
        let Self { registry, operations, nodes, steps, requests, damaged, reloads, streams } =
            &mut metrics;
        registry.register("operations_ended", "Operations that ended", operations.clone());
        registry.register("nodes", "Nodes at the end of an operation", nodes.clone());
        registry.register("step_seconds", "Time of a micro-step on a node set", steps.clone());
        registry.register("requests", "Requests to the API", requests.clone());
        let help = "1 if the state is damaged and can only be read";
        registry.register("state_damaged", help, damaged.clone());
        let help = "How often the configuration was loaded anew, or refused";
        registry.register("reloads", help, reloads.clone());
        let help = "Streams of broadcasts that a node left or lost, and nodes that were too slow";
        registry.register("broken_streams", help, streams.clone());
        metrics
    }
}

impl Metrics {
    /// Takes note of an event of an operation.
    pub(crate) fn event(&self, kind: Kind, body: &EventBody) {
        let kind = kind.path();
        match body {
            EventBody::StepEnded { micro, ok, seconds, .. } => {
                let outcome = if ok.is_empty() { "ko" } else { "ok" };
                let label = StepLabel { step: micro.clone(), outcome };
                self.steps.get_or_create(&label).observe(*seconds);
            }
            EventBody::NodeEnded { state, .. } => {
                let label = NodeLabel { kind, outcome: state.clone() };
                self.nodes.get_or_create(&label).inc();
            }
            EventBody::Ended { .. } => {
                self.operations.get_or_create(&OperationLabel { kind }).inc();
            }
            EventBody::StepStarted { .. }
            | EventBody::Progress { .. }
            | EventBody::NodeLeft { .. }
            | EventBody::Message { .. } => {}
        }
    }

    /// Takes note of an answer of the API.
    pub(crate) fn request(&self, status: u16) {
        self.requests.get_or_create(&RequestLabel { status }).inc();
    }

    /// Takes note of how the state was found.
    pub(crate) fn state_damaged(&self, damaged: bool) {
        self.damaged.set(i64::from(damaged));
    }

    /// Takes note of whether a configuration that was loaded anew is good.
    pub(crate) fn reloaded(&self, well: bool) {
        let outcome = if well { "ok" } else { "refused" };
        self.reloads.get_or_create(&ReloadLabel { outcome }).inc();
    }

    /// Takes note of a stream of a broadcast that broke.
    pub(crate) fn broken_stream(&self, cause: &'static str) {
        self.streams.get_or_create(&StreamLabel { cause }).inc();
    }

    /// All of it in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        encode(&mut text, &self.registry).ok();
        text
    }
}
