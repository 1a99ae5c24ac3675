//! Cluster file: commands of the server about nodes, by action and level.

use crate::check::{Check, apply};
use crate::key::{Shape, mandatory, optional};
use crate::macros::{choice, section};
use crate::read::{Reader, Value, nearest, not_allowed, one_of};
use crate::substitute::is_name;
use crate::tree::{Data, Located};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

choice! {
    /// How much force a command uses, weakest first: the order of escalation.
    pub enum Level {
        /// Asks the running system.
        Soft = "soft",
        /// Asks the BMC.
        Hard = "hard",
        /// Cuts the power.
        VeryHard = "very_hard",
    }
}

impl Level {
    /// Every level, weakest first.
    pub const ALL: [Self; 3] = [Self::Soft, Self::Hard, Self::VeryHard];
}

choice! {
    /// What a command does.
    pub enum RemoteAction {
        /// Restarts the node.
        Reboot = "reboot",
        /// Switches it on.
        PowerOn = "power_on",
        /// Switches it off.
        PowerOff = "power_off",
        /// Tells whether it is on.
        PowerStatus = "power_status",
        /// Connects standard input and output to its console.
        Console = "console",
    }
}

impl RemoteAction {
    /// Every action.
    pub const ALL: [Self; 5] =
        [Self::Reboot, Self::PowerOn, Self::PowerOff, Self::PowerStatus, Self::Console];

    /// Whether it has levels; the others have one command, found at `Level::Soft`.
    pub fn has_levels(self) -> bool {
        matches!(self, Self::Reboot | Self::PowerOn | Self::PowerOff)
    }
}

/// A command. The names of the node are put in by [`crate::substitute`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What the shell is given, `DEFAULT_CONNECTOR` expanded, `HOSTNAME_...` not.
    pub text: String,
    /// Names of the nodes that it serves together; nodes that are in none it serves alone.
    pub groups: Vec<Vec<String>>,
}

/// Commands by action and level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteOps(pub(crate) BTreeMap<(RemoteAction, Level), Command>);

impl RemoteOps {
    /// The command for an action at a level; for an action without levels, whatever the level.
    pub fn command(&self, action: RemoteAction, level: Level) -> Option<&Command> {
        let level = if action.has_levels() { level } else { Level::Soft };
        self.0.get(&(action, level))
    }

    /// The levels at which an action has a command, weakest first.
    pub fn levels(&self, action: RemoteAction) -> impl Iterator<Item = Level> {
        self.0.keys().filter(move |key| key.0 == action).map(|key| key.1)
    }

    /// Puts the site's connector where `DEFAULT_CONNECTOR` stands.
    pub(crate) fn connect(&mut self, connector: &str) {
        for command in self.0.values_mut() {
            command.text = command.text.replace("DEFAULT_CONNECTOR", connector);
        }
    }
}

section! {
    /// Commands of the server about nodes.
    pub(crate) struct RemoteOpsKeys {
        /// Names of the levels, weakest first.
        level_name: Option<Vec<String>> => optional(),
        /// Restart a node.
        reboot: Vec<CommandKeys> => optional(),
        /// Switch a node on.
        power_on: Vec<CommandKeys> => optional(),
        /// Switch a node off.
        power_off: Vec<CommandKeys> => optional(),
        /// Tell whether a node is on; at most one command.
        power_status: Vec<CommandKeys> => optional(),
        /// Connect to a node's console; at most one command.
        console: Vec<CommandKeys> => optional(),
    }
}

section! {
    /// A command with its level.
    struct NamedCommand {
        /// One of `level_name`.
        name: String => mandatory(),
        /// The command. `DEFAULT_CONNECTOR`, `HOSTNAME_FQDN` and `HOSTNAME_SHORT` are replaced;
        /// with `group` also `GROUP_FQDN` and `GROUP_SHORT`, by names joined with commas.
        cmd: String => mandatory().check(Check::Command),
        /// File with one group of nodes per line, their names joined with commas: one command
        /// serves them together, and only when all of them take part.
        group: Option<PathBuf> => optional().check(Check::File),
    }
}

/// A command as it is written: alone (its position is its level), or with a level's name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CommandKeys {
    level: Option<String>,
    command: Command,
}

impl Value for CommandKeys {
    /// The long form; a text alone is a command whose position is its level.
    fn shape() -> Shape {
        NamedCommand::shape()
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        if let Data::Text(text) = &at.data {
            apply(Check::Command, at, cx)?;
            return Some(Self {
                level: None,
                command: Command { text: text.clone(), groups: Vec::new() },
            });
        }
        let NamedCommand { name, cmd, group } = NamedCommand::read(at, cx)?;
        let groups = match group {
            Some(file) => groups(&file, at, cx)?,
            None => Vec::new(),
        };
        Some(Self { level: Some(name), command: Command { text: cmd, groups } })
    }
}

/// The groups of a file; their names go into commands.
fn groups(file: &Path, at: &Located, cx: &mut Reader<'_>) -> Option<Vec<Vec<String>>> {
    let at = at.get("group").unwrap_or(at);
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            cx.mistake(at, format!("{}: {error}", file.display()), "a file that can be read");
            return None;
        }
    };
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let groups: Vec<Vec<String>> =
        lines.map(|line| line.split(',').map(|name| name.trim().to_owned()).collect()).collect();
    if let Some(bad) = groups.iter().flatten().find(|name| !is_name(name)) {
        cx.mistake(at, format!("the name {bad:?} in {}", file.display()), "names of nodes");
        return None;
    }
    Some(groups)
}

impl Value for RemoteOps {
    fn shape() -> Shape {
        RemoteOpsKeys::shape()
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        let before = cx.mistakes.len();
        let read = Self::placed(at, cx);
        for mistake in &mut cx.mistakes[before..] {
            mistake.old_begins("error in remoteops");
        }
        read
    }
}

impl RemoteOps {
    /// The commands, each with its level.
    fn placed(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        let keys = RemoteOpsKeys::read(at, cx)?;
        let names = keys
            .level_name
            .unwrap_or_else(|| Level::WORDS.iter().map(|&word| word.to_owned()).collect());
        if names.is_empty() || names.len() > Level::ALL.len() {
            let at = at.get("level_name").unwrap_or(at);
            cx.wrong(at, "one to three names of levels");
            return None;
        }
        let before = cx.mistakes.len();
        let actions = [keys.reboot, keys.power_on, keys.power_off, keys.power_status, keys.console];
        let mut commands = BTreeMap::new();
        for (action, written) in RemoteAction::ALL.into_iter().zip(actions) {
            if let Some(at) = at.get(action.word()) {
                place(action, written, at, &names, &mut commands, cx);
            }
        }
        (cx.mistakes.len() == before).then_some(Self(commands))
    }
}

/// Gives each command of an action its level.
fn place(
    action: RemoteAction,
    written: Vec<CommandKeys>,
    at: &Located,
    names: &[String],
    commands: &mut BTreeMap<(RemoteAction, Level), Command>,
    cx: &mut Reader<'_>,
) {
    let most = if action.has_levels() { names.len() } else { 1 };
    if written.len() > most {
        cx.wrong(at, format!("at most {most} command{}", if most == 1 { "" } else { "s" }));
        return;
    }
    let Data::List(items) = &at.data else { return };
    for (position, (keys, item)) in written.into_iter().zip(items).enumerate() {
        let index = match &keys.level {
            None => Some(position),
            Some(name) => names.iter().position(|known| known == name),
        };
        let Some(index) = index else {
            unknown_level(item, names, cx);
            continue;
        };
        if keys.command.text.is_empty() {
            continue;
        }
        let level = if action.has_levels() { Level::ALL[index] } else { Level::Soft };
        if commands.insert((action, level), keys.command).is_some() {
            cx.mistake(
                item,
                format!("a second command for level `{}`", names[index]),
                "one per level",
            );
        }
    }
}

fn unknown_level(item: &Located, names: &[String], cx: &mut Reader<'_>) {
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let at = item.get("name").unwrap_or(item);
    let hint = match &at.data {
        Data::Text(text) => nearest(text, names.iter().copied()),
        _ => None,
    };
    let hint = hint.map(|near| format!("did you mean `{near}`?"));
    let mut mistake = crate::mistake::Mistake::new(at, at.found(), one_of(&names)).hint(hint);
    if let Data::Text(text) = &at.data {
        mistake = mistake.old(not_allowed(text, &names));
    }
    cx.mistakes.push(mistake);
}
