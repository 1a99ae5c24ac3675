//! Where the time of a deployment went, and how much of it the service itself took.
//!
//! A node's steps wait for its firmware, its kernel, its disk, its BMC and its programs. All
//! else is the service's own: from the request to the first order, between two steps, from
//! the last proof to the end. It is read from the messages of the operation, each of which has
//! its time, and from the seconds that the node spent in each step.

use super::{
    super::{Place, inside},
    report::Report,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ffi::OsString, process::Stdio, time::Duration};
use tokio::{process::Command, time::timeout};

/// What one node may cost the service itself, seconds.
pub(super) const GOAL: f64 = 2.0;
/// The service answers in milliseconds.
const ASK_LIMIT: Duration = Duration::from_secs(30);
/// The step that gives the first order to a machine.
const ORDER: &str = "reboot";
/// A step that is done on the server alone.
const OWN: &str = "switch_pxe";

/// Seconds that the service itself took for one node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct OwnTime {
    /// Files grabbed, profiles written, everything up to the first order to the machine.
    first_order: f64,
    /// Between two steps, over all of them; writing profiles is part of it.
    between_steps: f64,
    /// From the node's last proof to the end of the operation.
    end: f64,
    /// All of that.
    all: f64,
}

/// A message of the operation.
#[derive(Clone, Debug, Deserialize)]
struct Line {
    /// Unix time, seconds.
    at: f64,
    text: String,
}

/// Adds the service's own time to the report of a run with one node. A run that says too
/// little has none: the report must not fail with it.
pub(super) async fn add(place: &Place, report: &mut Report) {
    let ([node], Some(wid)) = (report.nodes.as_slice(), &report.wid) else { return };
    let Some(seconds) = report.seconds.get(node) else { return };
    report.service = messages(place, wid).await.and_then(|lines| own_time(&lines, seconds));
}

/// The messages of an operation, with their times.
async fn messages(place: &Place, wid: &str) -> Option<Vec<Line>> {
    let words = ["kadence", "--user", "root", "logs", wid, "--json"].map(OsString::from);
    let mut command = Command::from(inside::command(place, &words));
    command.env_remove("KADENCE_SERVER").stdin(Stdio::null()).stderr(Stdio::null());
    let output = timeout(ASK_LIMIT, command.kill_on_drop(true).output()).await.ok()?.ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

/// What is left of the time from the first message to the last when the steps of the node
/// are taken out, `seconds` by `Macro/micro`; none where the node did not come to its end.
fn own_time(lines: &[Line], seconds: &BTreeMap<String, f64>) -> Option<OwnTime> {
    let at = |wanted: &dyn Fn(&str) -> bool| {
        lines.iter().find(|line| wanted(&line.text)).map(|line| line.at)
    };
    let (begin, end) = (lines.first()?.at, lines.last()?.at);
    let first = at(&|text| text.trim() == ORDER)?;
    let last = at(&|text| text.starts_with("End of deployment for "))?;
    let is_own = |step: &str| step.rsplit('/').next() == Some(OWN);
    let steps: f64 = seconds.iter().filter(|(step, _)| !is_own(step)).map(|(_, time)| time).sum();
    // Steps are rounded to milliseconds: nothing took less than no time.
    let [first_order, between_steps, end] =
        [first - begin, last - first - steps, end - last].map(|time: f64| time.max(0.0));
    let all = first_order + between_steps + end;
    Some(OwnTime { first_order, between_steps, end, all })
}

/// Each step of some nodes, the longest first, in lines for people: what it took one node, or its
/// median over those that did it.
pub(super) fn steps(nodes: &BTreeMap<String, BTreeMap<String, f64>>) -> Vec<String> {
    let mut steps: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (step, time) in nodes.values().flatten() {
        steps.entry(step).or_default().push(*time);
    }
    let mut medians: Vec<_> =
        steps.into_iter().map(|(step, times)| (step, times.len(), median(times))).collect();
    medians.sort_by(|a, b| b.2.total_cmp(&a.2));
    let title = match nodes.len() {
        0 => return Vec::new(),
        1 => "where the time went:".to_owned(),
        all => format!("where the time went, medians of {all} nodes:"),
    };
    let line = |(step, count, time): (&str, usize, f64)| {
        let some = if count < nodes.len() { format!(" ({count} of them)") } else { String::new() };
        format!("{time:8.3} s  {step}{some}")
    };
    std::iter::once(title).chain(medians.into_iter().map(line)).collect()
}

/// Of at least one value.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
}

impl OwnTime {
    /// In one line for people.
    pub(super) fn text(&self) -> String {
        let Self { first_order, between_steps, end, all } = self;
        let verdict = if *all <= GOAL { "within" } else { "NOT within" };
        format!(
            "{all:8.3} s  the service itself, {verdict} its {GOAL} s: {first_order:.3} s to the first order, {between_steps:.3} s between steps, {end:.3} s after the last"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(told: &[(f64, &str)]) -> Vec<Line> {
        told.iter().map(|(at, text)| Line { at: 1000.0 + at, text: (*text).to_owned() }).collect()
    }

    fn seconds() -> BTreeMap<String, f64> {
        let steps = [
            ("SetDeploymentEnvUntrusted/switch_pxe", 0.05),
            ("SetDeploymentEnvUntrusted/reboot", 2.0),
            ("SetDeploymentEnvUntrusted/wait_reboot", 20.0),
            ("BootNewEnvClassical/switch_pxe", 0.15),
            ("BootNewEnvClassical/wait_reboot", 30.0),
        ];
        steps.map(|(step, time)| (step.to_owned(), time)).into()
    }

    fn told() -> Vec<Line> {
        lines(&[
            (0.0, "Grab the tarball file server:///srv/debian.tgz"),
            (0.3, "Launching a deployment on node-1.lab"),
            (0.3, "Performing a Deploy[SetDeploymentEnvUntrusted] step"),
            (0.35, "  switch_pxe"),
            (0.5, "  reboot"),
            (0.5, "   * Performing a soft reboot on node-1.lab"),
            (2.6, "  wait_reboot"),
            (23.0, "  switch_pxe"),
            (23.2, "  wait_reboot"),
            (53.3, "End of deployment for node-1.lab after 53s"),
            (53.4, "End of deployment on cluster lab after 53s"),
        ])
    }

    #[test]
    fn what_no_machine_took_is_the_services_own() {
        let own = own_time(&told(), &seconds()).unwrap();
        let parts = [own.first_order, own.between_steps, own.end, own.all];
        // 52.8 s from the first order to the end of the node, 52 s of them in its steps.
        assert_eq!(parts.map(|time| format!("{time:.3}")), ["0.500", "0.800", "0.100", "1.400"]);
        let line = "   1.400 s  the service itself, within its 2 s: 0.500 s to the first order, 0.800 s between steps, 0.100 s after the last";
        assert_eq!(own.text(), line);
    }

    #[test]
    fn the_steps_of_one_node_are_told_as_they_were() {
        let lines = [
            "where the time went:",
            "  30.000 s  BootNewEnvClassical/wait_reboot",
            "  20.000 s  SetDeploymentEnvUntrusted/wait_reboot",
            "   2.000 s  SetDeploymentEnvUntrusted/reboot",
            "   0.150 s  BootNewEnvClassical/switch_pxe",
            "   0.050 s  SetDeploymentEnvUntrusted/switch_pxe",
        ];
        assert_eq!(steps(&[("node-1.lab".to_owned(), seconds())].into()), lines);
        assert_eq!(steps(&BTreeMap::new()), [""; 0]);
    }

    #[test]
    fn the_steps_of_several_nodes_are_told_by_their_medians() {
        let node = |number: u32, steps: &[(&str, f64)]| {
            let steps = steps.iter().map(|(step, time)| ((*step).to_owned(), *time)).collect();
            (format!("node-{number}.lab"), steps)
        };
        let nodes = [
            node(1, &[("A/image", 9.0), ("B/kexec", 1.5)]),
            node(2, &[("A/image", 1.0), ("B/reboot", 4.0)]),
            node(3, &[("A/image", 2.0), ("B/reboot", 5.0)]),
        ];
        let lines = [
            "where the time went, medians of 3 nodes:",
            "   4.500 s  B/reboot (2 of them)",
            "   2.000 s  A/image",
            "   1.500 s  B/kexec (1 of them)",
        ];
        assert_eq!(steps(&nodes.into()), lines);
    }

    #[test]
    fn a_node_that_did_not_come_to_its_end_has_no_such_time() {
        let mut lines = told();
        lines.retain(|line| !line.text.starts_with("End of deployment for"));
        assert_eq!(own_time(&lines, &seconds()), None);
        assert_eq!(own_time(&[], &seconds()), None);
        assert_eq!(own_time(&told()[..4], &seconds()), None);
    }
}
