//! `kadence steps`: what a deployment does, as the configuration has it.

use super::{ConfigDir, Failure};
use crate::{
    client::{Printer, write_out},
    operations::outline,
};
use automata::{Body, Plan, Step};
use clap::Args;
use config::{Cluster, Config};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Arguments of `steps`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence steps --cluster lab --dot | dot -Tsvg > steps.svg")]
pub(super) struct StepsArgs {
    #[command(flatten)]
    config: ConfigDir,
    /// Only that cluster.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Draw the graph (Graphviz).
    #[arg(long, conflicts_with = "json")]
    dot: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl StepsArgs {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let config = config::load(&self.config.config_dir)?.config;
        let plans = self
            .chosen(&config)?
            .into_iter()
            .map(|cluster| Ok((cluster.name.as_str(), outline(&config, cluster)?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        if self.dot {
            for (_, plan) in &plans {
                let automaton = plan.compile().map_err(|error| Failure::Service(error.into()))?;
                write_out(&automaton.dot())?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let document: serde_json::Map<String, Value> =
            plans.iter().map(|(name, plan)| ((*name).to_owned(), value(plan))).collect();
        let text = || {
            plans.iter().fold(String::new(), |all, (name, plan)| all + name + "\n" + &text(plan, 1))
        };
        Printer { json: self.json }.answer(&document, text)?;
        Ok(ExitCode::SUCCESS)
    }

    fn chosen<'c>(&self, config: &'c Config) -> Result<Vec<&'c Cluster>, Failure> {
        let Some(name) = &self.cluster else { return Ok(config.clusters.iter().collect()) };
        let found = config.clusters.iter().find(|cluster| cluster.name == *name);
        let names: Vec<_> = config.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        Ok(vec![found.ok_or_else(|| {
            let hint = format!("clusters: {}", names.join(", "));
            Failure::usage(format!("there is no cluster {name}"), hint)
        })?])
    }
}

fn text(plan: &Plan, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    let mut lines = String::new();
    for position in &plan.positions {
        // A micro-step is its position; a macro-step has a name and ways.
        let deeper = match position.alternatives.as_slice() {
            [one] if matches!(one.body, Body::Task(_)) => 0,
            _ => {
                lines.extend([pad.as_str(), &position.name, "\n"]);
                1
            }
        };
        for step in &position.alternatives {
            let inner = "  ".repeat(deeper);
            lines.extend([pad.as_str(), &inner, &step.name, &limits(step), "\n"]);
            if let Body::Plan(inner) = &step.body {
                lines += &text(inner, depth + deeper + 1);
            }
        }
    }
    lines
}

fn limits(step: &Step) -> String {
    let mut words = Vec::new();
    words.extend(step.timeout.map(|limit| format!("at most {} s", limit.as_secs())));
    if step.retries > 0 {
        words.push(format!("{} retries", step.retries));
    }
    if step.breakpoint {
        words.push("breakpoint".into());
    }
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

fn value(plan: &Plan) -> Value {
    let step = |step: &Step| {
        json!({
            "name": &*step.name,
            "timeout": step.timeout.map(|limit| limit.as_secs()),
            "retries": step.retries,
            "breakpoint": step.breakpoint,
            "steps": match &step.body { Body::Plan(inner) => value(inner), Body::Task(_) => Value::Null },
        })
    };
    let position = |position: &automata::Position| {
        let ways: Vec<Value> = position.alternatives.iter().map(step).collect();
        json!({"name": &*position.name, "ways": ways})
    };
    Value::Array(plan.positions.iter().map(position).collect())
}
