use super::{super::called::Called, CommandShell};
use crate::platform::{
    Command, Input, Shell, ShellError,
    real::ssh::sshd::{Sshd, node},
};
use config::Connector;
use std::{fs, time::Duration};

const LONG: Duration = Duration::from_secs(120);

fn command(text: &str) -> Command {
    Command {
        errand: crate::platform::Errand::from(text).into(),
        input: Input::Empty,
        deadline: LONG,
        output_limit: 1 << 20,
    }
}

/// A shell by ssh itself: `-4` is an option that our own sessions do not know.
fn shell(sshd: &Sshd) -> CommandShell {
    let user = sshd.options().user;
    let text = format!(
        "ssh -4 -F none -l {user} -p {} -i {} -q -o IdentityAgent=none -o BatchMode=yes \
         -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
        sshd.port,
        sshd.path("client").display()
    );
    let Connector::Command { text, why } = Connector::parse(&text) else { panic!("{text}") };
    assert!(why.contains("`-4`"), "{why}");
    CommandShell::new(text, Called::by_address_in(["test".to_owned()]))
}

#[tokio::test]
async fn the_command_itself_is_run_and_its_status_output_and_input_are_the_nodes() {
    let sshd = Sshd::start().await;
    let shell = shell(&sshd);
    let n1 = node("n1", [127, 0, 5, 1]);
    let quoted = command("printf '%s|' \"a  b\" '$HOME'; echo err >&2; exit 3");
    let output = shell.run(&n1, &quoted).await.expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!((output.status, text(&output.stdout)), (3, "a  b|$HOME|".to_owned()));
    assert!(text(&output.stderr).contains("err"));

    let bytes = Command { input: Input::Bytes("hello".into()), ..command("cat") };
    assert_eq!(text(&shell.run(&n1, &bytes).await.expect("it runs").stdout), "hello");
    let file = sshd.path("file");
    fs::write(&file, vec![7; 300_000]).expect("written");
    let file = Command { input: Input::File(file), ..command("wc -c") };
    assert_eq!(text(&shell.run(&n1, &file).await.expect("it runs").stdout).trim(), "300000");
    assert_eq!(sshd.log_ins(), 3);
}

#[tokio::test]
async fn its_failures_are_told_apart() {
    let sshd = Sshd::start().await;
    let shell = shell(&sshd);
    let n1 = node("n1", [127, 0, 5, 1]);
    let flood = Command { output_limit: 1000, ..command("cat /dev/zero") };
    let error = shell.run(&n1, &flood).await.expect_err("too much");
    assert_eq!(error, ShellError::Output { node: "n1".into(), limit: 1000 });
    let slow = Command { deadline: Duration::from_secs(2), ..command("sleep 1000") };
    let error = shell.run(&n1, &slow).await.expect_err("too slow");
    assert!(matches!(error, ShellError::Deadline { .. }), "{error}");
    fs::write(sshd.path("authorized"), "").expect("written");
    let error = shell.run(&n1, &command("true")).await.expect_err("nobody is let in");
    assert!(matches!(error, ShellError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn any_program_gets_the_host_and_the_command() {
    let text = "f() { echo \"$1\"; shift; sh -c \"$*\"; }; f";
    let shell = CommandShell::new(text.to_owned(), Called::default());
    let output = shell.run(&node("n7", [127, 0, 0, 7]), &command("echo 'x  y'")).await;
    assert_eq!(output.expect("it runs").stdout, "n7\nx  y\n");
    let missing = CommandShell::new("/nowhere/connector".to_owned(), Called::default());
    let output =
        missing.run(&node("n7", [127, 0, 0, 7]), &command("true")).await.expect("a status");
    assert_eq!(output.status, 127);
}
