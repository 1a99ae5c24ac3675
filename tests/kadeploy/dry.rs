//! `--dry-run` of every program against our own service: everything is checked, nothing is done.

use super::{
    people,
    programs::Place,
    terminal::{at_a_terminal, end_of},
};
use crate::common::Service;
use kadence::kadeploy::Program;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt};

/// All that a program could change.
fn everything(service: &Service) -> Value {
    let anna = service.user("anna");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut all = anna.everything().await;
        for path in ["/rights", "/console", "/stats?kind=failure_rates"] {
            all[path] = anna.get(path).await.ok().json();
        }
        all
    })
}

/// Lines that would change something.
fn lines(program: Program) -> &'static [&'static str] {
    match program {
        Program::Deploy => &[
            "-e deb -m node-1 -s script --write-workflow-id wid",
            "-e deb -m node-[1-2] --no-wait --force",
            "-a env -m node-1 -k key -o ok -n ko",
        ],
        Program::Reboot => &["-m node-1 -s script", "-r deploy_env -m node-1 -k key -l hard"],
        Program::Power => {
            &["--on -m node-1 -s script", "--off -m node-1 -l hard", "--status -m node-1"]
        }
        Program::Environments => &[
            "-a env",
            "-d deb",
            "-d deb -s",
            "--toggle-destructive-tag deb",
            "--set-visibility-tag deb -t shared",
            "--update-image-checksum deb",
            "--move-files -m server:///::server:///moved/",
        ],
        Program::Rights => &[
            "-a -u bert -m node-1",
            "-a -u bert -m *",
            "-a -u bert -m node-3 -o",
            "-d -u carl",
            "-d -u carl -m node-3",
        ],
        // One is at a terminal, the others only look.
        Program::Console | Program::Nodes | Program::Statistics => &[],
    }
}

/// A service with something that can be changed, and a place with what it takes.
fn begun() -> (Service, Place) {
    let (service, place) = people::begun();
    for words in ["-a -u anna -m * -p *", "-a -u carl -m node-3"] {
        place.run(&format!("karights3 {words}")).told(0, "");
    }
    let text = "name: NAME\nos: linux\nimage: {file: 'IMAGE', kind: tar, compression: gzip}\n\
                boot: {kernel: /vmlinuz}\nfilesystem: ext4\n";
    let text = text.replace("IMAGE", &service.image());
    place.write("env", &text.replace("NAME", "deb"));
    place.run("kaenv3 -a env").told(0, "");
    place.write("env", &text.replace("NAME", "new"));
    // So that there is a checksum to bring up to date.
    service.write("image.tgz", "another image");
    place.write("key", "ssh-ed25519 AAAA anna\n");
    place.write("script", "#!/bin/sh\ntouch ran\n");
    fs::set_permissions(place.path("script"), fs::Permissions::from_mode(0o755)).unwrap();
    (service, place)
}

#[test]
fn nothing_is_done_by_any_program() {
    let (service, place) = begun();
    let before = everything(&service);
    for program in Program::ALL {
        for words in lines(program) {
            let words = format!("{} {words} --dry-run", program.name());
            let ran = place.run(&words).told(0, "");
            assert_eq!(ran.out, "", "{words}");
            assert_eq!(everything(&service), before, "{words}");
        }
    }
    let (text, code) = end_of(at_a_terminal(&place, "kaconsole3 -m node-1 --dry-run"));
    assert_eq!((text.as_str(), code), ("", Some(0)));
    assert_eq!(everything(&service), before);
    for name in ["ran", "wid"] {
        assert!(!place.path(name).exists(), "{name}");
    }
    assert_eq!(["ok", "ko"].map(|name| place.read(name)), ["", ""]);
    assert!(["node-1", "node-2"].iter().all(|node| service.orders(node).is_empty()));
}

#[test]
fn everything_is_checked() {
    let (service, place) = begun();
    let before = everything(&service);
    for (words, code) in [
        ("kadeploy3 -e none -m node-1", 1),
        ("kareboot3 -m node", 2),
        ("kapower3 --status -m node", 2),
        ("kaenv3 -d none", 1),
        ("kaenv3 --set-visibility-tag deb -t private", 14),
        ("karights3 -a -u bert -m node-3", 11),
        ("karights3 -d -u bert", 14),
    ] {
        place.run(&format!("{words} --dry-run")).ended(code);
    }
    assert_eq!(everything(&service), before);
    // What is compared sees a change.
    place.run("kaenv3 -d deb --no-dry-run").told(0, "");
    assert_eq!(everything(&service)["/environments"], json!([]));
}
