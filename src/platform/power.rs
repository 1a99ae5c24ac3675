//! The power port.

use crate::nodes::Node;
use std::{fmt, sync::Arc, time::Duration};

/// How much force an action uses: `soft` asks the system, `hard` the BMC,
/// `very_hard` whatever is behind it. Order is the order of escalation.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Ask the running system.
    Soft,
    /// Ask the BMC.
    Hard,
    /// Cut the power.
    VeryHard,
}

impl Level {
    /// Every level, weakest first.
    pub const ALL: [Self; 3] = [Self::Soft, Self::Hard, Self::VeryHard];

    /// The next one; the strongest has none but itself.
    #[must_use]
    pub fn harder(self) -> Self {
        match self {
            Self::Soft => Self::Hard,
            Self::Hard | Self::VeryHard => Self::VeryHard,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Soft => "soft",
            Self::Hard => "hard",
            Self::VeryHard => "very_hard",
        })
    }
}

/// What is wanted of a machine.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum PowerAction {
    /// Be on; nothing happens to a machine that is.
    On,
    /// Be off; nothing happens to a machine that is.
    Off,
    /// Start anew, whatever the machine does now: one that is off is switched on.
    Reboot,
}

impl fmt::Display for PowerAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "power_on",
            Self::Off => "power_off",
            Self::Reboot => "reboot",
        })
    }
}

/// Whether a machine has power, as its BMC tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerState {
    /// It has.
    On,
    /// It has not.
    Off,
}

impl fmt::Display for PowerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

/// Why a machine's power could not be read or changed. Messages never hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PowerError {
    /// Neither the node, its BMC driver nor its cluster has a way to do this at this level.
    #[error("{level}_{action} command is not provided")]
    NotProvided {
        /// What was asked.
        action: String,
        /// With how much force.
        level: Level,
    },
    /// The BMC did not answer in time.
    #[error("the BMC at {address} did not answer within {}: check its address and cabling", super::rounded(*after))]
    Silent {
        /// Where it should be.
        address: String,
        /// How long was waited.
        after: Duration,
    },
    /// Another action on the same node or BMC was not over in time.
    #[error("{address} was busy with another action for {}", super::rounded(*after))]
    Busy {
        /// The node, or where its BMC is.
        address: String,
        /// How long was waited.
        after: Duration,
    },
    /// The BMC refused the user or the password.
    #[error("the BMC at {address} refused user `{user}`: check bmc.user and bmc.password_file")]
    Credentials {
        /// Where it is.
        address: String,
        /// Who was refused.
        user: String,
    },
    /// The BMC or the command said no.
    #[error("{0}")]
    Refused(String),
    /// The order was accepted, and the machine did not change.
    #[error("the BMC accepted {action}, but the node was still {state} after {}", super::rounded(*after))]
    NoEffect {
        /// What was asked.
        action: PowerAction,
        /// What the node was seen to be.
        state: PowerState,
        /// How long was waited.
        after: Duration,
    },
}

/// The power of one machine. Every call ends within `deadline`. Callers see to it that one
/// action at a time is under way for a node and for a BMC.
#[async_trait::async_trait]
pub trait Power: Send + Sync + 'static {
    /// Reads whether `node` has power.
    async fn status(&self, node: &Node, deadline: Duration) -> Result<PowerState, PowerError>;

    /// The text of the site's `power_status` command for `node`, as users see it;
    /// `on` or `off` where the state comes from a BMC driver.
    async fn status_text(&self, node: &Node, deadline: Duration) -> Result<String, PowerError>;

    /// Does `action` with the force of `level`. Returns when the BMC (or the
    /// command) has accepted it **and**, where the state can be read, when it was
    /// seen to have taken effect.
    async fn act(
        &self,
        node: &Node,
        action: PowerAction,
        level: Level,
        deadline: Duration,
    ) -> Result<(), PowerError>;

    /// The names of the nodes that one command serves together with `node`, itself among
    /// them, where the site has such a command.
    fn group(&self, _node: &Node, _action: PowerAction, _level: Level) -> Option<Vec<String>> {
        None
    }

    /// Does `action` on all nodes of a [group](Self::group) by its command. It is believed.
    async fn act_on_group(
        &self,
        _nodes: &[Arc<Node>],
        action: PowerAction,
        level: Level,
        _deadline: Duration,
    ) -> Result<(), PowerError> {
        Err(PowerError::NotProvided { action: action.to_string(), level })
    }
}
