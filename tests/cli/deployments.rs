//! Deployments: started, followed, stopped, cancelled.

use super::site::{Ran, Site, signal, wait_for};
use rustix::process::Signal;
use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

type Lines = std::io::Lines<BufReader<ChildStderr>>;

/// A deployment that waits at a breakpoint: the command that follows it, its lines, its id.
fn paused(site: &Site, more: &[&str]) -> (Child, Lines, String) {
    let env = site.environment("deb");
    let mut words = vec!["deploy", "-a", env, "-m", "n-1", "--breakpoint", "BroadcastEnv"];
    words.extend(more);
    let mut command = site.user(&words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let started = wait_for(&mut lines, " started");
    let wid = started.split_whitespace().nth(1).unwrap().to_owned();
    wait_for(&mut lines, "Breakpoint on");
    (child, lines, wid)
}

#[test]
fn a_deployment_succeeds_and_stays_to_be_looked_at() {
    let service = Site::new().serve();
    let env = service.environment("deb");
    let ran = service.run(&["deploy", "-a", env, "-m", "n-[1-2]", "--json"]).ended(0);
    let json = ran.json();
    assert_eq!(json["ok"], serde_json::json!(["n-1.site", "n-2.site"]));
    assert_eq!(json["ko"], serde_json::json!({}));
    assert!(json["seconds"]["n-1.site"]["BroadcastEnvDummy/dummy"].is_number(), "{json}");
    for text in ["Grab the tarball file", "The deployment is successful on nodes", "n-2.site"] {
        assert!(ran.err.contains(text), "{text}: {}", ran.err);
    }
    let wid = json["wid"].as_str().unwrap();
    let logs = service.run(&["logs", wid]).ended(0).out;
    assert!(logs.contains("End of deployment for n-[1-2].site"), "{logs}");
    let ended = service.run(&["logs", wid, "--follow", "--json"]).ended(0).json();
    assert_eq!(ended.as_array().unwrap().len(), logs.lines().count());
    let nodes = service.run(&["nodes", "-m", "n-1", "--json"]).ended(0).json();
    // It is not recorded: nobody could name it.
    assert_eq!(nodes["n-1.site"]["environment"]["name"], serde_json::Value::Null);
    assert_eq!(nodes["n-1.site"]["state"], "deployed");
    service.run(&["cancel", wid]).ended(0);
    let gone = service.run(&["logs", wid]).ended(1);
    assert!(gone.err.contains("Invalid workflow ID"), "{}", gone.err);
}

#[test]
fn lists_of_nodes_are_data_and_messages_are_not() {
    let service = Site::new().serve();
    let env = service.environment("deb");
    service.write("nodes", "n-1\n\n  n-3\n");
    let ran = service.run(&["deploy", "-a", env, "-f", "nodes", "--forget"]).ended(0);
    assert_eq!(ran.out, "The deployment is successful on nodes\nn-1.site\nn-3.site\n");
    assert!(ran.err.contains("Launching a deployment on n-[1,3].site"), "{}", ran.err);
    let operations = service.run(&["operations", "--json"]).ended(0).json();
    assert_eq!(operations, serde_json::json!([]), "it was to be forgotten");
}

#[test]
fn every_file_named_is_served_and_a_missing_one_is_told_before_anything_starts() {
    let service = Site::new().serve();
    let env = service.environment("deb");
    service.write("keys", "ssh-ed25519 AAAA anna\n");
    let ran = service.run(&["deploy", "-a", env, "-m", "n-1", "-k", "keys"]).ended(0);
    let keys = service.path("keys").canonicalize().unwrap();
    assert!(ran.err.contains(&format!("Grab the key file {}", keys.display())), "{}", ran.err);
    std::fs::remove_file(service.path("image.tgz")).unwrap();
    let ran = service.run(&["deploy", "-a", env, "-m", "n-1"]).ended(1);
    assert!(ran.err.contains("cannot read image.tgz: No such file"), "{}", ran.err);
    let operations = service.run(&["operations", "--json"]).ended(0).json();
    assert_eq!(operations.as_array().unwrap().len(), 1);
}

#[test]
fn operations_of_the_users_own_are_run() {
    let service = Site::new().serve();
    let env = service.environment("deb");
    let custom = |words: &[&str]| {
        let deploy = ["deploy", "-a", env, "-m", "n-1", "--custom-operations", "own.yaml"];
        service.run(&[&deploy[..], words].concat())
    };
    let step = "SetDeploymentEnvDummy: {dummy: {pre-ops: [{name: mine, ACTION}]}}\n";
    service.write("own.yaml", &step.replace("ACTION", "action: exec, command: echo hello"));
    custom(&["--dry-run"]).ended(0);
    // No node can be reached here: that it was tried is seen by its name.
    let json = custom(&["--json"]).ended(1).json();
    let why = json["ko"]["n-1.site"].as_str().unwrap();
    assert!(why.contains("custom_pre_dummy-mine"), "{why}");
    // A file of this machine is served, so it must be there and one must stay.
    service
        .write("own.yaml", &step.replace("ACTION", "action: send, file: sent, destination: /tmp"));
    let ran = custom(&["--dry-run"]).ended(1);
    assert!(ran.err.contains("sent"), "{}", ran.err);
    service.write("sent", "something");
    custom(&["--dry-run"]).ended(0);
    let ran = custom(&["--no-wait"]).ended(1);
    assert!(ran.err.contains("--no-wait cannot be used with files of this machine"), "{}", ran.err);
    service.write("own.yaml", "SetDeploymentEnvDummy: {nothing: {pre-ops: []}}\n");
    let ran = custom(&[]).ended(8);
    assert!(ran.err.contains("Invalid microstep name 'nothing'"), "{}", ran.err);
    service.write("own.yaml", "- mine\n");
    let ran = custom(&[]).ended(1);
    assert!(ran.err.contains("own.yaml has no operations: it is not a hash"), "{}", ran.err);
    // Reboots and power operations have it as well.
    service.write(
        "own.yaml",
        "On: {power: {post-ops: [{name: mine, action: exec, command: 'true'}]}}\n",
    );
    service
        .run(&["power", "on", "-m", "n-1", "--custom-operations", "own.yaml", "--dry-run"])
        .ended(0);
}

#[test]
fn errors_have_kadeploys_numbers_and_a_way_out() {
    let service = Site::new().serve();
    let env = service.environment("deb");
    let ran = service.run(&["deploy", "-a", env, "-m", "zz"]).ended(2);
    assert!(ran.err.contains("The node 'zz' does not exist"), "{}", ran.err);
    assert!(ran.err.contains("hint: known nodes: m-1.site,n-[1-3].site"), "{}", ran.err);
    assert_eq!(ran.out, "");
    let ran = service.run(&["deploy", "-e", "none", "-m", "n-1"]).ended(7);
    assert!(ran.err.contains("hint: `kadence env list`"), "{}", ran.err);
    let ran = service.run(&["deploy", "-a", env, "-m", "n-1", "--breakpoint", "No"]).ended(4);
    assert!(ran.err.contains("Invalid macrostep name 'No'"), "{}", ran.err);
    service.run(&["deploy", "-a", env, "-m", "n-1", "--no-wait", "-k", "x"]).ended(1);
    service.run(&["deploy", "-a", env]).ended(1);
    let ran = service.run(&["deploy", "-a", env, "-m", "n-1", "--dry-run"]).ended(0);
    assert!(ran.out.contains("nothing was started"), "{ran:?}");
    assert_eq!(service.run(&["operations", "--json"]).json(), serde_json::json!([]));
}

#[test]
fn nodes_at_a_breakpoint_go_on_or_are_given_up() {
    let service = Site::new().serve();
    let (child, _lines, wid) = paused(&service, &["--json"]);
    service.run(&["continue", &wid]).ended(0);
    let ended = Ran::of(child.wait_with_output().unwrap()).ended(0);
    assert_eq!(ended.json()["ok"][0], "n-1.site");
    let nobody = service.run(&["continue", &wid]).ended(14);
    assert!(nobody.err.contains("waits at a breakpoint"), "{}", nobody.err);
    assert!(nobody.err.contains("hint: it has ended"), "{}", nobody.err);
    let (child, _lines, wid) = paused(&service, &["--json"]);
    service.run(&["abort", &wid]).ended(0);
    let ended = Ran::of(child.wait_with_output().unwrap()).ended(1);
    let reason = ended.json()["ko"]["n-1.site"].to_string();
    assert!(reason.contains("given up at the breakpoint by anna"), "{reason}");
}

#[test]
fn a_node_that_is_taken_is_discarded_and_not_well() {
    let service = Site::new().serve();
    let (child, _lines, wid) = paused(&service, &[]);
    let env = service.environment("deb");
    let ran = service.run(&["deploy", "-a", env, "-m", "n-[1-2]", "--json"]).ended(1);
    let json = ran.json();
    assert_eq!(json["ok"], serde_json::json!(["n-2.site"]));
    assert!(json["ko"]["n-1.site"].as_str().unwrap().starts_with("discarded"), "{json}");
    assert!(json["notes"][0].as_str().unwrap().contains("already involved"), "{json}");
    let ran = service.run(&["deploy", "-a", env, "-m", "n-1"]).ended(14);
    assert!(ran.err.contains("hint: wait for that operation"), "{}", ran.err);
    service.run(&["cancel", &wid]).ended(0);
    // Whoever follows it learns that it has ended, one way or the other.
    assert_eq!(Ran::of(child.wait_with_output().unwrap()).code, 1);
}

#[test]
fn ctrl_c_without_a_terminal_cancels() {
    let service = Site::new().serve();
    let (child, mut lines, wid) = paused(&service, &["--json"]);
    signal(child.id(), Signal::INT);
    wait_for(&mut lines, "was cancelled");
    let ended = Ran::of(child.wait_with_output().unwrap()).ended(1);
    assert_eq!(ended.json(), serde_json::json!({"wid": wid, "cancelled": true}));
    assert_eq!(service.run(&["operations", "--json"]).json(), serde_json::json!([]));
    // Its nodes are free again.
    let env = service.environment("deb");
    service.run(&["deploy", "-a", env, "-m", "n-1"]).ended(0);
}

/// Somebody at a terminal who follows a deployment that waits at a breakpoint.
struct Person {
    terminal: Child,
    said: Receiver<u8>,
    seen: String,
}

impl Person {
    fn sits_down(site: &Site) -> Self {
        let env = site.environment("deb");
        let kadence = env!("CARGO_BIN_EXE_kadence");
        // exec: a shell that stays in between is ended by Ctrl-C, and its code taken for the program's.
        let line = format!("exec {kadence} deploy -a {env} -m n-1 --breakpoint BroadcastEnv");
        let mut command = Command::new("script");
        command.env("SHELL", "/bin/sh");
        command.args(["-qefc", &line, "/dev/null"]).current_dir(site.path(""));
        command.env("KADENCE_SERVER", site.url()).env("USER", "anna").env("TERM", "dumb");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut terminal = command.spawn().unwrap();
        let (sender, said) = channel();
        let out = BufReader::new(terminal.stdout.take().unwrap());
        std::thread::spawn(move || {
            out.bytes().map_while(Result::ok).all(|byte| sender.send(byte).is_ok())
        });
        let mut person = Self { terminal, said, seen: String::new() };
        person.sees("Breakpoint on");
        person
    }

    /// Reads until `text` is on the screen.
    fn sees(&mut self, text: &str) {
        let began = self.seen.len();
        while !self.seen[began..].contains(text) {
            let byte = self.said.recv_timeout(Duration::from_secs(120));
            self.seen.push(char::from(byte.unwrap_or_else(|_| panic!("{text}: {}", self.seen))));
        }
    }

    fn types(&mut self, keys: &[u8]) {
        self.terminal.stdin.as_mut().unwrap().write_all(keys).unwrap();
    }

    /// The id of the deployment.
    fn wid(&self) -> String {
        let (_, rest) = self.seen.split_once("Deployment ").unwrap();
        rest.split_whitespace().next().unwrap().to_owned()
    }
}

const CTRL_C: &[u8] = b"\x03";

#[test]
fn ctrl_c_at_a_terminal_asks() {
    let service = Site::new().serve();
    let mut person = Person::sits_down(&service);
    let wid = person.wid();
    person.types(CTRL_C);
    person.sees("Cancel the deployment (c), leave it running and go (l), or go on watching");
    person.types(b"l\n");
    person.sees("goes on: kadence logs");
    assert_eq!(person.terminal.wait().unwrap().code(), Some(1));
    let running = service.run(&["operations", "--json"]).ended(0).json();
    assert_eq!((&running[0]["wid"], &running[0]["done"]), (&wid.clone().into(), &false.into()));
    service.run(&["cancel", &wid]).ended(0);

    let mut person = Person::sits_down(&service);
    person.types(CTRL_C);
    person.sees("Cancel the deployment (c)");
    person.types(b"c\n");
    person.sees("was cancelled");
    assert_eq!(person.terminal.wait().unwrap().code(), Some(1));
    assert_eq!(service.run(&["operations", "--json"]).json(), serde_json::json!([]));
}

#[test]
fn one_may_leave_and_come_back() {
    let service = Site::new().serve();
    service.environment("deb");
    let image = service.path("image.tgz");
    let text = std::fs::read_to_string(service.path("env.yaml")).unwrap();
    let server = format!("server://{}", image.display());
    service.write("server.yaml", &text.replace("image.tgz", &server));
    let words = ["deploy", "-a", "server.yaml", "-m", "n-1", "--no-wait", "--json"];
    let json = service.run(&words).ended(0).json();
    let wid = json["wid"].as_str().unwrap();
    assert_eq!(json["resources"]["resource"], format!("/deployment/{wid}/"));
    let ran = service.run(&["logs", wid, "--follow"]).ended(0);
    assert!(ran.out.contains("End of deployment on cluster one"), "{}", ran.out);
    let operations = service.run(&["operations"]).ended(0).out;
    assert!(operations.contains(wid) && operations.contains("1 ok"), "{operations}");
}

#[test]
fn steps_can_be_forced() {
    let service = Site::new().serve();
    let env = service.environment("deb");
    let steps = "SetDeploymentEnv|Dummy:0:10&BroadcastEnv|Dummy:1:20&BootNewEnv|Nope:0:0";
    let ran = service.run(&["deploy", "-a", env, "-m", "n-1", "--force-steps", steps]).ended(4);
    assert!(ran.err.contains("Unknown macrostep name 'Nope'"), "{}", ran.err);
    let steps = steps.replace("Nope", "Dummy");
    service.run(&["deploy", "-a", env, "-m", "n-1", "--force-steps", &steps]).ended(0);
    let ran = service.run(&["deploy", "-a", env, "-m", "n-1", "--force-steps", "x"]).ended(1);
    assert!(ran.err.contains("`x` is not Macro|Name:retries:timeout"), "{}", ran.err);
}
