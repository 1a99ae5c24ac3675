//! `kadence-relay`: the program on the nodes.

use relay::{
    node::{self, rendezvous},
    start,
};
use std::{env, io, io::Write, process::ExitCode};

const USAGE: &str =
    "usage: kadence-relay start     join in the background, ticket on standard input
       kadence-relay run       the same in the foreground
       kadence-relay holds RUN NODE
                               is there a relay that can go on with that broadcast? (exit 0: yes)
       kadence-relay --digest  SHA-256 of this program
       kadence-relay --version";

fn main() -> ExitCode {
    let said = match env::args().nth(1).as_deref() {
        Some("start") => start::start(io::stdin()).map(|()| start::JOINED.to_owned()).map_err(text),
        Some("run") => run(),
        Some("holds") => holds(&env::args().skip(2).collect::<Vec<_>>()),
        Some("--digest") => start::digest().map_err(text),
        Some("--version") => Ok(start::version()),
        _ => Err(USAGE.to_owned()),
    };
    let (line, code) = match said {
        Ok(line) => (line, ExitCode::SUCCESS),
        Err(line) => (line, ExitCode::FAILURE),
    };
    say(&line);
    code
}

/// One line for whoever started us; in the background nobody listens any more.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn run() -> Result<String, String> {
    let ticket = start::read_ticket(io::stdin()).map_err(text)?;
    // Fails only for a process group leader, which is then on its own already.
    let _ = rustix::process::setsid();
    runtime()?.block_on(node::run(ticket, || say(start::JOINED))).map_err(text)?;
    Ok(String::new())
}

fn holds(words: &[String]) -> Result<String, String> {
    let [run, node] = words else { return Err(USAGE.to_owned()) };
    let there = runtime()?.block_on(rendezvous::is_there(rendezvous::Name { run, node }));
    let found = there.then(|| "a relay is there".to_owned());
    found.ok_or_else(|| "no relay is there that could go on".to_owned())
}

/// One thread: what is done with a block takes less time than handing it to another thread.
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)
}
