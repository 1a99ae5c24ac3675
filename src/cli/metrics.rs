//! `kadence metrics`: what the service counts of itself.

use super::Failure;
use crate::client::{Client, Printer};
use clap::Args;
use serde_json::{Map, Value};
use std::process::ExitCode;

/// Arguments of `metrics`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence metrics | grep kadence_nodes_total\n\n\
        The text is what Prometheus fetches from /metrics.")]
pub(super) struct MetricsArgs {
    /// Print one JSON document: the value of each sample by its name and labels.
    #[arg(long)]
    json: bool,
}

impl MetricsArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        let text = client.text("/metrics").await?;
        Printer { json: self.json }.answer(&samples(&text), || text.clone())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The samples of Prometheus' text format. A value that is no number in JSON (`NaN`) is null.
fn samples(text: &str) -> Map<String, Value> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.filter_map(|line| line.rsplit_once(' '));
    samples.map(|(name, value)| (name.to_owned(), value.parse::<f64>().ok().into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn comments_are_no_samples_and_labels_may_have_blanks() {
        let text = "# HELP a What it is.\n# TYPE a counter\na_total{of=\"x y\"} 3\nb NaN\n# EOF\n";
        let expected = json!({"a_total{of=\"x y\"}": 3.0, "b": null});
        assert_eq!(Value::Object(samples(text)), expected);
    }
}
