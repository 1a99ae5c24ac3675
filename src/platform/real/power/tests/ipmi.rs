use super::{
    bmc::{Emulator, with_bmc},
    ipmi_sim::USER,
    *,
};
use crate::nodes::BmcDriver;
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
    assert_eq!(error, PowerError::Credentials { address: bmc.place(), user: USER.into() });
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
    let power = with(Commands::default(), LIE);
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
async fn site_commands_win_and_are_checked_by_the_bmc() {
    let sim = Emulator::ipmi("127.0.8.16").await;
    let switch = format!(
        "echo site >>{}; echo on >{}",
        sim.path("log").display(),
        sim.path("state").display()
    );
    let lie = format!("echo lie >>{}", sim.path("log").display());
    let power_on = [(Level::Soft, lie), (Level::Hard, switch)].into();
    let power = with(Commands { power_on, ..Commands::default() }, LIE);
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

#[tokio::test]
async fn a_silent_bmc_is_not_asked_again_with_more_force_and_never_believed_dead() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let hole = UdpSocket::bind("127.0.8.18:0").expect("a socket");
    let port = hole.local_addr().expect("its address").port();
    let node = with_bmc(&folder, BmcDriver::Ipmi, "127.0.8.18", port);
    let done = folder.path().join("done");
    let reboot = [(Level::VeryHard, format!("touch {}", done.display()))].into();
    let power = with(Commands { reboot, ..Commands::default() }, SETTLE);
    let act = async |action, level| {
        let began = std::time::Instant::now();
        (power.act(&node, action, level, LONG).await, began.elapsed() < Duration::from_secs(1))
    };
    let (first, _) = act(PowerAction::Off, Level::Hard).await;
    let (second, at_once) = act(PowerAction::Off, Level::VeryHard).await;
    assert_eq!((&second, at_once), (&first, true));
    assert!(matches!(first, Err(PowerError::Silent { .. })), "{first:?}");
    // The site's own way does not need the BMC.
    assert_eq!(act(PowerAction::Reboot, Level::VeryHard).await, (Ok(()), true));
    assert!(done.exists());
    // With the same force it is asked anew; so does a question, after which it counts again.
    let (again, at_once) = act(PowerAction::Off, Level::Hard).await;
    assert!(matches!(again, Err(PowerError::Silent { .. })) && !at_once, "{again:?}");
    let error = power.status(&node, LONG).await.expect_err("silent");
    let (after, at_once) = act(PowerAction::Off, Level::Hard).await;
    assert_eq!((after, at_once), (Err(error), true));
}

#[tokio::test]
async fn a_bmc_that_answers_again_is_heard_at_once() {
    let sim = Emulator::ipmi("127.0.8.19").await;
    let power = with(Commands::default(), SETTLE);
    // Too hasty for any BMC: it counts as silent.
    let hasty = Duration::from_millis(1);
    let error = power.status(&sim.node, hasty).await.expect_err("too hasty");
    assert!(matches!(error, PowerError::Silent { .. }), "{error}");
    let silent = power.act(&sim.node, PowerAction::On, Level::Hard, LONG).await;
    assert_eq!(silent, Err(error));
    assert_eq!(power.status(&sim.node, LONG).await, Ok(PowerState::Off));
    power.act(&sim.node, PowerAction::On, Level::Hard, LONG).await.expect("on");
    assert_eq!(sim.lines("log"), ["start"]);
}
