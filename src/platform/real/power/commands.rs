//! The site's own commands.

use super::process;
use crate::{
    nodes::Node,
    platform::{Level, PowerAction, PowerError, PowerState},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::process::Command;

/// The commands of one node: shell text that is run on the server, in which
/// `HOSTNAME_FQDN` and `HOSTNAME_SHORT` stand for the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// Start anew.
    pub reboot: BTreeMap<Level, String>,
    /// Switch on.
    pub power_on: BTreeMap<Level, String>,
    /// Switch off.
    pub power_off: BTreeMap<Level, String>,
    /// Tell whether the node has power.
    pub power_status: Option<String>,
    /// Names of the nodes that one command serves together.
    pub groups: BTreeMap<(PowerAction, Level), Vec<Vec<String>>>,
}

impl Commands {
    /// These, where `node` (a node's own commands) does not have its own.
    #[must_use]
    pub fn overridden_by(mut self, node: Self) -> Self {
        // A command of its own serves the node alone.
        let own = [
            (PowerAction::Reboot, &node.reboot),
            (PowerAction::On, &node.power_on),
            (PowerAction::Off, &node.power_off),
        ];
        for (action, levels) in own {
            self.groups.retain(|(known, level), _| *known != action || !levels.contains_key(level));
        }
        self.reboot.extend(node.reboot);
        self.power_on.extend(node.power_on);
        self.power_off.extend(node.power_off);
        self.power_status = node.power_status.or(self.power_status);
        self
    }

    /// The command for `action` at `level`.
    pub fn get(&self, action: PowerAction, level: Level) -> Option<&str> {
        let table = match action {
            PowerAction::On => &self.power_on,
            PowerAction::Off => &self.power_off,
            PowerAction::Reboot => &self.reboot,
        };
        table.get(&level).map(String::as_str)
    }
}

/// Runs `template` for `node`; its standard output, trimmed, when it ends with
/// status 0 within `deadline`.
pub(super) async fn run(
    template: &str,
    node: &Node,
    deadline: Duration,
) -> Result<String, PowerError> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(fill(template, node)?);
    let refused =
        |why: String| PowerError::Refused(format!("the site's command for {} {why}", node.name));
    match process::run(command, deadline).await {
        Err(error) => Err(refused(format!("did not start: {error}"))),
        Ok(None) => {
            let after = crate::platform::rounded(deadline);
            Err(refused(format!("was killed: it did not end within {after}")))
        }
        Ok(Some(ended)) if ended.status == 0 => Ok(ended.stdout),
        Ok(Some(ended)) => {
            Err(refused(format!("ended with status {}: {}", ended.status, ended.stderr)))
        }
    }
}

/// The same for all of `nodes` at once: `GROUP_FQDN` and `GROUP_SHORT` stand for their names.
pub(super) async fn run_on_group(
    template: &str,
    nodes: &[Arc<Node>],
    deadline: Duration,
) -> Result<String, PowerError> {
    let Some(first) = nodes.first() else { return Ok(String::new()) };
    if let Some(bad) = nodes.iter().find(|node| !is_host_name(&node.name)) {
        // Told as for a node alone.
        fill(template, bad)?;
    }
    let join = |names: Vec<&str>| names.join(",");
    let template = template
        .replace("GROUP_FQDN", &join(nodes.iter().map(|node| node.name.as_str()).collect()))
        .replace("GROUP_SHORT", &join(nodes.iter().map(|node| node.short()).collect()));
    run(&template, first, deadline).await
}

/// Puts the names of `node` into `template`; refuses names that a shell could take
/// for anything but a name.
fn fill(template: &str, node: &Node) -> Result<String, PowerError> {
    if !is_host_name(&node.name) {
        return Err(PowerError::Refused(format!(
            "{:?} is not a host name: it cannot stand in a command",
            node.name
        )));
    }
    // One that is in no group is a group of its own.
    let names = ["HOSTNAME_FQDN", "GROUP_FQDN"].iter();
    let filled = names.fold(template.to_owned(), |text, place| text.replace(place, &node.name));
    let names = ["HOSTNAME_SHORT", "GROUP_SHORT"].iter();
    Ok(names.fold(filled, |text, place| text.replace(place, node.short())))
}

/// Letters, digits, hyphens, in labels of 1 to 63 that begin and end with a letter or
/// digit; at most 253 in all (RFC 1123 section 2.1). Underscores are let pass inside.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// The state in what a status command wrote: the words on or up, off or down, but not
/// both kinds.
pub(super) fn read_state(text: &str) -> Option<PowerState> {
    let mut seen = None;
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        let state = match word.to_ascii_lowercase().as_str() {
            "on" | "up" => PowerState::On,
            "off" | "down" => PowerState::Off,
            _ => continue,
        };
        if seen.is_some_and(|seen| seen != state) {
            return None;
        }
        seen = Some(state);
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::real::ssh::sshd::node;
    use proptest::prelude::*;

    #[test]
    fn states_are_read_from_words() {
        for on in ["on", "UP\n", "Chassis Power is on", "n1: power=ON"] {
            assert_eq!(read_state(on), Some(PowerState::On), "{on}");
        }
        for off in ["off", "power is off.", "down"] {
            assert_eq!(read_state(off), Some(PowerState::Off), "{off}");
        }
        for neither in ["", "offline", "one", "on or off", "unknown"] {
            assert_eq!(read_state(neither), None, "{neither}");
        }
    }

    #[test]
    fn the_node_wins_over_its_cluster() {
        let table = |level, text: &str| BTreeMap::from([(level, text.to_owned())]);
        let cluster = Commands {
            reboot: table(Level::Soft, "cluster"),
            power_on: table(Level::Hard, "cluster"),
            power_status: Some("cluster".into()),
            ..Commands::default()
        };
        let own = Commands { reboot: table(Level::Soft, "node"), ..Commands::default() };
        let merged = cluster.overridden_by(own);
        assert_eq!(merged.get(PowerAction::Reboot, Level::Soft), Some("node"));
        assert_eq!(merged.get(PowerAction::On, Level::Hard), Some("cluster"));
        assert_eq!(merged.get(PowerAction::Off, Level::Hard), None);
        assert_eq!(merged.power_status.as_deref(), Some("cluster"));
    }

    proptest! {
        #[test]
        fn no_name_reaches_a_shell_as_anything_but_a_word(name in "\\PC{0,20}|[a-z;$`. \n-]{1,20}|[a-z0-9.-]{1,40}") {
            let safe = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            match fill("ssh HOSTNAME_SHORT; wol HOSTNAME_FQDN", &node(&name, [127, 0, 0, 1])) {
                Ok(text) => {
                    prop_assert!(safe && !name.starts_with('-'), "{name:?}");
                    let end = format!("; wol {name}");
                    prop_assert!(text.ends_with(&end));
                }
                Err(error) => prop_assert!(matches!(error, PowerError::Refused(_))),
            }
        }
    }
}
