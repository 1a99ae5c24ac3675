use super::*;
use crate::platform::real::ssh::sshd::node;
use std::{collections::BTreeMap, fs, path::Path};
use tempfile::TempDir;

fn at(level: Level, text: String) -> BTreeMap<Level, String> {
    BTreeMap::from([(level, text)])
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn a_command_gets_the_names_and_tells_its_end() {
    let folder = folder();
    let log = folder.path().join("log");
    let reboot = BTreeMap::from([
        (Level::Soft, format!("echo HOSTNAME_FQDN HOSTNAME_SHORT >>{}", log.display())),
        (
            Level::Hard,
            "echo gone >&2; head -c 100000 /dev/zero | tr '\\0' x >&2; echo why >&2; exit 7".into(),
        ),
    ]);
    let power = with(Commands { reboot, ..Commands::default() }, SETTLE);
    let n1 = node("n-1.site.net", [127, 0, 8, 1]);
    power.act(&n1, PowerAction::Reboot, Level::Soft, LONG).await.expect("done");
    assert_eq!(read(&log), "n-1.site.net n-1\n");
    let error = power.act(&n1, PowerAction::Reboot, Level::Hard, LONG).await.expect_err("status 7");
    let said = error.to_string();
    assert!(said.contains("status 7") && said.ends_with("why"), "{said:.200}");
    assert!(!said.contains("gone") && said.len() < 3000, "the end only");
    let error = power.act(&n1, PowerAction::Reboot, Level::VeryHard, LONG).await.expect_err("none");
    assert_eq!(error.to_string(), "very_hard_reboot command is not provided");
}

#[tokio::test]
async fn hostile_names_never_reach_the_shell() {
    let folder = folder();
    let touched = folder.path().join("touched");
    let reboot = at(Level::Hard, format!("touch {}; true HOSTNAME_FQDN", touched.display()));
    let power = with(Commands { reboot, ..Commands::default() }, SETTLE);
    for name in
        ["a;reboot", "$(id)", "`id`", "a b", "-oProxyCommand=x", "a\nb", "", "a..b", "é", "../x"]
    {
        let hostile = node(name, [127, 0, 8, 1]);
        let error = power.act(&hostile, PowerAction::Reboot, Level::Hard, LONG).await;
        assert!(matches!(error, Err(PowerError::Refused(_))), "{name:?}: {error:?}");
        assert!(!touched.exists(), "{name:?}");
    }
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_its_children() {
    let folder = folder();
    let pids = folder.path().join("pids");
    let text = format!("sleep 1000 & echo $! $$ >{}; sleep 1001", pids.display());
    let power = with(Commands { reboot: at(Level::Soft, text), ..Commands::default() }, SETTLE);
    let n1 = node("n1", [127, 0, 8, 1]);
    let error =
        power.act(&n1, PowerAction::Reboot, Level::Soft, SHORT).await.expect_err("it hangs");
    assert!(
        error.to_string().contains("did not end within 1s") || error.to_string().contains("killed"),
        "{error}"
    );
    let pids = read(&pids);
    assert_eq!(pids.split_whitespace().count(), 2, "{pids:?}");
    for pid in pids.split_whitespace() {
        // Killed now; reaped by init or the runtime a moment later.
        while alive(pid) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Whether a process runs (a zombie does not).
fn alive(pid: &str) -> bool {
    let stat = read(Path::new(&format!("/proc/{pid}/stat")));
    stat.rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().next())
        .is_some_and(|s| s != "Z")
}

#[tokio::test]
async fn a_daemon_left_behind_is_not_waited_for() {
    let text = "sleep 60 & echo $!".to_owned();
    let power = with(Commands { power_status: Some(text), ..Commands::default() }, SETTLE);
    let n1 = node("n1", [127, 0, 8, 1]);
    let pid = power.status_text(&n1, LONG).await.expect("its pid");
    assert!(alive(&pid), "the sleep outlives its command");
    let pid = rustix::process::Pid::from_raw(pid.parse().expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it was there");
}

#[tokio::test]
async fn a_status_command_verifies_where_it_can_be_read() {
    let folder = folder();
    let state = folder.path().join("state");
    let log = folder.path().join("log");
    fs::write(&state, "power is off").expect("written");
    let (state, logged) = (state.display(), log.display());
    let commands = Commands {
        power_on: at(Level::Soft, format!("echo on >>{logged}; echo up >{state}")),
        power_off: at(Level::Hard, format!("echo off >>{logged}")),
        power_status: Some(format!("cat {state}")),
        ..Commands::default()
    };
    let n1 = node("n1", [127, 0, 8, 1]);
    let power = with(commands.clone(), LIE);
    let level = |action| if action == PowerAction::Off { Level::Hard } else { Level::Soft };
    let act = async |action| power.act(&n1, action, level(action), LONG).await;
    assert_eq!(power.status_text(&n1, LONG).await.expect("a text"), "power is off");
    act(PowerAction::Off).await.expect("off already");
    act(PowerAction::On).await.expect("on");
    act(PowerAction::On).await.expect("on already");
    assert_eq!(power.status(&n1, LONG).await, Ok(PowerState::On));
    let error = act(PowerAction::Off).await.expect_err("a lie");
    assert!(matches!(error, PowerError::NoEffect { state: PowerState::On, .. }), "{error}");
    assert_eq!(read(&log), "on\noff\n");

    // A status that cannot be read, or none: exit 0 is believed.
    for power_status in [Some("echo maybe".into()), Some("exit 1".into()), None] {
        let power = with(Commands { power_status, ..commands.clone() }, SHORT);
        power.act(&n1, PowerAction::Off, Level::Hard, LONG).await.expect("believed");
        assert!(power.status(&n1, LONG).await.is_err());
    }
}

#[tokio::test]
async fn a_status_that_hangs_later_does_not_hide_what_was_seen() {
    let folder = folder();
    let asked = folder.path().join("asked");
    // Before the order, and once after it; then no more.
    let once =
        format!("echo >>{0}; [ $(wc -l <{0}) -lt 3 ] || sleep 60; echo off", asked.display());
    let commands = Commands {
        power_on: at(Level::Soft, "true".into()),
        power_status: Some(once),
        ..Commands::default()
    };
    let n1 = node("n1", [127, 0, 8, 1]);
    let power = with(commands, LIE);
    let error = power.act(&n1, PowerAction::On, Level::Soft, LONG).await.expect_err("a lie");
    assert!(matches!(error, PowerError::NoEffect { state: PowerState::Off, .. }), "{error}");
    assert_eq!(read(&asked).lines().count(), 3);
}

#[tokio::test]
async fn a_system_that_is_asked_to_go_off_has_time_to_stop_what_it_runs() {
    let folder = folder();
    let state = folder.path().join("state");
    let slowly = format!("( sleep 4; echo off >{} ) >/dev/null 2>&1 &", state.display());
    let power_off = BTreeMap::from([(Level::Soft, slowly.clone()), (Level::Hard, slowly)]);
    let power_status = Some(format!("cat {}", state.display()));
    let power = with(Commands { power_off, power_status, ..Commands::default() }, SHORT);
    let n1 = node("n1", [127, 0, 8, 1]);
    let act = async |level| {
        fs::write(&state, "on").expect("written");
        power.act(&n1, PowerAction::Off, level, LONG).await
    };
    // A switch that is as slow has had no effect.
    let error = act(Level::Hard).await.expect_err("too late");
    assert!(matches!(error, PowerError::NoEffect { state: PowerState::On, .. }), "{error}");
    while read(&state).trim() != "off" {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(act(Level::Soft).await, Ok(()));
}
