//! Custom operations: what a site adds before, after or in place of a micro-step.

use crate::check::Check;
use crate::key::{Shape, default, mandatory, optional};
use crate::macros::{choice, section};
use crate::read::{Reader, Value};
use crate::tree::Located;
use std::{path::PathBuf, time::Duration};

/// A custom operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its name; the step is called by that of the micro-step and this one.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// Time limit; none where it is zero.
    pub timeout: Duration,
    /// Further attempts.
    pub retries: u32,
}

/// What a custom operation does on each node.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Runs a command.
    Exec {
        /// The command.
        command: String,
    },
    /// Puts a file.
    Send {
        /// The file on the server.
        file: PathBuf,
        /// The directory on the node.
        destination: String,
    },
    /// Runs a file of the server.
    Run {
        /// The file.
        file: PathBuf,
        /// Its arguments.
        params: String,
    },
}

choice! {
    /// The kind of a custom operation.
    pub(crate) enum ActionKind {
        /// Runs a command.
        Exec = "exec",
        /// Puts a file.
        Send = "send",
        /// Runs a file of the server.
        Run = "run",
    }
}

section! {
    /// A custom operation.
    pub(crate) struct OperationKeys {
        /// Its name; the step is called `MICROSTEP-NAME`.
        name: String => mandatory(),
        /// What it does: run a command, put a file, or run a file of the server.
        action: ActionKind => mandatory(),
        /// The command. Mandatory for `exec`.
        command: Option<String> => optional(),
        /// The file on the server. Mandatory for `send` and `run`.
        file: Option<PathBuf> => optional().check(Check::File),
        /// Directory on the node; the file keeps its name. Mandatory for `send`.
        destination: Option<String> => optional(),
        /// Arguments of the file. For `run`.
        params: String => default("''"),
        /// Time limit; 0 = none.
        timeout: Duration => default("0"),
        /// Further attempts.
        retries: u32 => default("0").check(Check::Range(0, 1000)),
        /// How the operation reaches nodes.
        scattering: String => default("tree").check(Check::OneOf(&["tree", "chain"]))
            .replaced("our own ssh sessions"),
    }
}

impl Value for Operation {
    fn shape() -> Shape {
        OperationKeys::shape()
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        let keys = OperationKeys::read(at, cx)?;
        let mut need = |key: &str, value: Option<String>| {
            if value.is_none() {
                let expected = format!("`{key}`, as `action` is `{}`", keys.action);
                cx.needed(at, key, expected);
            }
            value
        };
        let file = keys.file.map(|file| file.to_string_lossy().into_owned());
        let action = match keys.action {
            ActionKind::Exec => {
                need("command", keys.command).map(|command| Action::Exec { command })
            }
            ActionKind::Send => {
                let file = need("file", file).map(PathBuf::from);
                let destination = need("destination", keys.destination);
                file.zip(destination).map(|(file, destination)| Action::Send { file, destination })
            }
            ActionKind::Run => need("file", file)
                .map(|file| Action::Run { file: PathBuf::from(file), params: keys.params }),
        };
        let (name, timeout, retries) = (keys.name, keys.timeout, keys.retries);
        action.map(|action| Self { name, action, timeout, retries })
    }
}
