//! What the machine of a node used of the processors: all of it, firmware and loaders included.

use super::super::{
    Place,
    control::{Answer, Request, ask},
};
use std::{collections::BTreeMap, fs};

/// Clock ticks of a second in /proc: the same on every Linux that this runs on.
const TICKS: f64 = 100.0;

/// Node → seconds of processor time. A node that was given power more than once has none: what ran
/// before is not known any more.
pub(super) async fn guest_cpu(place: &Place) -> BTreeMap<String, f64> {
    let Ok(Answer::Status { status }) = ask(place, &Request::Status).await else {
        return BTreeMap::new();
    };
    let once = status.nodes.into_iter().filter(|node| node.starts == 1);
    once.filter_map(|node| Some((node.name, cpu(node.pid?)?))).collect()
}

/// In one line for people.
pub(super) fn text(guest_cpu: &BTreeMap<String, f64>) -> Option<String> {
    let nodes: Vec<_> =
        guest_cpu.iter().map(|(node, time)| format!("{node} {time:.1} s")).collect();
    (!nodes.is_empty()).then(|| format!("processor time of the machines: {}", nodes.join(", ")))
}

/// What all threads of a process have used, in it and in the kernel for it.
fn cpu(pid: u32) -> Option<f64> {
    used(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// utime and stime, fields 14 and 15 of proc(5). The name in parentheses may hold anything.
fn used(stat: &str) -> Option<f64> {
    let fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    (ticks.len() == 2).then(|| ticks.iter().sum::<f64>() / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What this thread has used, by another count of the kernel's, in nanoseconds.
    fn own() -> f64 {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
    }

    #[test]
    fn a_process_has_used_what_its_threads_have() {
        let process = || cpu(std::process::id()).unwrap();
        let (began, before) = (process(), own());
        while own() - before < 0.3 {}
        let used = process() - began;
        // Other tests run in this process; each of the fields is rounded to whole ticks.
        assert!(used > 0.25, "{used}");
        assert!(process() >= own() - 0.05, "{} {}", process(), own());
    }

    #[test]
    fn a_name_of_a_process_is_no_field() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 200 3 4 1234 66 5 6 20 0 2 0 99 1 2";
        assert_eq!(used(stat), Some(13.0));
        assert_eq!(used("7 (cut) S 1 7 7 0 -1 4194560 100 200 3 4 1234"), None);
        assert_eq!(used(""), None);
        assert_eq!(cpu(0), None);
    }

    #[test]
    fn people_read_one_line() {
        let nodes =
            BTreeMap::from([("node-2.lab".to_owned(), 99.96), ("node-1.lab".to_owned(), 7.0)]);
        let line = "processor time of the machines: node-1.lab 7.0 s, node-2.lab 100.0 s";
        assert_eq!(text(&nodes).as_deref(), Some(line));
        assert_eq!(text(&BTreeMap::new()), None);
    }
}
