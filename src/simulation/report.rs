//! What came of a run, for people and programs.

use super::{check::Facts, scenario::Scenario};
use crate::{
    platform::sim::Deeds,
    types::{Advice, Class, advice},
};
use automata::Status;
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// What came of a run. The same scenario gives the same report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What it followed from.
    pub seed: u64,
    /// Machines.
    pub nodes: usize,
    /// Those that were deployed.
    pub ok: usize,
    /// Those that were not.
    pub ko: usize,
    /// Why, and how many each; names and numbers are replaced.
    pub causes: BTreeMap<String, usize>,
    /// The same by whose matter it is.
    pub classes: BTreeMap<Class, usize>,
    /// What the run took by its own clock, seconds.
    pub seconds: f64,
    /// By macro-step instance: seconds of the last attempt of each node, since the service was
    /// started last.
    pub steps: BTreeMap<String, Times>,
    /// What was done to all nodes together.
    pub deeds: Deeds,
    /// How often the service was started again because its disk had failed.
    pub restarts: usize,
    /// The journal.
    pub journal: Books,
    /// Invariants that were broken; must be empty.
    pub broken: Vec<String>,
}

/// How long something took, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Times {
    /// Nodes.
    pub nodes: usize,
    /// Half of them took less.
    pub p50: f64,
    /// One in a hundred took more.
    pub p99: f64,
    /// The slowest.
    pub worst: f64,
}

/// Size of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Records.
    pub records: usize,
    /// Bytes.
    pub bytes: usize,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// Bytes on the disk of the server, which a simulation keeps in memory.
    pub disk: usize,
}

impl Report {
    pub(super) fn new(scenario: &Scenario, facts: &Facts, broken: Vec<String>) -> Self {
        let settled = facts.retold.as_ref().map_or(&[][..], |retold| &retold.tally.settled);
        let with = |wanted| settled.iter().filter(|all| **all == [wanted]).count();
        let written = &facts.written;
        Self {
            seed: scenario.seed,
            nodes: facts.nodes.len(),
            ok: with(Status::Ok),
            ko: with(Status::Ko),
            causes: causes(facts),
            classes: classes(facts),
            seconds: facts.world.now().as_secs_f64(),
            steps: steps(facts),
            deeds: facts.world.audit(|audit| audit.deeds().values().copied().sum()),
            restarts: facts.past.refusals.len(),
            journal: Books {
                records: written.entries,
                bytes: written.bytes,
                sha256: written.sha256.clone(),
                disk: written.disk,
            },
            broken,
        }
    }

    /// Whether all invariants held.
    pub fn held(&self) -> bool {
        self.broken.is_empty()
    }
}

fn causes(facts: &Facts) -> BTreeMap<String, usize> {
    let mut causes = BTreeMap::new();
    let ended = facts.end.as_ref().map_or(&[][..], |end| &end.nodes);
    for (node, (status, reason)) in facts.nodes.iter().zip(ended) {
        if let (Some(Status::Ko), Some(reason)) = (status, reason) {
            let cause =
                reason.replace(&node.name, "NODE").replace(&node.address.to_string(), "ADDRESS");
            *causes.entry(without_numbers(&cause)).or_default() += 1;
        }
    }
    causes
}

fn classes(facts: &Facts) -> BTreeMap<Class, usize> {
    let mut classes = BTreeMap::new();
    let ended = facts.end.as_ref().map_or(&[][..], |end| &end.nodes);
    let failed = ended.iter().filter(|(status, _)| *status == Some(Status::Ko));
    for known in failed.filter_map(|(_, reason)| advice(reason.as_deref()?)) {
        *classes.entry(known.class).or_default() += 1;
    }
    classes
}

/// Runs of digits as `#`, so that causes that differ in a duration are one.
fn without_numbers(text: &str) -> String {
    let mut plain = String::new();
    for c in text.lines().next().unwrap_or_default().chars() {
        match c {
            '0'..='9' if plain.ends_with('#') => {}
            '0'..='9' => plain.push('#'),
            other => plain.push(other),
        }
    }
    plain
}

fn steps(facts: &Facts) -> BTreeMap<String, Times> {
    let mut seconds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for column in facts.end.iter().flat_map(|end| end.columns.iter().flatten()) {
        seconds.entry(&column.step).or_default().push(column.seconds);
    }
    seconds.into_iter().filter_map(|(step, all)| Some((step.to_owned(), Times::of(all)?))).collect()
}

impl Times {
    fn of(mut seconds: Vec<f64>) -> Option<Self> {
        seconds.sort_by(f64::total_cmp);
        let nodes = seconds.len();
        let at = |percent: usize| {
            seconds.get((nodes * percent).div_ceil(100).saturating_sub(1)).copied()
        };
        Some(Self { nodes, p50: at(50)?, p99: at(99)?, worst: at(100)? })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, nodes, ok, ko, seconds, deeds, journal, .. } = self;
        writeln!(
            f,
            "seed {seed}: {nodes} nodes, {ok} ok, {ko} ko, {seconds:.1} s of virtual time"
        )?;
        for (cause, count) in &self.causes {
            writeln!(f, "  {count:>6}  {cause}")?;
            if let Some(Advice { class, text }) = advice(cause) {
                writeln!(f, "          {class}: {text}")?;
            }
        }
        for (step, Times { nodes, p50, p99, worst }) in &self.steps {
            writeln!(
                f,
                "  {step:<28} {nodes:>6} nodes   p50 {p50:>8.1} s   p99 {p99:>8.1} s   worst {worst:>8.1} s"
            )?;
        }
        let per_node = |count: u64| {
            let count = u32::try_from(count).map_or(f64::INFINITY, f64::from);
            count / u32::try_from((*nodes).max(1)).map_or(f64::INFINITY, f64::from)
        };
        writeln!(
            f,
            "  actions per node: power {:.2}, commands {:.2}, broadcasts {:.2}, profiles {:.2}",
            per_node(deeds.power),
            per_node(deeds.errands),
            per_node(deeds.transfers),
            per_node(deeds.profiles),
        )?;
        if self.restarts > 0 {
            writeln!(f, "  restarts after a failure of the disk: {}", self.restarts)?;
        }
        write!(f, "  journal: {} records, {} bytes", journal.records, journal.bytes)?;
        for broken in &self.broken {
            write!(f, "\n  BROKEN: {broken}")?;
        }
        Ok(())
    }
}
