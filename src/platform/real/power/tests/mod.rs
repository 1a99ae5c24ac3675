mod bmc;
mod command;
mod ipmi;
mod ipmi_sim;
mod redfish;

use super::{CommandTable, Commands, RealPower, SETTLE};
use crate::{
    nodes::Node,
    platform::{Level, Power, PowerAction, PowerError, PowerState},
};
use std::{sync::Arc, time::Duration};

/// For what should work, however slow the machine is.
const LONG: Duration = Duration::from_secs(120);
/// For what should not.
const SHORT: Duration = Duration::from_secs(2);
/// For an order without effect: the state is read at least once, however slow the machine is.
const LIE: Duration = Duration::from_secs(8);

fn with(commands: Commands, settle: Duration) -> RealPower {
    let commands = Arc::new(commands);
    let table: CommandTable = Arc::new(move |_: &Node| Arc::clone(&commands));
    RealPower::new(table, settle).expect("a client")
}

/// What every BMC driver does, on a machine that is off.
async fn on_off_and_reboot(node: &Node, starts: impl Fn() -> usize) {
    use {Level::*, PowerAction::*, PowerState as State};
    let power = with(Commands::default(), LONG);
    let act = async |action, level| power.act(node, action, level, LONG).await;
    let status = async || power.status(node, LONG).await.expect("a state");

    assert_eq!(status().await, State::Off);
    assert_eq!(power.status_text(node, LONG).await.expect("a text"), "off");
    let soft = act(Reboot, Soft).await.expect_err("there is none");
    assert_eq!(soft, PowerError::NotProvided { action: "reboot".into(), level: Soft });

    act(On, Soft).await.expect("on");
    assert_eq!((status().await, starts()), (State::On, 1));
    act(On, Hard).await.expect("on already");
    assert_eq!(starts(), 1, "nothing was sent");
    act(Reboot, Hard).await.expect("reset");
    assert_eq!((status().await, starts()), (State::On, 2));
    act(Reboot, VeryHard).await.expect("off and on");
    assert_eq!((status().await, starts()), (State::On, 3));
    act(Off, Soft).await.expect("off by ACPI");
    assert_eq!(status().await, State::Off);
    act(Off, VeryHard).await.expect("off already");
    act(Reboot, Hard).await.expect("on, as it was off");
    assert_eq!((status().await, starts()), (State::On, 4));
    act(Off, Hard).await.expect("off");
    assert_eq!(status().await, State::Off);
}
