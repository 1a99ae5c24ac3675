//! `set_vlan`: the network that nodes are in.

use super::{Run, run::Vlan};
use crate::platform::{fill::fill, rounded};
use automata::{Context, NodeSet, Outcome};
use std::time::Duration;

/// Bound of the site's command.
const LIMIT: Duration = Duration::from_secs(120);

/// What the network is called in which deployments take place.
const HOME: &str = "DEFAULT";

/// Moves nodes to the user's network, or home.
pub(super) async fn set_vlan(run: &Run, nodes: &NodeSet, cx: &Context, home: bool) -> Outcome {
    let Some(vlan) = &run.settings.vlan else { return Outcome::ok(nodes.clone()) };
    let names: Vec<&str> = nodes.iter().map(|id| run.node(id).name.as_str()).collect();
    let id = if home { HOME } else { &vlan.id };
    let limit = LIMIT.min(super::remote::time_left(cx));
    let command = match command(vlan, id, &names) {
        Ok(command) => command,
        Err(why) => return Outcome::ko(nodes, format!("Cannot set the VLAN: {why}")),
    };
    let why = match run.ports.server.run(&command, limit).await {
        Ok(Some(ended)) if ended.status == 0 => return Outcome::ok(nodes.clone()),
        Ok(Some(ended)) => {
            format!("network/vlan/set_cmd ended with status {}: {}", ended.status, ended.stderr)
        }
        Ok(None) => format!("network/vlan/set_cmd did not end within {}", rounded(limit)),
        Err(error) => format!("network/vlan/set_cmd did not start: {error}"),
    };
    Outcome::ko(nodes, format!("Cannot set the VLAN: {}", why.trim()))
}

/// Whether `text` may stand in a command of the server: letters, digits and a few signs, none
/// of which a shell or an option parser takes for something else.
pub(crate) fn is_word(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && !text.starts_with('-')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._@-".contains(c))
}

/// The site's command with its words put in, once each: what was put in is not looked at.
fn command(vlan: &Vlan, id: &str, names: &[&str]) -> Result<String, String> {
    let words = names.iter().copied().chain([id, &vlan.user]);
    if let Some(word) = words.into_iter().find(|word| !is_word(word)) {
        return Err(format!("{word:?} cannot stand in a command"));
    }
    let nodes: String = names.iter().map(|name| format!(" -m {name}")).collect();
    let places = [("NODES", nodes.as_str()), ("VLAN_ID", id), ("USER", vlan.user.as_str())];
    Ok(fill(&vlan.command, &places))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vlan(user: &str) -> Vlan {
        Vlan {
            user: user.into(),
            command: "kavlan -s -i VLAN_ID -u USERNODES # USER".into(),
            ..Vlan::default()
        }
    }

    #[test]
    fn the_command_names_network_user_and_nodes() {
        let filled = command(&vlan("anna"), "4", &["n1.site", "n2.site"]).unwrap();
        assert_eq!(filled, "kavlan -s -i 4 -u anna -m n1.site -m n2.site # anna");
        // What is put in is not looked at again.
        let filled = command(&vlan("NODES"), "USER", &["n"]).unwrap();
        assert_eq!(filled, "kavlan -s -i USER -u NODES -m n # NODES");
    }

    proptest! {
        #[test]
        fn nothing_is_put_in_that_is_more_than_a_word(text in "\\PC{0,20}|[a-z0-9;$`|& -]{1,8}") {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
            let word = !text.is_empty() && !text.starts_with('-') && text.chars().all(plain);
            prop_assert_eq!(command(&vlan(&text), "4", &["n"]).is_ok(), word);
            prop_assert_eq!(command(&vlan("anna"), &text, &["n"]).is_ok(), word);
            prop_assert_eq!(command(&vlan("anna"), "4", &[&text]).is_ok(), word);
        }
    }
}
