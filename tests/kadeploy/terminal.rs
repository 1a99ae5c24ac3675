//! The person and the processes around the programs: Ctrl-C, Enter, a password, descriptors.

use super::{
    programs::{Place, Ran},
    stub::{Answer, Operation, Stub, ended, running},
};
use crate::cli::signal;
use serde_json::json;
use std::{
    io::{Read, Write},
    process::{Child, Command, Stdio},
};

const NODE: &str = "node-1.testbed.lan";

fn begun() -> (Stub, Place) {
    let stub = Stub::new(&[NODE]);
    let place = Place::new(&[("main", stub.port)]);
    (stub, place)
}

/// A program at a terminal.
pub(super) fn at_a_terminal(place: &Place, words: &str) -> Child {
    started_at_a_terminal(place, &place.command(words))
}

/// A program with its words and its environment, at a terminal.
pub(super) fn started_at_a_terminal(place: &Place, command: &Command) -> Child {
    let mut line = format!("exec {}", command.get_program().to_str().unwrap());
    command.get_args().for_each(|word| line += &format!(" {}", word.to_str().unwrap()));
    with_a_terminal(place, command, &line)
}

/// A line of a shell at a terminal.
fn line_at_a_terminal(place: &Place, line: &str) -> Child {
    with_a_terminal(place, &place.command("kapower3"), line)
}

/// The line at a terminal, with the environment of `command`.
fn with_a_terminal(place: &Place, command: &Command, line: &str) -> Child {
    let mut script = Command::new("script");
    script.args(["-qefc", line, "/dev/null"]).env("SHELL", "/bin/sh").env("TERM", "dumb");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script.current_dir(place.path("")).stdin(Stdio::piped()).stdout(Stdio::piped());
    script.spawn().unwrap()
}

/// All that it printed until its end, and its exit code.
pub(super) fn end_of(mut child: Child) -> (String, Option<i32>) {
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    (text.replace('\r', ""), child.wait().unwrap().code())
}

#[test]
fn ctrl_c_deletes_what_runs() {
    let (stub, place) = begun();
    stub.operation(
        "PUT /power/",
        "P-1",
        &Operation { polls: vec![running()], ..Operation::default() },
    );
    let mut command = place.command("kapower3 --on -m node-1");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    stub.wait_for("GET /power/P-1/");
    signal(child.id(), rustix::process::Signal::INT);
    let ran = Ran::of(child.wait_with_output().unwrap()).ended(1);
    assert_eq!(ran.out, "Power operation #P-1 started\nSIGINT trapped\n");
    assert_eq!(stub.request("DELETE /power/P-1/").body, "{}");
}

#[test]
fn enter_shows_where_the_nodes_are() {
    let (stub, place) = begun();
    let nodes = json!({"OK": [], "KO": [], "**": [NODE]});
    let status = json!({"alpha": {"On": {"power": {"nodes": nodes, "time": 3}}}});
    let gate = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    stub.operation(
        "PUT /power/",
        "P-1",
        &Operation { logs: vec![""], status, ..Operation::default() },
    );
    let open = std::sync::Arc::clone(&gate);
    stub.does("GET /power/P-1/", move |_| {
        let done = open.load(std::sync::atomic::Ordering::Relaxed);
        Answer::json(&if done { ended(&[NODE], &[]) } else { running() })
    });
    let mut child = at_a_terminal(&place, "kapower3 --on -m node-1");
    stub.wait_for("GET /power/P-1/");
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    stub.wait_for("GET /power/P-1/status");
    gate.store(true, std::sync::atomic::Ordering::Relaxed);
    let (text, code) = end_of(child);
    assert_eq!(code, Some(0), "{text}");
    let shown = format!("---\nPower operation status (1s):\n[On-power] ~3s (**)\n  {NODE}\n---\n");
    assert!(text.contains(&shown), "{text}");
}

#[test]
fn in_the_background_no_key_is_waited_for() {
    let (stub, place) = begun();
    let polls = vec![running(), ended(&[NODE], &[])];
    let operation = Operation { polls, logs: vec![""], ..Operation::default() };
    stub.operation("PUT /power/", "P-1", &operation);
    // A process that is stopped by its terminal would never end.
    let line = "exec bash -mc 'kapower3 --on -m node-1 & wait $!'";
    let (text, code) = end_of(line_at_a_terminal(&place, line));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("done\n"), "{text}");
}

#[test]
fn a_password_is_asked_for_without_an_echo() {
    let (stub, place) = begun();
    stub.gives("PUT /power/", Answer::text("\n"));
    let mut child = at_a_terminal(&place, "kapower3 --on -m node-1 --dry-run --password");
    let mut seen = Vec::new();
    while !seen.ends_with(b"Password: ") {
        let mut letter = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut letter).unwrap();
        seen.push(letter[0]);
    }
    // The echo is switched off with the question, not before it.
    std::thread::park_timeout(std::time::Duration::from_millis(300));
    child.stdin.as_mut().unwrap().write_all(b"secret\n").unwrap();
    let (text, code) = end_of(child);
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("secret"), "{text}");
    let basic = stub.request("PUT /power/").header("Authorization").map(str::to_owned);
    assert_eq!(basic.as_deref(), Some("Basic YW5uYTpzZWNyZXQ="));
    // Without a terminal nobody can be asked.
    let line = "setsid kapower3 --on -m node-1 --password";
    let ran = Ran::of(place.shell(line).output().unwrap()).ended(1);
    assert!(ran.err.contains("The password cannot be asked for"), "{}", ran.err);
}

#[test]
fn commands_and_traffic_go_to_their_descriptors() {
    let (stub, place) = begun();
    stub.operation(
        "PUT /power/",
        "P-1",
        &Operation {
            polls: vec![ended(&[NODE], &[])],
            logs: vec!["1.0|a message\n\n"],
            debugs: "1.0|NODE: node-1\n1.1|STATUS: 0\n\n".into(),
            ..Operation::default()
        },
    );
    let line = "kapower3 --on -m node-1 -d -H 3>debug 4>http";
    let ran = Ran::of(place.shell(line).output().unwrap()).ended(0);
    assert!(ran.out.contains("a message") && !ran.out.contains("NODE:"), "{}", ran.out);
    assert!(!ran.out.contains("GET /version"), "{}", ran.out);
    assert_eq!(place.read("debug"), "[dbg] NODE: node-1\n[dbg] STATUS: 0\n");
    let http = place.read("http");
    for part in ["GET /version\n", "HTTP 200\n", "PUT /power/\n{\"debug\":true,", "3.3.11.stable"] {
        assert!(http.contains(part), "{part}: {http}");
    }
    // Closed, they are standard output.
    let ran = Ran::of(place.shell("kapower3 --on -m node-1 -d -H 3>&- 4>&-").output().unwrap());
    let out = ran.ended(0).out;
    assert!(out.contains("[dbg] NODE: node-1") && out.contains("GET /version\n"), "{out}");
    // One that may only be read is none.
    let line = "kapower3 --on -m node-1 -d 3<client.conf";
    let before = place.read("client.conf");
    let out = Ran::of(place.shell(line).output().unwrap()).ended(0).out;
    assert!(out.contains("[dbg] NODE: node-1"), "{out}");
    assert_eq!(place.read("client.conf"), before);
}

#[test]
fn nodes_may_come_from_standard_input() {
    let (stub, place) = begun();
    stub.gives("PUT /power/", Answer::text("\n"));
    let line = "printf 'node-1\\n' | kapower3 --on -f - --dry-run";
    Ran::of(place.shell(line).output().unwrap()).ended(0);
    assert_eq!(stub.request("PUT /power/").json()["nodes"], json!(["node-1"]));
}
