use super::{
    bmc::{Emulator, with_bmc},
    ipmi_sim::USER,
    *,
};
use crate::nodes::BmcDriver;
use std::net::TcpListener;

#[tokio::test]
async fn a_machine_is_switched_and_reset() {
    let sim = Emulator::redfish("http", "127.0.8.21", 1).await;
    let starts = || {
        let starts = ["On", "ForceOn", "ForceRestart"];
        sim.lines("log").iter().filter(|line| starts.contains(&line.as_str())).count()
    };
    on_off_and_reboot(&sim.node, starts).await;
    let log = ["On", "ForceRestart", "ForceOff", "On", "GracefulShutdown", "On", "ForceOff"];
    assert_eq!(sim.lines("log"), log, "and nothing was sent twice");
}

#[tokio::test]
async fn the_address_names_the_system_where_there_are_several() {
    let sim = Emulator::redfish("http", "127.0.8.22", 3).await;
    let power = with(Commands::default(), SETTLE);
    let error = power.status(&sim.node, LONG).await.expect_err("three");
    assert!(error.to_string().contains("3 systems"), "{error}");
    let mut node = sim.node.clone();
    let bmc = node.bmc.as_mut().expect("a BMC");
    bmc.address += "/redfish/v1/Systems/77000000-0000-0000-0000-000000000002";
    assert_eq!(power.status(&node, LONG).await, Ok(PowerState::Off));
    power.act(&node, PowerAction::On, Level::Hard, LONG).await.expect("on");
    let bmc = node.bmc.as_mut().expect("a BMC");
    bmc.address += "9";
    let error = power.status(&node, LONG).await.expect_err("no such system");
    assert!(matches!(&error, PowerError::Refused(said) if said.contains("404")), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let sim = Emulator::redfish("http", "127.0.8.23", 1).await;
    sim.wrong_password();
    let error = with(Commands::default(), SETTLE).status(&sim.node, LONG).await.expect_err("wrong");
    let bmc = sim.node.bmc.as_ref().expect("a BMC");
    assert_eq!(error, PowerError::Credentials { address: bmc.place(), user: USER.into() });
}

#[tokio::test]
async fn a_silent_bmc_is_told_within_the_deadline() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mute = TcpListener::bind("127.0.8.24:0").expect("a listener");
    let open = mute.local_addr().expect("its address").port();
    let other = TcpListener::bind("127.0.8.24:0").expect("a listener");
    let closed = other.local_addr().expect("its address").port();
    drop(other);
    for (scheme, port) in [("http://", open), ("https://", open), ("", open), ("http://", closed)] {
        let address = format!("{scheme}127.0.8.24");
        let node = with_bmc(&folder, BmcDriver::Redfish, &address, port);
        let error =
            with(Commands::default(), SETTLE).status(&node, SHORT).await.expect_err("silent");
        assert!(matches!(error, PowerError::Silent { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_silent_bmc_is_told_long_before_a_long_deadline() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mute = TcpListener::bind("127.0.8.28:0").expect("a listener");
    let port = mute.local_addr().expect("its address").port();
    let node = with_bmc(&folder, BmcDriver::Redfish, "http://127.0.8.28", port);
    let began = std::time::Instant::now();
    let error =
        with(Commands::default(), SETTLE).status(&node, LONG).await.expect_err("it says nothing");
    assert!(matches!(error, PowerError::Silent { .. }), "{error}");
    assert!(began.elapsed() < LONG / 4, "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_order_without_effect_is_an_error() {
    let sim = Emulator::redfish("http", "127.0.8.25", 1).await;
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
}

#[tokio::test]
async fn a_self_signed_certificate_is_accepted() {
    let sim = Emulator::redfish("https", "127.0.8.27", 1).await;
    let power = with(Commands::default(), LONG);
    power.act(&sim.node, PowerAction::On, Level::Hard, LONG).await.expect("on");
    // https is what an address without a scheme means.
    let mut node = sim.node.clone();
    node.bmc.as_mut().expect("a BMC").address = "127.0.8.27".into();
    assert_eq!(power.status(&node, LONG).await, Ok(PowerState::On));
}

#[tokio::test]
async fn a_password_in_the_address_is_refused_and_not_repeated() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let node = with_bmc(&folder, BmcDriver::Redfish, "https://root:hidden@127.0.8.26", 443);
    let error = with(Commands::default(), SETTLE).status(&node, SHORT).await.expect_err("refused");
    assert!(matches!(error, PowerError::Refused(_)), "{error}");
    assert!(!error.to_string().contains("hidden"), "{error}");
}
