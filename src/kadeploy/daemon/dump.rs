//! What SIGUSR1 and SIGUSR2 show of the process.

use std::{fs, path::Path};

/// The process: memory, threads, open files, tasks.
pub(super) fn process() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let wanted = ["State", "VmPeak", "VmSize", "VmRSS", "Threads"];
    let of_interest = |line: &&str| wanted.iter().any(|name| line.starts_with(name));
    let lines: Vec<_> = status.lines().filter(of_interest).collect();
    let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let metrics = tokio::runtime::Handle::current().metrics();
    format!(
        "process {}\n{}\nopen files:\t{files}\ntasks:\t{}\nworkers:\t{}",
        std::process::id(),
        lines.join("\n"),
        metrics.num_alive_tasks(),
        metrics.num_workers()
    )
}

/// Each thread: its name, its state, and where in the kernel it waits.
pub(super) fn threads() -> String {
    let mut lines = Vec::new();
    for entry in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |name: &str| read(&entry.path(), name);
        let status = read("status");
        let state = status.lines().find_map(|line| line.strip_prefix("State:"));
        lines.push(format!(
            "thread {} {}: {}, in {}",
            entry.file_name().to_string_lossy(),
            read("comm"),
            state.unwrap_or("?").trim(),
            read("wchan")
        ));
    }
    lines.join("\n")
}

fn read(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap_or_default().trim().to_owned()
}
