//! The state of a service that does not run, looked at and repaired.

use super::site::{Ran, Site, kadence};
use std::fs;

/// A service that recorded an environment and deployed it, and was stopped.
fn used() -> Site {
    let service = Site::new().serve();
    let environment = service.environment("deb");
    service.run(&["env", "add", environment]).ended(0);
    service.run(&["deploy", "-e", "deb", "-m", "n-1"]).ended(0);
    let site = service.clone();
    service.stop();
    site
}

fn store(site: &Site, arguments: &[&str]) -> Ran {
    let dir = site.path("state");
    Ran::of(kadence().arg("store").args(arguments).arg("--state-dir").arg(dir).output().unwrap())
}

#[test]
fn a_sound_state_is_told_and_nothing_is_changed() {
    let site = used();
    let before = fs::read(site.path("state/state.redb")).unwrap();
    let ran = store(&site, &["check"]).ended(0);
    assert!(ran.out.contains("all is as it was written"), "{}", ran.out);
    assert!(ran.out.contains("1  environments"), "{}", ran.out);
    let ran = store(&site, &["check", "--json"]).ended(0);
    assert_eq!(ran.json()["records"]["operations"], 1, "{}", ran.out);
    let ran = store(&site, &["repair"]).ended(0);
    assert!(ran.out.contains("nothing was to be repaired"), "{}", ran.out);
    assert!(fs::read(site.path("state/state.redb")).unwrap() == before);
    // The configuration knows the directory as well.
    let configured = kadence().args(["store", "check", "--config-dir"]).arg(site.path("")).output();
    Ran::of(configured.unwrap()).ended(0);
}

#[test]
fn a_damaged_state_is_served_read_only_and_is_repaired() {
    let site = used();
    let file = site.path("state/state.redb");
    let mut bytes = fs::read(&file).unwrap();
    // Every page but the header: whatever is in use is hit.
    let (mut hit, text) = (0, b"n-1.site");
    for at in 4096..bytes.len() - text.len() {
        if bytes[at..].starts_with(text) {
            bytes[at] = b'N';
            hit += 1;
        }
    }
    assert!(hit > 0);
    fs::write(&file, &bytes).unwrap();
    let service = site.serve();
    let ran = service.run(&["env", "add", service.environment("other")]).ended(1);
    assert!(
        ran.err.contains("is damaged: ") && ran.err.contains("`kadence store repair`"),
        "{}",
        ran.err
    );
    service.run(&["nodes", "--list"]).ended(0);
    let site = service.clone();
    assert_eq!(service.stop().0, Some(2));
    assert!(fs::read(&file).unwrap() == bytes, "nothing is changed");
    let ran = store(&site, &["check"]).ended(2);
    assert!(ran.out.contains("is damaged") && ran.out.contains("cannot be read: "), "{}", ran.out);
    let ran = store(&site, &["repair", "--json"]).ended(2);
    let copy = ran.json()["copy"].as_str().unwrap().to_owned();
    assert!(fs::read(format!("{copy}/state.redb")).unwrap() == bytes, "as it was");
    store(&site, &["check"]).ended(0);
    let service = site.serve();
    assert!(service.run(&["env", "list"]).ended(0).out.contains("deb"));
}

#[test]
fn a_state_that_is_in_use_or_is_none_is_left_alone() {
    let service = Site::new().serve();
    let dir = service.path("state").display().to_string();
    for verb in ["check", "repair"] {
        let ran = Ran::of(kadence().args(["store", verb, "--state-dir", &dir]).output().unwrap());
        let ran = ran.ended(1);
        assert!(ran.err.contains("is in use by process"), "{}", ran.err);
        let nowhere = ["store", verb, "--state-dir", "/nonexistent"];
        let ran = Ran::of(kadence().args(nowhere).output().unwrap()).ended(1);
        assert!(ran.err.contains("there is no state in /nonexistent"), "{}", ran.err);
    }
    service.run(&["nodes", "--list"]).ended(0);
}
