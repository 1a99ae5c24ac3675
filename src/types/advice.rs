//! Whose matter a failure of a node is, and what helps.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Whoever looks after the machine.
    Node,
    /// Whoever looks after the service, its configuration and what is around it.
    Infrastructure,
    /// Whoever asked for the operation.
    Request,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Infrastructure => "infrastructure",
            Self::Request => "request",
        })
    }
}

/// What is known of a kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Advice {
    /// Whose matter it is.
    pub class: Class,
    /// What helps, for people.
    pub text: &'static str,
}

/// What is known of a failure by the words of its reason; none if nothing is.
pub fn advice(reason: &str) -> Option<Advice> {
    let known = |(words, ..): &&(&str, Class, &str)| reason.contains(words);
    KNOWN.iter().find(known).map(|(_, class, text)| Advice { class: *class, text })
}

/// Whether a failure says by its words that it is a mistake of ours.
pub fn is_mistake(reason: &str) -> bool {
    advice(reason).is_some_and(|known| known.text == MISTAKE)
}

use Class::{Infrastructure, Node, Request};

const MISTAKE: &str = "this is a mistake in Kadence: report it with its log";
const REPLACED: &str = "look whether its disk was replaced, then deploy the node anew";
const CONSOLE: &str = "look at its console, its boot order and its cabling";
const BMC: &str = "look at its BMC: address, cabling, and whether it answers by hand";
const SSH: &str = "look at the node's console and network, then `kadence retry` the operation";
const DISK: &str = "look at its disk: kernel messages, SMART, cabling";
const IMAGE: &str = "correct the image or its description: what it names must be in it";
const NETWORK: &str = "look at the network between the nodes, then `kadence retry` the operation";
const SITE: &str = "correct the configuration of the site: `kadence check`";
const SERVER: &str = "look at the server's disk and its log: `kadence store check`";
const LIMIT: &str =
    "see what the step waited for in `kadence logs`, or give it more time in the cluster file";

/// Words of reasons, the more telling ones first.
const KNOWN: &[(&str, Class, &str)] = &[
    ("refused: the ticket", Node, REPLACED),
    ("refused: this attempt", Infrastructure, MISTAKE),
    ("is another disk", Node, REPLACED),
    ("given up at the breakpoint", Request, "continue in time: `kadence continue`"),
    ("cancelled", Request, "start the operation again"),
    ("not in the configuration any more", Request, "put the node back, and deploy it again"),
    ("installs nothing", Request, "name an environment"),
    ("nothing was installed", Request, "name an environment"),
    ("the journal cannot be written", Infrastructure, SERVER),
    ("the service was stopped", Infrastructure, "`kadence retry` the operation"),
    ("no boot profile for", Infrastructure, SITE),
    ("Cannot perform the set_pxe", Infrastructure, SITE),
    ("command is not provided", Infrastructure, SITE),
    ("refused user", Infrastructure, "correct bmc.user and bmc.password_file"),
    ("the site's command for", Infrastructure, "try the command of remoteops by hand"),
    ("the name server does not answer", Infrastructure, "look at the name service of the server"),
    ("was busy with another action", Infrastructure, "wait, or look who else uses the BMC"),
    ("cannot use the private key", Infrastructure, "correct ssh_private_key"),
    ("is not accepted there", Infrastructure, "the deployment system must know our key"),
    (
        "was given up: its host key",
        Infrastructure,
        "correct the files of known hosts, or StrictHostKeyChecking",
    ),
    ("the server cannot listen", Infrastructure, SITE),
    ("cannot read", Infrastructure, SERVER),
    ("panicked", Infrastructure, MISTAKE),
    ("gave no result", Infrastructure, MISTAKE),
    ("no free session", Node, "end sessions of its BMC, or restart the BMC"),
    ("the BMC", Node, BMC),
    ("power", Node, BMC),
    ("had no effect", Node, BMC),
    ("Unreachable after the reboot", Node, CONSOLE),
    ("never rebooted", Node, CONSOLE),
    ("reboot not observed", Node, CONSOLE),
    ("this layout needs", Node, "use nodes with larger disks, or a smaller layout"),
    ("there is no disk", Node, "correct partitioning/block_device of its cluster"),
    ("there is no partition", Request, "choose another partition with `-p`"),
    ("Input/output error", Node, DISK),
    ("Device or resource busy", Node, DISK),
    ("No space left on device", Request, "use a smaller image, or a larger partition"),
    ("not found in tarball", Request, IMAGE),
    ("kernel not found", Request, IMAGE),
    ("initrd not found", Request, IMAGE),
    ("the image has no file", Request, IMAGE),
    ("does not look like an archive", Request, IMAGE),
    ("unexpected end of file", Request, IMAGE),
    ("wrong fs type", Request, "choose a filesystem that the deployment system knows"),
    ("host key changed", Node, SSH),
    ("ssh to", Node, SSH),
    ("no answer from", Node, SSH),
    ("the relay", Node, NETWORK),
    ("the connection broke off", Node, NETWORK),
    ("nothing came any more", Node, NETWORK),
    ("the blocks received differ", Infrastructure, NETWORK),
    ("the transfer did not end", Infrastructure, NETWORK),
    ("Timeout in the", Node, LIMIT),
    ("ended with status", Node, "see what the command said in `kadence logs`"),
    ("No such file or directory", Node, "see what the command said in `kadence logs`"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_telling_words_count() {
        let class = |reason| advice(reason).map(|known| known.class);
        let bmc =
            "SetDeploymentEnvUntrusted-reboot: the BMC at b refused user `admin`: check bmc.user";
        assert_eq!(class(bmc), Some(Infrastructure));
        assert_eq!(class("the BMC at b did not answer within 45s: check"), Some(Node));
        assert_eq!(class("`tar` ended with status 2: No space left on device"), Some(Request));
        assert_eq!(class("something nobody has thought of"), None);
        assert!(is_mistake("the kexec step panicked: no") && !is_mistake(bmc));
        assert!(KNOWN.iter().all(|(words, _, text)| !words.is_empty() && text.len() > 10));
    }
}
