use super::{Agent, Connector, HostKeys, SshLogin};
use std::{fs, path::PathBuf, time::Duration};

fn login(text: &str) -> SshLogin {
    match Connector::parse(text) {
        Connector::Ssh(ssh) => ssh.login("node-1.site"),
        Connector::Command { why, .. } => panic!("{text}: {why}"),
    }
}

fn why(text: &str) -> String {
    match Connector::parse(text) {
        Connector::Ssh(ssh) => panic!("{text}: {ssh:?}"),
        Connector::Command { text: kept, why } => {
            assert_eq!(kept, text);
            why
        }
    }
}

#[test]
fn options_in_all_their_forms_are_applied() {
    let long = login(
        "/usr/bin/ssh -A -l deploy -p 2222 -i /keys/a -q -o IdentityFile=/keys/b \
         -o ConnectTimeout=7 -o 'ServerAliveInterval 9' -o ServerAliveCountMax=2 \
         -o IdentityAgent=/run/agent -o IdentitiesOnly=yes -o StrictHostKeyChecking=no",
    );
    let expected = SshLogin {
        user: Some("deploy".into()),
        port: Some(2222),
        keys: vec!["/keys/a".into(), "/keys/b".into()],
        agent: Agent::At("/run/agent".into()),
        named_keys_only: true,
        host_keys: HostKeys::SameUntilBoot,
        known_as: None,
        connect_timeout: Some(Duration::from_secs(7)),
        alive: Some((Duration::from_secs(9), 2)),
    };
    assert_eq!(long, expected);
    let short = login("ssh -Aqldeploy -p22 -oUser=other -o user=third");
    assert_eq!((short.user.as_deref(), short.port), (Some("deploy"), Some(22)));
    assert_eq!(login("ssh").user, None);
}

#[test]
fn host_keys_are_checked_as_it_says() {
    let strict = "ssh -o StrictHostKeyChecking=yes -o 'UserKnownHostsFile=/a /b' \
                  -o GlobalKnownHostsFile=none -o HostKeyAlias=all";
    let strict = login(strict);
    let files: Vec<PathBuf> = vec!["/a".into(), "/b".into()];
    assert_eq!(strict.host_keys, HostKeys::Known { files, accept_new: false });
    assert_eq!(strict.known_as.as_deref(), Some("all"));
    let new = login("ssh -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=/a");
    let HostKeys::Known { files, accept_new: true } = new.host_keys else { panic!("{new:?}") };
    assert_eq!(files[0], PathBuf::from("/a"));
    assert!(files.contains(&"/etc/ssh/ssh_known_hosts".into()), "{files:?}");
}

#[test]
fn a_file_of_settings_counts_by_host_and_after_the_options() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("config");
    let text = "# ours\nHost node-*\n  User = cluster\n  Port 2200\nHost other\n  User nobody\n\
                Host *\n  User anyone\n  StrictHostKeyChecking accept-new\n";
    fs::write(&file, text).expect("written");
    let with = |options: &str| login(&format!("ssh -F {} {options}", file.display()));
    let read = with("");
    assert_eq!((read.user.as_deref(), read.port), (Some("cluster"), Some(2200)));
    assert!(matches!(read.host_keys, HostKeys::Known { accept_new: true, .. }), "{read:?}");
    let given = with("-l root -o StrictHostKeyChecking=no");
    assert_eq!((given.user.as_deref(), given.port), (Some("root"), Some(2200)));
    assert_eq!(given.host_keys, HostKeys::SameUntilBoot);

    fs::write(&file, "Host *\n  ProxyJump gate\n").expect("written");
    let why = why(&format!("ssh -F {}", file.display()));
    assert!(why.contains("ProxyJump gate"), "{why}");
    assert_eq!(login("ssh -F none -l x").user.as_deref(), Some("x"));
}

#[test]
fn whatever_else_stays_a_command_and_the_reason_is_named() {
    for (text, reason) in [
        ("rsh -l root", "`rsh` is not ssh"),
        ("ssh -J gate", "`-J`"),
        ("ssh -A -v", "`-v`"),
        ("ssh -l", "lacks its value"),
        ("ssh root@", "is not an option"),
        ("ssh -o ProxyCommand=nc", "ProxyCommand"),
        ("ssh -o PreferredAuthentications=password", "PreferredAuthentications"),
        ("ssh -i $HOME/key", "shell"),
        ("ssh -i %d/key", "%d/key"),
        ("ssh -F /nowhere/config", "/nowhere/config"),
        ("ssh 'x", "quotes"),
        ("", "empty"),
    ] {
        let why = why(text);
        assert!(why.contains(reason), "{text}: {why}");
    }
}
