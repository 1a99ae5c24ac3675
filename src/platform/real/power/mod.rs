//! The power port: the site's commands, IPMI, Redfish.
//!
//! For each action and level the site's command ([`Commands`]) wins; where there is
//! none, the node's BMC driver does it ([`ipmi`], [`redfish`]):
//!
//! | action | soft | hard | `very_hard` |
//! |---|---|---|---|
//! | reboot | not provided | reset; on, where it is off | off, on |
//! | `power_on` | on | on | on |
//! | `power_off` | ACPI | off | off |
//!
//! The state is read before acting, and nothing is sent to a machine that is as
//! ordered; it is read again until the order has taken effect. A BMC that was silent is
//! not asked again with more force ([`line`]).

mod commands;
mod ipmi;
mod line;
pub(in crate::platform) mod process;
mod redfish;

#[cfg(test)]
mod tests;

pub use commands::Commands;
pub use redfish::ClientError;

use crate::{
    nodes::{Bmc, BmcDriver, Node},
    platform::{Level, Power, PowerAction, PowerError, PowerState},
};
use line::Lines;
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

/// Default time for an order to take effect.
pub const SETTLE: Duration = Duration::from_secs(15);
/// So many times as long may a system take to go off that is asked to: it stops its services first,
/// which systemd by itself gives 90 seconds.
const SOFT_OFF: u32 = 6;
/// Pause between two readings while an order takes effect: BMCs have no events for
/// this that all of them send, and they are slow.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest deadline; beyond it (a century) a clock would overflow.
const FOREVER: Duration = Duration::from_secs(3_155_760_000);

/// What a BMC driver is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    On,
    Off,
    /// Press the button: ACPI.
    SoftOff,
    Reset,
}

/// The site's commands for a node; asked at each action, so that a reload counts.
pub type CommandTable = Arc<dyn Fn(&Node) -> Arc<Commands> + Send + Sync>;

/// [`Power`] for machines of the real world.
pub struct RealPower {
    commands: CommandTable,
    settle: Duration,
    redfish: redfish::Redfish,
    lines: Lines,
}

impl fmt::Debug for RealPower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealPower").field("settle", &self.settle).finish_non_exhaustive()
    }
}

impl RealPower {
    /// Power by the commands that `commands` gives for a node, and by BMC drivers.
    /// An order has to take effect within `settle` ([`SETTLE`]), a system that is asked to go off
    /// within six times that.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(commands: CommandTable, settle: Duration) -> Result<Self, ClientError> {
        let redfish = redfish::Redfish::new()?;
        Ok(Self { commands, settle, redfish, lines: Lines::default() })
    }

    async fn read(&self, bmc: &Bmc, end: Instant) -> Result<PowerState, PowerError> {
        match bmc.driver {
            BmcDriver::Ipmi => ipmi::status(bmc, left(end)).await,
            BmcDriver::Redfish => self.redfish.status(bmc, left(end)).await,
        }
    }

    async fn order(&self, bmc: &Bmc, order: Order, end: Instant) -> Result<(), PowerError> {
        match bmc.driver {
            BmcDriver::Ipmi => ipmi::order(bmc, order, left(end)).await,
            BmcDriver::Redfish => self.redfish.order(bmc, order, left(end)).await,
        }
    }

    /// The state by the site's command, where its text can be read, else by the BMC;
    /// `None` where neither can tell.
    async fn observe(&self, node: &Node, end: Instant) -> Result<Option<PowerState>, PowerError> {
        if let Some(template) = &(self.commands)(node).power_status {
            let said = commands::run(template, node, left(end)).await;
            match (said.map(|text| commands::read_state(&text)), &node.bmc) {
                (Ok(Some(state)), _) => return Ok(Some(state)),
                (Ok(None), None) => return Ok(None),
                (Err(error), None) => return Err(error),
                (_, Some(_)) => {}
            }
        }
        match &node.bmc {
            Some(bmc) => self.read(bmc, end).await.map(Some),
            None => Ok(None),
        }
    }

    /// By the site's command: exit 0 is success; believed where the state cannot be
    /// read, or could not even before.
    async fn act_by_command(
        &self,
        node: &Node,
        (action, level): (PowerAction, Level),
        template: &str,
        end: Instant,
    ) -> Result<(), PowerError> {
        let Some(wanted) = wanted(action) else {
            return commands::run(template, node, left(end)).await.map(drop);
        };
        // A BMC that is silent must leave time for the command.
        let early = Instant::now() + left(end) / 3;
        let before = self.observe(node, early).await.unwrap_or_else(|error| {
            tracing::debug!(node = node.name, %error, "the power state cannot be read");
            None
        });
        if before == Some(wanted) {
            return Ok(());
        }
        commands::run(template, node, left(end)).await?;
        match before {
            Some(_) => self.see(node, (action, level), wanted, end).await,
            None => Ok(()),
        }
    }

    /// By the node's BMC.
    async fn act_by_driver(
        &self,
        node: &Node,
        bmc: &Bmc,
        action: PowerAction,
        level: Level,
        end: Instant,
    ) -> Result<(), PowerError> {
        use {
            Level::{Hard, Soft, VeryHard},
            PowerAction::{Off, On, Reboot},
        };
        // One that is silent is not waited for as long as a system that goes off.
        let early = if (action, level) == (Off, Soft) { left(end) / 3 } else { left(end) };
        let state = self.read(bmc, Instant::now() + early).await?;
        let sent = match (action, level, state) {
            (Reboot, Soft, _) => return Err(not_provided(action, level)),
            (On, _, PowerState::On) | (Off, _, PowerState::Off) => return Ok(()),
            (Reboot, Hard, PowerState::On) => return self.order(bmc, Order::Reset, end).await,
            (Reboot, VeryHard, PowerState::On) => {
                self.order(bmc, Order::Off, end).await?;
                self.see(node, (action, level), PowerState::Off, end).await?;
                Order::On
            }
            (On | Reboot, ..) => Order::On,
            (Off, Soft, _) => Order::SoftOff,
            (Off, ..) => Order::Off,
        };
        self.order(bmc, sent, end).await?;
        let wanted = wanted(action).unwrap_or(PowerState::On);
        self.see(node, (action, level), wanted, end).await
    }

    /// Reads the state until it is as `wanted`, for as long as an order may take to show.
    async fn see(
        &self,
        node: &Node,
        (action, level): (PowerAction, Level),
        wanted: PowerState,
        end: Instant,
    ) -> Result<(), PowerError> {
        let start = Instant::now();
        let asked = (action, level) == (PowerAction::Off, Level::Soft);
        let settle = if asked { self.settle * SOFT_OFF } else { self.settle };
        let limit = end.min(start + settle);
        let (mut seen, mut failed) = (None, None);
        loop {
            match timeout_at(limit, self.observe(node, limit)).await {
                Ok(Ok(Some(state))) if state == wanted => return Ok(()),
                Ok(Ok(Some(state))) => seen = Some(state),
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(error)) => failed = Some(error),
            }
            if Instant::now() + PAUSE >= limit {
                break;
            }
            sleep(PAUSE).await;
        }
        // A state counts more than an error: the last question may have had no time for its answer.
        Err(match (seen, failed) {
            (Some(state), _) => PowerError::NoEffect { action, state, after: start.elapsed() },
            (None, Some(error)) => error,
            (None, None) => PowerError::Refused(format!(
                "{action} of {}: accepted, but the state could not be read within {}",
                node.name,
                crate::platform::rounded(settle)
            )),
        })
    }

    /// Does `action` by whatever the node has for it, within `deadline`.
    async fn act_somehow(
        &self,
        node: &Node,
        action: PowerAction,
        level: Level,
        deadline: Duration,
    ) -> Result<(), PowerError> {
        let end = Instant::now() + deadline;
        let commands = (self.commands)(node);
        let template = commands.get(action, level);
        let by_driver =
            node.bmc.as_ref().filter(|_| (action, level) != (PowerAction::Reboot, Level::Soft));
        if template.is_none() && by_driver.is_none() {
            return Err(not_provided(action, level));
        }
        let address = node.bmc.as_ref().map_or_else(|| node.name.clone(), Bmc::place);
        match (template, by_driver) {
            (Some(template), _) => self.act_by_command(node, (action, level), template, end).await,
            (None, Some(bmc)) => {
                if let Some(silent) = self.lines.silence(&address, level) {
                    return Err(silent);
                }
                let acted = self.act_by_driver(node, bmc, action, level, end).await;
                self.lines.answered(&address, level, &acted);
                acted
            }
            (None, None) => Err(not_provided(action, level)),
        }
    }
}

#[async_trait::async_trait]
impl Power for RealPower {
    async fn status(&self, node: &Node, deadline: Duration) -> Result<PowerState, PowerError> {
        let end = Instant::now() + deadline.min(FOREVER);
        if (self.commands)(node).power_status.is_none() && node.bmc.is_none() {
            return Err(PowerError::Refused("power_status command is not provided".into()));
        }
        let observed = self.observe(node, end).await;
        if let Some(bmc) = &node.bmc {
            self.lines.answered(&bmc.place(), Level::Soft, &observed);
        }
        observed?.ok_or_else(|| {
            PowerError::Refused(format!(
                "the power_status command of {} says neither on nor off",
                node.name
            ))
        })
    }

    async fn status_text(&self, node: &Node, deadline: Duration) -> Result<String, PowerError> {
        match &(self.commands)(node).power_status {
            Some(template) => commands::run(template, node, deadline.min(FOREVER)).await,
            None => self.status(node, deadline).await.map(|state| state.to_string()),
        }
    }

    async fn act(
        &self,
        node: &Node,
        action: PowerAction,
        level: Level,
        deadline: Duration,
    ) -> Result<(), PowerError> {
        self.act_somehow(node, action, level, deadline.min(FOREVER)).await
    }

    fn group(&self, node: &Node, action: PowerAction, level: Level) -> Option<Vec<String>> {
        let commands = (self.commands)(node);
        let groups = commands.groups.get(&(action, level))?;
        let ours = |name: &String| *name == node.name || name == node.short();
        groups.iter().find(|group| group.iter().any(ours)).cloned()
    }

    async fn act_on_group(
        &self,
        nodes: &[Arc<Node>],
        action: PowerAction,
        level: Level,
        deadline: Duration,
    ) -> Result<(), PowerError> {
        let commands = nodes.first().map(|node| (self.commands)(node));
        let template = commands.as_ref().and_then(|commands| commands.get(action, level));
        let template = template.ok_or_else(|| not_provided(action, level))?;
        commands::run_on_group(template, nodes, deadline.min(FOREVER)).await.map(drop)
    }
}

/// What `action` leaves a machine as; `None` where that tells nothing.
fn wanted(action: PowerAction) -> Option<PowerState> {
    match action {
        PowerAction::On => Some(PowerState::On),
        PowerAction::Off => Some(PowerState::Off),
        PowerAction::Reboot => None,
    }
}

fn not_provided(action: PowerAction, level: Level) -> PowerError {
    PowerError::NotProvided { action: action.to_string(), level }
}

fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
}
