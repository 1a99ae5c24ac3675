//! Tables and goals.

use crate::cases::{Row, Unit};

/// What must be reached.
const GOALS: [Goal; 17] = [
    goal("TFTP 64 MiB, window 1, one processor", Measure::Ratio(0.9)),
    goal("TFTP 64 MiB, window 16", Measure::Ratio(2.0)),
    goal("TFTP 64 MiB, window 16", Measure::Cost(1.0)),
    goal("TFTP 64 MiB, window 64", Measure::Ratio(2.0)),
    goal("TFTP 64 MiB, window 64", Measure::Cost(1.0)),
    goal("TFTP kernel + initrd to 16", Measure::Ratio(1.7)),
    goal("TFTP profiles to 16", Measure::Cost(15.0)),
    goal("TFTP missing name, 16", Measure::Cost(7.0)),
    goal("TFTP kernel to 256", Measure::Failures),
    goal("TFTP kernel to 256", Measure::Repeated),
    goal("TFTP profiles to 256", Measure::Failures),
    goal("TFTP profiles to 256", Measure::Repeated),
    goal("HTTP 64 MiB to 1", Measure::Cost(0.35)),
    goal("HTTP 64 MiB to 64", Measure::Cost(0.35)),
    goal("HTTP 64 MiB to 64", Measure::Failures),
    goal("HTTP 8 MiB to 512", Measure::Cost(0.35)),
    goal("HTTP 8 MiB to 512", Measure::Failures),
];

struct Goal {
    case: &'static str,
    measure: Measure,
}

#[derive(Clone, Copy)]
enum Measure {
    /// Rate, at least this often that of the best rival.
    Ratio(f64),
    /// Processor time, at most this.
    Cost(f64),
    /// Nothing fails.
    Failures,
    /// No request is lost.
    Repeated,
}

const fn goal(case: &'static str, measure: Measure) -> Goal {
    Goal { case, measure }
}

/// Median, least and most.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

fn rate(row: &Row) -> f64 {
    spread(row.samples.iter().map(|sample| sample.rate)).0
}

/// Processor time, the median.
pub(crate) fn cost(row: &Row) -> f64 {
    spread(row.samples.iter().map(|sample| sample.cost)).0
}

fn failures(row: &Row) -> usize {
    row.samples.iter().map(|sample| sample.failures).sum()
}

fn repeated(row: &Row) -> u64 {
    row.samples.iter().map(|sample| sample.repeated).sum()
}

/// The rivals of a row.
fn rivals<'a>(rows: &'a [Row], ours: &'a Row) -> impl Iterator<Item = &'a Row> {
    rows.iter().filter(move |row| row.case.name == ours.case.name && row.server != ours.server)
}

/// The head of the table.
pub(crate) fn print_head() {
    println!(
        "{:<37} {:<12} {:>26} {:>22} {:>7} {:>6} {:>6}",
        "", "", "median (min-max) rate", "CPU (min-max)", "x best", "failed", "again"
    );
}

/// The part of the table for one case.
pub(crate) fn print(rows: &[Row]) {
    for row in rows {
        let (middle, least, most) = spread(row.samples.iter().map(|sample| sample.rate));
        let (spent, low, high) = spread(row.samples.iter().map(|sample| sample.cost));
        let (per_second, per_unit) = match row.case.unit {
            Unit::Bytes => ("MB/s", "s/GB"),
            Unit::Requests => ("/s", "us"),
        };
        let best = rivals(rows, row).map(rate).fold(f64::NAN, f64::max);
        println!(
            "{:<37} {:<12} {:>26} {:>22} {:>7.2} {:>6} {:>6}",
            row.case.name,
            row.server,
            format!("{middle:.0} ({least:.0}-{most:.0}) {per_second}"),
            format!("{spent:.2} ({low:.2}-{high:.2}) {per_unit}"),
            middle / best,
            failures(row),
            repeated(row),
        );
    }
}

/// What was reached: `name`, `value`, `unit`, `rival`, `rival_value`, `ratio`, `goal`, `met`.
pub(crate) fn goals(rows: &[Row]) -> Vec<serde_json::Value> {
    GOALS.iter().filter_map(|goal| reached(rows, goal)).collect()
}

fn reached(rows: &[Row], goal: &Goal) -> Option<serde_json::Value> {
    let ours = rows.iter().find(|row| row.case.name == goal.case)?;
    let (per_second, per_unit) = match ours.case.unit {
        Unit::Bytes => ("MB/s", "CPU s/GB"),
        Unit::Requests => ("requests/s", "CPU us"),
    };
    let best = |value: fn(&Row) -> f64, most: bool| {
        let order = move |a: &&Row, b: &&Row| {
            let order = value(a).total_cmp(&value(b));
            if most { order } else { order.reverse() }
        };
        rivals(rows, ours).max_by(order)
    };
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    let count: [fn(&Row) -> f64; 2] = [|row| failures(row) as f64, |row| repeated(row) as f64];
    let (what, value, unit, bound): (_, fn(&Row) -> f64, _, _) = match goal.measure {
        Measure::Ratio(least) => ("rate", rate, per_second, format!(">= {least} x the best rival")),
        Measure::Cost(most) => ("processor time", cost, per_unit, format!("<= {most}")),
        Measure::Failures => ("failures", count[0], "", "0".to_owned()),
        Measure::Repeated => ("requests lost", count[1], "", "0".to_owned()),
    };
    let rival = best(value, matches!(goal.measure, Measure::Ratio(_)));
    let rival_value = rival.map(value);
    let ratio = rival_value.map(|rival| value(ours) / rival).filter(|ratio| ratio.is_finite());
    let met = match goal.measure {
        Measure::Ratio(least) => ratio.is_none_or(|ratio| ratio >= least),
        Measure::Cost(most) => value(ours) <= most,
        Measure::Failures | Measure::Repeated => value(ours) == 0.0,
    };
    Some(serde_json::json!({
        "name": format!("{}: {what}", goal.case), "value": value(ours), "unit": unit,
        "rival": rival.map(|row| row.server), "rival_value": rival_value, "ratio": ratio,
        "goal": bound, "met": met,
    }))
}

/// One line for each goal.
pub(crate) fn print_goals(goals: &[serde_json::Value]) {
    for goal in goals {
        let met = if goal["met"] == true { "met" } else { "NOT MET" };
        let value = goal["value"].as_f64().unwrap_or(f64::NAN);
        let (name, unit) = (goal["name"].as_str(), goal["unit"].as_str());
        let ratio = goal["ratio"]
            .as_f64()
            .map_or(String::new(), |ratio| format!(", {ratio:.2} x the rival's"));
        println!(
            "{met:>8}  {}: {value:.2} {}{ratio} (goal: {})",
            name.unwrap_or_default(),
            unit.unwrap_or_default(),
            goal["goal"].as_str().unwrap_or_default()
        );
    }
}
