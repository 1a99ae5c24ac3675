//! What the settings mean for logging in to one host.

use super::Directives;
use ssh2_config::HostParams;
use std::{path::PathBuf, time::Duration};

/// Probes of a silent connection before it is given up, as ssh's own default.
const COUNT: u32 = 3;

/// How one host is logged in to. What is not set is up to the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshLogin {
    /// Whom to log in as.
    pub user: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// Private keys beside the service's own; or public ones, whose other halves an agent has.
    pub keys: Vec<PathBuf>,
    /// Which ssh-agent is asked for keys.
    pub agent: Agent,
    /// Of the agent's keys only those count that are named by a file.
    pub named_keys_only: bool,
    /// How the host proves who it is.
    pub host_keys: HostKeys,
    /// The name under which its key is known; none = its own.
    pub known_as: Option<String>,
    /// Longest time for a connection to be made.
    pub connect_timeout: Option<Duration>,
    /// After this silence a connection is probed, and given up after so many probes.
    pub alive: Option<(Duration, u32)>,
}

/// Which ssh-agent is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Agent {
    /// That of the environment (`SSH_AUTH_SOCK`), where there is one.
    #[default]
    OfEnvironment,
    /// The one at this socket.
    At(PathBuf),
    /// None.
    None,
}

/// How a host proves who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostKeys {
    /// Any key at first contact, and the same until the host boots.
    #[default]
    SameUntilBoot,
    /// Files of known hosts have its key.
    Known {
        /// The files; what is new goes into the first.
        files: Vec<PathBuf>,
        /// Whether the key of a host that is in none of them is taken, and written down.
        accept_new: bool,
    },
}

impl SshLogin {
    pub(super) fn of(sources: &[Directives], host: &str) -> Self {
        let all: Vec<HostParams> = sources.iter().map(|source| source.of(host)).collect();
        let word = |name: &str| {
            all.iter().find_map(|params| words(params, name)).map(|words| words.join(" "))
        };
        let number = |name: &str| word(name).and_then(|text| text.parse::<u32>().ok());
        let interval = all.iter().find_map(|params| params.server_alive_interval);
        let interval = interval.filter(|interval| !interval.is_zero());
        Self {
            user: all.iter().find_map(|params| params.user.clone()),
            port: all.iter().find_map(|params| params.port),
            keys: all
                .iter()
                .flat_map(|params| params.identity_file.clone().unwrap_or_default())
                .collect(),
            agent: agent(word("IdentityAgent").as_deref()),
            named_keys_only: word("IdentitiesOnly").is_some_and(|word| is_yes(&word)),
            host_keys: host_keys(&all, word("StrictHostKeyChecking").as_deref()),
            known_as: word("HostKeyAlias"),
            connect_timeout: all.iter().find_map(|params| params.connect_timeout),
            alive: interval.map(|every| (every, number("ServerAliveCountMax").unwrap_or(COUNT))),
        }
    }
}

/// The words of a setting for which the parser has no place of its own.
fn words(params: &HostParams, name: &str) -> Option<Vec<String>> {
    let fields = params.unsupported_fields.iter().chain(&params.ignored_fields);
    let mut fields = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    fields.next().map(|(_, words)| words.clone())
}

fn is_yes(word: &str) -> bool {
    matches!(&*word.to_ascii_lowercase(), "yes" | "true")
}

fn agent(word: Option<&str>) -> Agent {
    match word {
        None | Some("SSH_AUTH_SOCK") => Agent::OfEnvironment,
        Some("none") => Agent::None,
        Some(path) => Agent::At(at_home(path)),
    }
}

fn host_keys(all: &[HostParams], strict: Option<&str>) -> HostKeys {
    let accept_new = match strict.map(str::to_ascii_lowercase).as_deref() {
        // Where nothing is said ssh would ask a person, and here there is none.
        None | Some("no" | "off" | "false") => return HostKeys::SameUntilBoot,
        Some("accept-new") => true,
        Some(_) => false,
    };
    let files = |name: &str, default: &[&str]| -> Vec<PathBuf> {
        let written = all.iter().find_map(|params| words(params, name));
        let default = || default.iter().map(|&file| file.to_owned()).collect();
        let words = written.unwrap_or_else(default);
        words.iter().filter(|word| *word != "none").map(|word| at_home(word)).collect()
    };
    let mut known = files("UserKnownHostsFile", &["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]);
    let everyones = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];
    known.extend(files("GlobalKnownHostsFile", &everyones));
    HostKeys::Known { files: known, accept_new }
}

/// A path; `~/` is the home directory.
pub(super) fn at_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}
