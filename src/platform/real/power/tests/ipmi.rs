use super::{
    super::place,
    bmc::{Emulator, USER, with_bmc},
    *,
};
use crate::nodes::BmcDriver;
use futures_util::future::join_all;
use std::net::UdpSocket;

#[tokio::test]
async fn a_machine_is_switched_and_reset() {
    let sim = Emulator::ipmi("127.0.8.11").await;
    let starts = || sim.lines("log").iter().filter(|line| *line == "start").count();
    on_off_and_reboot(&sim.node, starts).await;
    let log = ["start", "start", "stop", "start", "acpi", "start", "stop"];
    assert_eq!(sim.lines("log"), log, "and nothing was sent twice");
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let sim = Emulator::ipmi("127.0.8.12").await;
    sim.wrong_password();
    let error = with(Commands::default(), SETTLE).status(&sim.node, LONG).await.expect_err("wrong");
    let bmc = sim.node.bmc.as_ref().expect("a BMC");
    assert_eq!(error, PowerError::Credentials { address: place(bmc), user: USER.into() });
    let mut stranger = sim.node.clone();
    stranger.bmc.as_mut().expect("a BMC").user = "stranger".into();
    let error =
        with(Commands::default(), SETTLE).status(&stranger, LONG).await.expect_err("unknown");
    assert!(matches!(error, PowerError::Credentials { .. }), "{error}");
    let mut keyless = sim.node.clone();
    keyless.bmc.as_mut().expect("a BMC").password_file = sim.path("missing");
    let error =
        with(Commands::default(), SETTLE).status(&keyless, LONG).await.expect_err("no file");
    assert!(
        matches!(&error, PowerError::Refused(said) if said.contains("password_file")),
        "{error}"
    );
}

#[tokio::test]
async fn a_silent_bmc_is_told_within_the_deadline() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // One port holds a socket that nobody reads, the other nothing.
    let hole = UdpSocket::bind("127.0.8.13:0").expect("a socket");
    let open = hole.local_addr().expect("its address").port();
    let other = UdpSocket::bind("127.0.8.13:0").expect("a socket");
    let closed = other.local_addr().expect("its address").port();
    drop(other);
    for (port, deadline) in [(open, SHORT), (open, LONG), (closed, LONG)] {
        let node = with_bmc(&folder, BmcDriver::Ipmi, "127.0.8.13", port);
        let power = with(Commands::default(), SETTLE);
        let error =
            power.act(&node, PowerAction::On, Level::Hard, deadline).await.expect_err("silent");
        assert!(matches!(error, PowerError::Silent { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_order_without_effect_is_an_error() {
    let sim = Emulator::ipmi("127.0.8.14").await;
    std::fs::write(sim.path("lies"), "").expect("written");
    let power = with(Commands::default(), SHORT);
    let error = power.act(&sim.node, PowerAction::On, Level::Hard, LONG).await.expect_err("a lie");
    assert!(
        matches!(
            error,
            PowerError::NoEffect { action: PowerAction::On, state: PowerState::Off, .. }
        ),
        "{error}"
    );
    assert_eq!(sim.lines("log"), ["start"]);
}

#[tokio::test]
async fn one_action_at_a_time() {
    let sim = Emulator::ipmi("127.0.8.15").await;
    let power = with(Commands::default(), LONG);
    let all =
        join_all((0..6).map(|_| power.act(&sim.node, PowerAction::On, Level::Hard, LONG))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(sim.lines("log"), ["start"], "the others found it on");
}

#[tokio::test]
async fn site_commands_win_and_are_checked_by_the_bmc() {
    let sim = Emulator::ipmi("127.0.8.16").await;
    let switch = format!(
        "echo site >>{}; echo on >{}",
        sim.path("log").display(),
        sim.path("state").display()
    );
    let lie = format!("echo lie >>{}", sim.path("log").display());
    let power_on = [(Level::Soft, lie), (Level::Hard, switch)].into();
    let power = with(Commands { power_on, ..Commands::default() }, SHORT);
    let error = power.act(&sim.node, PowerAction::On, Level::Soft, LONG).await.expect_err("a lie");
    assert!(matches!(error, PowerError::NoEffect { .. }), "{error}");
    power.act(&sim.node, PowerAction::On, Level::Hard, LONG).await.expect("on");
    power.act(&sim.node, PowerAction::Off, Level::Hard, LONG).await.expect("off, by the BMC");
    assert_eq!(sim.lines("log"), ["lie", "site", "stop"]);
}

#[tokio::test]
async fn a_silent_bmc_does_not_keep_the_sites_command_from_running() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let hole = UdpSocket::bind("127.0.8.17:0").expect("a socket");
    let port = hole.local_addr().expect("its address").port();
    let node = with_bmc(&folder, BmcDriver::Ipmi, "127.0.8.17", port);
    let done = folder.path().join("done");
    let power_off = [(Level::VeryHard, format!("touch {}", done.display()))].into();
    let power = with(Commands { power_off, ..Commands::default() }, SETTLE);
    let deadline = Duration::from_secs(10);
    power.act(&node, PowerAction::Off, Level::VeryHard, deadline).await.expect("believed");
    assert!(done.exists());
}
