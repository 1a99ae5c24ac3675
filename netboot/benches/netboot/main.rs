//! Boot files to many clients: our TFTP and HTTP servers beside the crate `tftpd`, and beside atftpd,
//! dnsmasq and nginx of Debian where they are installed.
//!
//! Run by `scripts/bench netboot`, as root for dnsmasq and for full buffers. The clients are ours and
//! the same for every server; the servers are measured in turns, and each byte that they send is
//! compared. Prints tables; nothing is asserted. `--full`: more rounds. `--json FILE` writes the goals,
//! `--chart FILE` a chart (SVG),
//! `--only WORD` leaves out the cases without that word in their name, `--server NAME` the other servers.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its table")]

mod cases;
mod chart;
mod http;
mod report;
mod servers;
mod tftp;

use std::{env, fs, path::Path};

fn main() {
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", root] => return servers::serve(Path::new(root)),
        ["tftpd", root, port] => {
            return servers::serve_tftpd(Path::new(root), port.parse().expect("a port"));
        }
        _ => {}
    }
    let after = |flag: &str| {
        let at = words.iter().position(|word| word == flag)?;
        words.get(at + 1).map(String::as_str)
    };
    let rounds = if words.iter().any(|word| word == "--full") { 7 } else { 3 };
    report::print_head();
    let results = cases::run(rounds, after("--only").unwrap_or_default(), after("--server"));
    let goals = report::goals(&results);
    report::print_goals(&goals);
    if let Some(path) = after("--chart") {
        fs::write(path, chart::draw(&results)).expect("a file");
    }
    if let Some(path) = after("--json") {
        fs::write(path, serde_json::to_vec_pretty(&goals).expect("plain values")).expect("a file");
    }
}
