//! The goals of a bench: a line each for people, a list for programs, a chart for the guide.
//!
//! Every bench takes `--json FILE` and `--chart FILE`.
#![allow(dead_code, reason = "each bench uses a part of it")]

mod chart;

use serde::Serialize;
use std::{env, fs, io};

/// What is to be reached.
#[derive(Clone, Copy)]
pub(crate) enum Aim {
    /// The value itself is at most this.
    AtMost(f64),
    /// The value itself is at least this.
    AtLeast(f64),
    /// The value divided by the rival's is at most this.
    RatioAtMost(f64),
    /// The value divided by the rival's is at least this.
    RatioAtLeast(f64),
}

/// One goal, and how it was met.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names in the file")]
pub(crate) struct Goal {
    name: String,
    value: f64,
    unit: &'static str,
    rival: Option<&'static str>,
    rival_value: Option<f64>,
    /// The value divided by the rival's.
    ratio: Option<f64>,
    goal: String,
    met: bool,
    /// What the value has to keep to.
    #[serde(skip)]
    bound: f64,
}

/// All goals of one run.
#[derive(Default)]
pub(crate) struct Goals(Vec<Goal>);

impl Goals {
    /// Notes and prints that `value` was measured, beside a rival and what that one reached.
    pub(crate) fn note(
        &mut self,
        name: &str,
        (value, unit): (f64, &'static str),
        rival: Option<(&'static str, f64)>,
        aim: Aim,
    ) {
        let reached = rival.map_or(f64::NAN, |(_, reached)| reached);
        let (bound, least, goal) = match aim {
            Aim::AtMost(most) => (most, false, format!("at most {most} {unit}")),
            Aim::AtLeast(least) => (least, true, format!("at least {least} {unit}")),
            Aim::RatioAtMost(most) => (most * reached, false, format!("at most {most} x")),
            Aim::RatioAtLeast(least) => (least * reached, true, format!("at least {least} x")),
        };
        let met = if least { value >= bound } else { value <= bound };
        let ratio = rival.map(|_| value / reached).filter(|ratio| ratio.is_finite());
        let other = rival.map_or_else(String::new, |(rival, reached)| {
            format!(", {rival} {reached:.3} {unit}: {:.2} x", value / reached)
        });
        let word = if met { "met" } else { "NOT met" };
        #[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
        {
            println!("{name}: {value:.3} {unit}{other} (goal: {goal}, {word})");
        }
        let (rival, rival_value) = rival.unzip();
        let name = name.to_owned();
        self.0.push(Goal { name, value, unit, rival, rival_value, ratio, goal, met, bound });
    }

    /// Writes them to the files that the command line names.
    pub(crate) fn write(&self) -> io::Result<()> {
        if let Some(path) = option("--json") {
            fs::write(path, serde_json::to_vec_pretty(&self.0)?)?;
        }
        option("--chart").map_or(Ok(()), |path| fs::write(path, chart::svg(&self.0)))
    }
}

/// What follows `name` on the command line.
pub(crate) fn option(name: &str) -> Option<String> {
    env::args().skip_while(|word| word != name).nth(1)
}
