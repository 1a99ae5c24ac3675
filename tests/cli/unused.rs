//! Keys of the old service that did nothing there: each is told what does its job now, or has an
//! effect.

use super::site::{Ran, Site, kadence};
use std::fs;

fn check(site: &Site, words: &[&str]) -> Ran {
    let mut command = kadence();
    command.arg("check").args(words).env("KADEPLOY3_CONFIG_DIR", site.path(""));
    Ran::of(command.output().unwrap())
}

fn edit(site: &Site, name: &str, from: &str, to: &str) {
    let text = fs::read_to_string(site.path(name)).unwrap();
    assert!(text.contains(from), "{from:?} is not in {name}");
    site.write(name, &text.replacen(from, to, 1));
}

/// Class and key of each notice.
fn notices(site: &Site) -> Vec<(String, String)> {
    let told = check(site, &["--json"]).ended(0).json();
    let word = |one: &serde_json::Value, name: &str| one[name].as_str().unwrap().to_owned();
    let notices = told["notices"].as_array().unwrap();
    notices.iter().map(|one| (word(one, "class"), word(one, "key"))).collect()
}

#[test]
fn keys_whose_job_something_else_does_are_told() {
    let site = Site::new();
    let before = notices(&site);
    edit(
        &site,
        "server.conf",
        "server_hostname: localhost,",
        "server_hostname: localhost, tcp_buffer_size: 8192,",
    );
    let server = fs::read_to_string(site.path("server.conf")).unwrap();
    let archives = "environments: {deployment: {tarball_dir: /tmp}}\n";
    site.write("server.conf", &format!("{server}{archives}"));
    let operation = "{type: Dummy, timeout: 20, microsteps: [{name: dummy, \
        pre-ops: [{name: a, action: exec, command: 'true', scattering: chain}]}]}";
    edit(&site, "one.conf", "{type: Dummy, timeout: 20}", operation);
    let mut told = notices(&site);
    told.retain(|one| !before.contains(one));
    let replaced: Vec<_> = told.iter().filter(|(class, _)| class == "replaced").collect();
    assert_eq!(replaced.len(), told.len(), "{told:?}");
    for key in ["tcp_buffer_size", "tarball_dir", "scattering"] {
        assert!(told.iter().any(|(_, path)| path.ends_with(key)), "{key}: {told:?}");
    }
    assert_eq!(told.len(), 3, "{told:?}");
}

#[test]
fn a_disk_that_can_be_none_is_a_mistake() {
    for disk in ["sda; reboot", "../sda", "$(reboot)"] {
        let site = Site::new();
        edit(&site, "one.conf", "block_device: /dev/sda", &format!("block_device: '{disk}'"));
        let ran = check(&site, &[]).ended(1);
        let words = "an absolute path";
        assert!(ran.err.contains("block_device") && ran.err.contains(words), "{disk}: {}", ran.err);
    }
}
