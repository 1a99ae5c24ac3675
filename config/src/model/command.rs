//! `command.conf`: commands of single nodes, which beat those of their cluster.

use super::remoteops::{Command, Level, RemoteAction, RemoteOps};
use crate::check::{Check, apply};
use crate::key::Shape;
use crate::mistake::Mistake;
use crate::read::{Reader, Value, nearest, one_of};
use crate::tree::{Data, Located};

/// The commands of one node, by kinds such as `reboot_hard` or `console`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NodeCommands(pub(crate) RemoteOps);

/// The kinds of commands: for an action with levels one per level.
fn kinds() -> Vec<(String, RemoteAction, Level)> {
    let of = |action: RemoteAction| {
        let levels = if action.has_levels() { &Level::ALL[..] } else { &[] };
        let leveled = levels.iter().map(move |l| (format!("{action}_{l}"), action, *l));
        let plain = levels.is_empty().then(|| (action.to_string(), action, Level::Soft));
        leveled.chain(plain)
    };
    RemoteAction::ALL.into_iter().flat_map(of).collect()
}

impl Value for NodeCommands {
    fn shape() -> Shape {
        let kinds = kinds();
        let words: Vec<_> = kinds.iter().map(|kind| kind.0.as_str()).collect();
        Shape::Leaf(format!("map of kinds to String; each kind {}", one_of(&words)).into())
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        let entries = match &at.data {
            Data::Null => return Some(Self::default()),
            Data::Map(entries) => entries,
            _ => {
                cx.mistyped(at, "Hash", "a map of kinds of commands to commands");
                return None;
            }
        };
        cx.repeated(at, entries);
        let kinds = kinds();
        let words: Vec<_> = kinds.iter().map(|kind| kind.0.as_str()).collect();
        let mut commands = RemoteOps::default();
        for entry in entries {
            let Some((_, action, level)) = kinds.iter().find(|kind| kind.0 == entry.key) else {
                let hint = nearest(&entry.key, words.iter().copied())
                    .map(|near| format!("did you mean `{near}`?"));
                let found = format!("the kind `{}`", entry.key);
                let mistake = Mistake::new(&entry.value, found, one_of(&words)).hint(hint);
                cx.mistakes.push(mistake.old_text(format!("Unknown command kind: {}", entry.key)));
                continue;
            };
            let checked = apply(Check::Command, &entry.value, cx);
            if let Some(text) = checked.and_then(|at| cx.text(&at).map(str::to_owned)) {
                commands.0.insert((*action, *level), Command { text, groups: Vec::new() });
            }
        }
        Some(Self(commands))
    }
}
