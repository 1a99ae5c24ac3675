//! Archives that are unpacked and run on a node after the image has come, and operations beside
//! micro-steps: by ssh, the relay and a shell. The node's system is this machine.

use crate::common::{Guest, Service, Site, wid};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Makes an archive of one script, which adds its words to the file `ran` and then does `more`.
fn archive(site: &Site, name: &str, more: &str) -> PathBuf {
    let script = format!("#!/bin/sh\necho \"{name} $* $KADEPLOY_ENV\" >> DIR/ran\n{more}\n");
    site.write(&format!("{name}.sh"), &script);
    pack(site, &format!("{name}.tgz"), &["--mode=755", &format!("{name}.sh")])
}

fn pack(site: &Site, name: &str, words: &[&str]) -> PathBuf {
    let mut tar = Command::new("tar");
    tar.args(["-czf", name]).args(words).current_dir(site.dir());
    assert!(tar.status().unwrap().success());
    site.path(name)
}

/// `site` with a node that is there, an image with kernel and ramdisk, and these archives of the
/// site: file, and what is run of it.
fn installing(site: Site, archives: &[(&Path, &str)]) -> (Site, Guest) {
    let guest = Guest::on(&site);
    for folder in ["boot", "ram"] {
        fs::create_dir_all(site.path(folder)).unwrap();
    }
    site.write("boot/vmlinuz", "a kernel");
    site.write("boot/initrd.img", "a ramdisk");
    pack(&site, "image.tgz", &["boot"]);
    let one = |(file, script): &(&Path, &str)| {
        format!("  - {{file: {}, format: tgz, script: {script}}}\n", file.display())
    };
    if !archives.is_empty() {
        let list: String = archives.iter().map(one).collect();
        let cluster = fs::read_to_string(site.path("cluster.conf")).unwrap();
        let text = format!("{cluster}postinstall:\n  files:\n{list}");
        fs::write(site.path("cluster.conf"), text).unwrap();
    }
    guest.boot();
    (site, guest)
}

/// Deploys node-1, which is there all the time: messages, and what became of it.
async fn deploy(service: &Service, changes: Value) -> (String, Value) {
    let anna = service.user("anna");
    let way = |kind: &str| json!([{"name": kind, "timeout": 100}]);
    let mut body = json!({
        "nodes": ["node-1"], "verbose_level": 5, "disable_bootloader_install": true,
        "automata": {"SetDeploymentEnv": way("Dummy"), "BroadcastEnv": way("Chain"), "BootNewEnv": way("Dummy")},
    });
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let path = format!("/deployment/{}", wid(&anna.post("/deployment", &body).await));
    anna.done(&path).await;
    let state = anna.get(&format!("{path}/state")).await.ok().json();
    let log = anna.get(&format!("{path}/logs")).await.ok().text;
    (log, state["node-1.lab.test"].clone())
}

/// An environment with these archives: file, and what is run of it.
fn environment(service: &Service, archives: &[(&Path, &str)]) -> Value {
    let one = |(file, script): &(&Path, &str)| json!({"archive": format!("server://{}", file.display()), "compression": "gzip", "script": script});
    let list: Vec<_> = archives.iter().map(one).collect();
    let boot = json!({"kernel": "/boot/vmlinuz", "initrd": "/boot/initrd.img"});
    service.anonymous(json!({"postinstalls": list, "boot": boot}))
}

fn ran(service: &Service) -> Vec<String> {
    let text = fs::read_to_string(service.path("ran")).unwrap_or_default();
    fs::remove_file(service.path("ran")).ok();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_sites_archives_come_before_the_users_each_list_in_its_order() {
    let site = Site::new();
    let [first, second, mine, yours] =
        ["first", "second", "mine", "yours"].map(|name| archive(&site, name, ""));
    let only = archive(&site, "only", "");
    let (site, _guest) =
        installing(site, &[(&first, "first.sh /x"), (&only, "none"), (&second, "second.sh")]);
    let ram = site.path("ram");
    let service = Service::on(site);
    let wanted =
        environment(&service, &[(&mine, "mine.sh a"), (&only, "none"), (&yours, "yours.sh b")]);
    let (log, state) = deploy(&service, json!({"environment": wanted})).await;
    assert_eq!((&state["state"], &state["error"]), (&json!("ok"), &json!(null)), "{log}");
    let done = ran(&service);
    assert_eq!(done, ["first /x debian", "second  debian", "mine a debian", "yours b debian"]);
    assert!(ram.join("only.sh").exists(), "unpacked, and no more");
    let at =
        |step: &str| log.find(&format!("  {step}\n")).unwrap_or_else(|| panic!("{step}: {log}"));
    assert!(at("manage_admin_post_install") < at("manage_user_post_install"));

    // An empty list is a step that does nothing; none at all is no step.
    let empty = environment(&service, &[]);
    let (log, state) = deploy(&service, json!({"environment": empty})).await;
    assert_eq!((&state["state"], ran(&service).len()), (&json!("ok"), 2), "{log}");
    assert!(log.contains("  manage_user_post_install\n"), "{log}");
    let mut none = environment(&service, &[]);
    none.as_object_mut().unwrap().remove("postinstalls");
    let (log, state) = deploy(&service, json!({"environment": none})).await;
    assert_eq!((&state["state"], ran(&service).len()), (&json!("ok"), 2), "{log}");
    let bypassed = " * Bypassing the step BroadcastEnvChain-manage_user_post_install\n";
    assert!(log.contains(bypassed), "{log}");
}

#[tokio::test]
async fn a_script_that_fails_ends_its_step_with_what_it_said() {
    let site = Site::new();
    let bad = archive(&site, "bad", "echo first >&2; echo the disk is full >&2; exit 5");
    let after = archive(&site, "after", "");
    let (site, _guest) = installing(site, &[]);
    let service = Service::on(site);
    let wanted = environment(&service, &[(&bad, "bad.sh"), (&after, "after.sh")]);
    let (log, state) = deploy(&service, json!({"environment": wanted})).await;
    let why = "BroadcastEnvChain-manage_user_post_install: first\nthe disk is full";
    assert_eq!((&state["state"], &state["error"]), (&json!("ko"), &json!(why)), "{log}");
    assert_eq!(ran(&service), ["bad  debian"], "the next one was not begun");
    // So does an archive that is none, and a script that is not in it.
    service.write("none.tgz", "no archive");
    let none = service.path("none.tgz");
    for (archive, script) in [(&none, "bad.sh"), (&after, "missing.sh")] {
        let wanted = environment(&service, &[(archive, script)]);
        let (log, state) = deploy(&service, json!({"environment": wanted})).await;
        let why = state["error"].as_str().unwrap_or_else(|| panic!("{script}: {log}"));
        assert!(why.starts_with("BroadcastEnvChain-manage_user_post_install: "), "{why}");
        assert!(ran(&service).is_empty());
    }
}

#[tokio::test]
async fn an_operation_of_the_users_own_has_its_retries_at_every_attempt_of_the_macro_step() {
    let (site, _guest) = installing(Site::new(), &[]);
    let service = Service::on(site);
    let count = service.path("count").display().to_string();
    let fails = json!({"name": "fails", "action": "exec", "command": format!("echo x >> {count}; exit 3"),
        "retries": 2, "timeout": 60});
    let way = |retries: u32| json!([{"name": "Dummy", "timeout": 100, "retries": retries}]);
    let changes = json!({
        "environment": service.anonymous(json!({})),
        "automata": {"SetDeploymentEnv": way(1), "BroadcastEnv": way(0), "BootNewEnv": way(0)},
        "custom_operations": {"SetDeploymentEnv": {"dummy": {"pre-ops": [fails]}}},
    });
    let (log, state) = deploy(&service, changes).await;
    assert_eq!(state["state"], "ko", "{log}");
    let why = "SetDeploymentEnvDummy-custom_pre_dummy-fails: the command ended with status 3";
    assert_eq!(state["error"], why, "{log}");
    // Three times in each of two attempts.
    assert_eq!(fs::read_to_string(&count).unwrap(), "x\n".repeat(6), "{log}");
}

#[tokio::test]
async fn an_operation_of_the_users_own_has_its_limit_at_every_attempt() {
    let (site, _guest) = installing(Site::new(), &[]);
    let service = Service::on(site);
    let count = service.path("count").display().to_string();
    let hangs = json!({"name": "hangs", "action": "exec", "command": format!("echo x >> {count}; exec sleep 60"),
        "retries": 1, "timeout": 2});
    let changes = json!({
        "environment": service.anonymous(json!({})),
        "automata": {
            "SetDeploymentEnv": [{"name": "Dummy", "timeout": 100, "retries": 1}],
            "BroadcastEnv": [{"name": "Dummy"}], "BootNewEnv": [{"name": "Dummy"}],
        },
        "custom_operations": {"SetDeploymentEnv": {"dummy": {"post-ops": [hangs]}}},
    });
    let (log, state) = deploy(&service, changes).await;
    assert_eq!(state["state"], "ko", "{log}");
    // Twice in each of two attempts, and not for as long as it would take.
    assert_eq!(fs::read_to_string(&count).unwrap(), "x\n".repeat(4), "{log}");
}
