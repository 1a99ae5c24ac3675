//! Commands inside the lab's namespace, for people.

use super::{Guest, Place};
use std::{ffi::OsString, process::Command};

/// What `ssh` must know to reach nodes that change their keys with every deployment. Without
/// keep-alives a session that was open when its node rebooted would never end.
const SSH_OPTIONS: [&str; 6] = [
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "LogLevel=ERROR",
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
];

/// `argv` inside the namespace. `kadence` means this very program.
pub(super) fn command(place: &Place, argv: &[OsString]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", place.name()]);
    // `kadence lab` means this lab in there.
    command.env("KADENCE_LAB_NAME", place.name()).env("KADENCE_LAB_DIR", place.dir());
    match argv.split_first() {
        Some((first, rest)) if first == "kadence" => command.arg(place.program()).args(rest),
        _ => command.args(argv),
    };
    command
}

/// `ssh` to a node as root, with the key of the lab's user; `words` is the remote command.
pub(super) fn ssh(place: &Place, guest: &Guest, words: &[OsString]) -> Command {
    let mut argv: Vec<OsString> = vec!["ssh".into(), "-i".into(), place.user_key().into()];
    for option in SSH_OPTIONS {
        argv.extend(["-o".into(), option.into()]);
    }
    argv.push(format!("root@{}", guest.address).into());
    argv.extend_from_slice(words);
    command(place, &argv)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> String {
        let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
        args.join(" ")
    }

    #[test]
    fn commands_run_in_the_namespace() {
        let place = Place::new("x", Some("/s".into()), "/opt/kadence".into()).unwrap();
        let run = |argv: &[&str]| {
            words(&command(&place, &argv.iter().map(OsString::from).collect::<Vec<_>>()))
        };
        assert_eq!(run(&["kadence", "deploy"]), "netns exec x /opt/kadence deploy");
        assert_eq!(run(&["ping", "kadence"]), "netns exec x ping kadence");
        let wishes = super::super::plan::tests::wishes(3);
        let plan = super::super::Plan::new("x", &wishes, super::super::Accel::Tcg).unwrap();
        let text = words(&ssh(&place, &plan.guests[1], &["uname".into(), "-a".into()]));
        assert!(text.starts_with("netns exec x ssh -i /s/keys/id_ed25519 -o "), "{text}");
        assert!(text.ends_with(" root@10.77.0.12 uname -a"), "{text}");
    }
}
