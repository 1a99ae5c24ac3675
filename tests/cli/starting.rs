//! The service starts, refuses to, and stops; the command line without one.

use super::site::{Ran, Site, kadence, signal, wait_for};
use rustix::process::Signal;
use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::Stdio,
};

#[test]
fn it_stops_when_it_is_told_to() {
    let service = Site::new().serve();
    let env = service.environment("deb");
    service.run(&["deploy", "-a", env, "-m", "n-1"]).ended(0);
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("stopping")), "{log:#?}");
}

#[test]
fn it_goes_on_where_nobody_reads_its_log_any_more() {
    let site = Site::new();
    let mut command = site.serve_command();
    let mut child = command.arg("--log-json").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    wait_for(&mut lines, "the service is ready");
    drop(lines);
    // Each is told in the log, which cannot be written.
    let env = site.environment("deb");
    site.run(&["deploy", "-a", env, "-m", "n-1"]).ended(0);
    site.run(&["power", "on", "-m", "m-1"]).ended(1);
    signal(child.id(), Signal::HUP);
    site.run(&["power", "on", "-m", "n-1"]).ended(0);
    signal(child.id(), Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let site = Site::new();
    site.write("server.conf", &site.server_conf(taken.local_addr().unwrap().port()));
    let ran = Ran::of(site.serve_command().output().unwrap()).ended(1);
    assert!(ran.err.contains("is another one running there?"), "{}", ran.err);
    assert!(ran.err.contains("because: Address already in use"), "{}", ran.err);
    assert!(std::fs::read_dir(site.path("state")).unwrap().next().is_none(), "nothing is written");
}

#[test]
fn a_state_directory_that_is_held_is_told() {
    let service = Site::new().serve();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    service.write("server.conf", &service.server_conf(free));
    let ran = Ran::of(service.serve_command().output().unwrap()).ended(1);
    assert!(ran.err.contains("cannot open the state directory"), "{}", ran.err);
    assert!(ran.err.contains("because: "), "{}", ran.err);
    service.run(&["nodes", "--list"]).ended(0);
}

#[test]
fn without_a_service_the_way_out_is_told() {
    let site = Site::new();
    let ran = site.run(&["nodes"]).ended(1);
    assert!(ran.err.starts_with("error: no service answers at http://127.0.0.1:"), "{}", ran.err);
    assert!(ran.err.contains("hint: start it with `kadence serve`"), "{}", ran.err);
    let ran = Ran::of(kadence().args(["--server", "nonsense", "nodes"]).output().unwrap()).ended(1);
    assert!(
        ran.err.contains("hint: name the service with --server http://HOST:PORT"),
        "{}",
        ran.err
    );
    let ran = Ran::of(kadence().arg("frobnicate").output().unwrap()).ended(1);
    assert!(ran.err.contains("unrecognized subcommand"), "{}", ran.err);
    Ran::of(kadence().args(["deploy", "--help"]).output().unwrap()).ended(0);
}

#[test]
fn the_log_can_be_json() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let site = Site::new();
    let server = site.server_conf(taken.local_addr().unwrap().port());
    site.write("server.conf", &format!("{server}eventz: {{}}\n"));
    let ran = Ran::of(site.serve_command().arg("--log-json").output().unwrap()).ended(1);
    let first: serde_json::Value = serde_json::from_str(ran.err.lines().next().unwrap()).unwrap();
    assert_eq!(first["level"], "WARN", "{first}");
}
