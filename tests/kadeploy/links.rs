//! `kadence install-links`.

use super::programs::Ran;
use kadence::kadeploy::Called;
use std::{fs, path::Path, process::Command};

fn install(dir: &Path, words: &[&str]) -> Ran {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("kadence"));
    Ran::of(command.arg("install-links").arg(dir).args(words).output().unwrap())
}

#[test]
fn every_old_name_is_a_link_to_this_program() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let ran = install(dir.path(), &[]).ended(0);
        assert_eq!(ran.out.lines().count(), Called::names().count());
    }
    for name in Called::names() {
        let output = Command::new(dir.path().join(name)).arg("--help").output().unwrap();
        let out = Ran::of(output).ended(0).out;
        assert!(out.starts_with(&format!("Usage: {name} ")), "{out}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), Called::names().count());
}

#[test]
fn what_is_there_is_not_replaced_unasked() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("kareboot3"), "the old one").unwrap();
    let ran = install(dir.path(), &[]).ended(1);
    assert!(ran.err.contains("kareboot3 is there and is no link to"), "{}", ran.err);
    assert!(ran.err.contains("--force"), "{}", ran.err);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let ran = install(dir.path(), &["--force", "--json"]).ended(0);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["links"].as_array().unwrap().len(), Called::names().count());
    assert!(dir.path().join("kareboot3").is_symlink());
    let ran = install(&dir.path().join("nowhere"), &[]).ended(1);
    assert!(ran.err.contains("cannot be made"), "{}", ran.err);
}
