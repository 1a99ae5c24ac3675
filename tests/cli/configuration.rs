//! Verbs that look at a configuration; no service is needed.

use super::site::{Ran, Site, kadence};

fn run(site: &Site, words: &[&str]) -> Ran {
    let mut command = kadence();
    command.args(words).env("KADEPLOY3_CONFIG_DIR", site.path(""));
    Ran::of(command.output().unwrap())
}

#[test]
fn a_configuration_without_mistakes_passes() {
    let site = Site::new();
    let server = std::fs::read_to_string(site.path("server.conf")).unwrap();
    site.write("server.conf", &format!("{server}eventz: {{}}\n"));
    let ran = run(&site, &["check"]).ended(0);
    assert!(ran.out.contains("no mistakes") && ran.out.contains("2 clusters, 4 nodes"), "{ran:?}");
    assert!(ran.err.contains("notice: ") && ran.err.contains("eventz: unknown key"), "{}", ran.err);
    let strict = run(&site, &["check", "--strict", "--json"]).ended(1).json();
    assert_eq!(strict["ok"], false);
    assert!(!strict["notices"].as_array().unwrap().is_empty());
}

#[test]
fn each_class_of_keys_that_do_nothing_fails_a_strict_look_and_a_note_does_not() {
    let plain = Site::new();
    let server = std::fs::read_to_string(plain.path("server.conf")).unwrap();
    let classes = |more: &str| {
        let site = Site::new();
        let server = std::fs::read_to_string(site.path("server.conf")).unwrap();
        site.write("server.conf", &format!("{server}{more}"));
        run(&site, &["check"]).ended(0);
        let strict = run(&site, &["check", "--strict", "--json"]);
        let told = strict.json()["notices"].as_array().unwrap().clone();
        let told: Vec<_> =
            told.iter().map(|one| one["class"].as_str().unwrap().to_owned()).collect();
        (strict.code, told)
    };
    assert!(!server.contains("external:"), "{server}");
    for (more, class) in [
        ("eventz: {}\n", "unknown"),
        ("events: {retention: 1}\n", "without effect"),
        ("external: {taktuk: {tree_arity: 2}}\n", "replaced"),
    ] {
        let (code, told) = classes(more);
        assert_eq!((code, told.last().map(String::as_str)), (1, Some(class)), "{more}: {told:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let site = Site::new();
    let server = site.server_conf(1).replace("local_only: true", "local_only: perhaps");
    site.write("server.conf", &server.replace("size: 64", "size: many"));
    let cluster = std::fs::read_to_string(site.path("one.conf")).unwrap();
    let cluster = cluster.replace("{reboot: 6", "{reboot: [1]").replace("swap: 1", "swap: [x]");
    site.write("one.conf", &cluster.replacen("type: Dummy", "type: Dumy", 1));
    let ran = run(&site, &["check"]).ended(1);
    assert!(ran.err.starts_with("5 mistakes in the configuration"), "{}", ran.err);
    for text in
        ["server.conf:3:", "perhaps", "many", "a list", "Dumy", "did you mean `Dummy`?", "^"]
    {
        assert!(ran.err.contains(text), "{text}: {}", ran.err);
    }
    let json = run(&site, &["check", "--json"]).ended(1).json();
    assert_eq!(json["mistakes"].as_array().unwrap().len(), 5);
    assert!(json["mistakes"][0]["line"].is_number(), "{json}");
    // The service says the same and does not start.
    let ran = Ran::of(site.serve_command().output().unwrap()).ended(1);
    assert!(ran.err.starts_with("5 mistakes in the configuration"), "{}", ran.err);
}

#[test]
fn a_key_is_explained() {
    let site = Site::new();
    let ran = run(&site, &["check", "--explain", "network/ports/ssh"]).ended(0);
    assert!(ran.out.starts_with("network/ports/ssh (server.conf): "), "{}", ran.out);
    assert!(ran.out.contains("default 22"), "{}", ran.out);
    let json = run(&site, &["check", "--explain", "network/ports/ssh", "--json"]).ended(0).json();
    assert_eq!(json["default"], "22");
    run(&site, &["check", "--explain", "network/nothing"]).ended(1);
}

#[test]
fn the_steps_are_those_of_the_configuration() {
    let site = Site::new();
    let cluster = std::fs::read_to_string(site.path("one.conf")).unwrap();
    let ways = "SetDeploymentEnv: [{type: Untrusted, timeout: 200, retries: 2}, {type: Dummy}]";
    let real = cluster.replace("SetDeploymentEnv: [{type: Dummy, timeout: 20}]", ways);
    assert_ne!(real, cluster);
    site.write("one.conf", &real);
    let ran = run(&site, &["steps", "--cluster", "one"]).ended(0);
    let expected = "\
one
  SetDeploymentEnv
    SetDeploymentEnvUntrusted (at most 200 s, 2 retries)
      switch_pxe (at most 3600 s)
      reboot (at most 3600 s)
      wait_reboot (at most 16 s)
      send_key_in_deploy_env (at most 3600 s)
      create_partition_table (at most 3600 s)
      format_deploy_part (at most 3600 s)
      mount_deploy_part (at most 3600 s)
      format_swap_part (at most 3600 s)
    SetDeploymentEnvDummy (at most 7210 s)
";
    assert!(ran.out.starts_with(expected), "{}", ran.out);
    let json = run(&site, &["steps", "--json"]).ended(0).json();
    assert_eq!(json["two"][2]["ways"][0]["retries"], 2);
    let dot = run(&site, &["steps", "--cluster", "one", "--dot"]).ended(0).out;
    assert!(
        dot.starts_with("digraph automaton {") && dot.contains("create_partition_table"),
        "{dot}"
    );
    let ran = run(&site, &["steps", "--cluster", "three"]).ended(1);
    assert!(ran.err.contains("hint: clusters: one, two"), "{}", ran.err);
}

#[test]
fn a_loader_that_starts_kernels_itself_needs_none_on_the_disk() {
    let site = Site::new();
    let edit = |name: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(site.path(name)).unwrap();
        assert!(text.contains(from), "{from:?} is not in {name}");
        site.write(name, &text.replacen(from, to, 1));
    };
    let installs =
        || run(&site, &["steps", "--cluster", "one"]).ended(0).out.contains("install_bootloader");
    edit("one.conf", "BroadcastEnv: [{type: Dummy", "BroadcastEnv: [{type: Chain");
    assert!(installs());
    edit("server.conf", "method: PXElinux", "method: GrubPXE");
    assert!(!installs());
    // UEFI nodes go on to the loader of their disk.
    edit("clusters.conf", "address: ", "firmware: uefi, address: ");
    assert!(installs());
}
