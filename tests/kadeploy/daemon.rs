//! `kadeploy3d`.

use super::programs::{Place, Ran};
use crate::{cli::signal, common::Site};
use rustix::process::Signal;
use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A site, and a place that has the programs and is its user.
fn begun() -> (Site, Place) {
    let site = Site::new();
    for folder in ["log", "run"] {
        fs::create_dir(site.path(folder)).unwrap();
    }
    let place = Place::new(&[("ours", site.port)]);
    (site, place)
}

fn daemon(site: &Site, place: &Place, words: &str) -> Command {
    let mut command = place.command(&format!("kadeploy3d {words}"));
    command.env("KADEPLOY3_CONFIG_DIR", site.dir()).env("KADEPLOY3_LOG_DIR", site.path("log"));
    command.env("KADEPLOY3_RUN_DIR", site.path("run"));
    command
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn read(site: &Site, name: &str) -> String {
    fs::read_to_string(site.path(name)).unwrap_or_default()
}

/// Ends with the test, whatever comes of it.
struct Ends(u32);

impl Drop for Ends {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.0).unwrap());
        let _ = rustix::process::kill_process(pid.unwrap(), Signal::KILL);
    }
}

#[test]
fn it_leaves_its_terminal_and_does_what_init_scripts_ask() {
    let (site, place) = begun();
    let pidfile = site.path("pid");
    let words = format!("-d -p {}", pidfile.display());
    let ran = Ran::of(daemon(&site, &place, &words).output().unwrap()).ended(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    let pid: u32 = read(&site, "pid").trim().parse().unwrap();
    let _ends = Ends(pid);
    assert_eq!(place.run("kadeploy3 -v").ended(0).out, "Kadeploy version: test\n");
    until("a line of access", || {
        read(&site, "log/access.log").contains("\"GET /version HTTP/1.1\" 200 5\n")
    });
    assert!(read(&site, "log/access.log").starts_with("127.0.0.1 - - ["));
    assert!(read(&site, "log/error.log").contains("the service is ready"));
    until("its start", || read(&site, "log/output.log").ends_with("] Launching service\n"));
    assert!(read(&site, "log/output.log").starts_with("Configuration files loaded\n["));

    fs::rename(site.path("log/access.log"), site.path("log/access.old")).unwrap();
    signal(pid, Signal::HUP);
    until("a new file", || site.path("log/access.log").exists());
    place.run("kadeploy3 -v").ended(0);
    until("a line in it", || read(&site, "log/access.log").contains("GET /version"));

    until("what came of it", || site.path("run/reload").exists());
    assert_eq!(read(&site, "run/reload"), "0\nthe configuration is the one that is in effect\n");
    fs::remove_file(site.path("run/reload")).unwrap();
    site.edit("server.conf", "size: 64", "size: many");
    signal(pid, Signal::HUP);
    until("why it stays", || site.path("run/reload").exists());
    let told = read(&site, "run/reload");
    assert!(told.starts_with("1\nError in configuration files"), "{told}");
    let words = "Error(server.conf) The field should have the type Integer [field: cache/size]\n";
    assert!(told.contains(words), "{told}");
    site.edit("server.conf", "size: many", "size: 64");

    signal(pid, Signal::USR1);
    until("the process", || read(&site, "log/error.log").contains("open files:"));
    signal(pid, Signal::USR2);
    until("the threads", || read(&site, "log/error.log").contains(": S (sleeping), in "));

    let ran = Ran::of(daemon(&site, &place, "-d").output().unwrap()).ended(1);
    assert_eq!(ran.err, format!("Another service is listening on the port {}\n", site.port));

    signal(pid, Signal::TERM);
    until("the end", || !pidfile.exists());
    until("nobody there", || place.run("kadeploy3 -v").code == 1);
}

fn foreground(site: &Site, place: &Place) -> Child {
    let child = daemon(site, place, "-O -E").stderr(Stdio::piped()).spawn().unwrap();
    until("an answer", || place.run("kadeploy3 -v").code == 0);
    child
}

#[test]
fn what_runs_is_ended_with_it() {
    let (site, place) = begun();
    let child = foreground(&site, &place);
    site.hold("node-1");
    place.run("kapower3 --off -m node-1 --no-wait").ended(0);
    signal(child.id(), Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("the service is ready"), "{log}");
    assert!(!site.path("log/error.log").exists() && site.path("log/httpd.log").exists());
    site.release("node-1");
    let mut child = foreground(&site, &place);
    let state = place.run("kanodes3 -s -m node-1").ended(0).out;
    assert!(state.contains("state: aborted"), "{state}");
    signal(child.id(), Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn mistakes_are_told_at_the_terminal() {
    let (site, place) = begun();
    let ran = Ran::of(daemon(&site, &place, "-v").output().unwrap()).ended(0);
    assert_eq!(ran.out, "test\n");
    let ran = Ran::of(daemon(&site, &place, "--zz").output().unwrap());
    ran.told(1, "Option parsing error: invalid option: --zz");
    site.write("server.conf", "nonsense: 1\n");
    let ran = Ran::of(daemon(&site, &place, "-d").output().unwrap()).ended(1);
    assert!(ran.err.contains("server.conf"), "{}", ran.err);
    fs::remove_dir_all(site.path("log")).unwrap();
    let ran = Ran::of(daemon(&site, &place, "").output().unwrap()).ended(1);
    assert!(ran.err.contains("/log' cannot be used"), "{}", ran.err);
}
