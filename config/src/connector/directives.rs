//! Settings of ssh, from a command line or a file.

use super::Setting;
use ssh2_config::{HostParams, ParseRule, SshConfig};
use std::{fs, io::BufReader, path::Path};

/// Largest file of settings that is read.
const LARGEST: u64 = 1 << 20;

/// Settings that are applied.
const APPLIED: &[&str] = &[
    "connecttimeout",
    "forwardagent",
    "globalknownhostsfile",
    "hostkeyalias",
    "identitiesonly",
    "identityagent",
    "identityfile",
    "port",
    "serveralivecountmax",
    "serveraliveinterval",
    "stricthostkeychecking",
    "user",
    "userknownhostsfile",
];

/// Settings that change nothing for sessions which ask nobody, show nothing, forward nothing and
/// are kept open in any case.
const NOTHING_TO_DO: &[&str] = &[
    "batchmode",
    "challengeresponseauthentication",
    "checkhostip",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "forwardx11",
    "forwardx11trusted",
    "gssapiauthentication",
    "hashknownhosts",
    "hostbasedauthentication",
    "kbdinteractiveauthentication",
    "loglevel",
    "numberofpasswordprompts",
    "passwordauthentication",
    "requesttty",
    "tcpkeepalive",
    "updatehostkeys",
    "visualhostkey",
];

/// Settings of one source.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Directives(SshConfig);

impl Directives {
    /// Those of a command line: the first of a name counts, but each key does.
    pub(super) fn given(settings: &[Setting]) -> Result<Self, String> {
        let mut text = String::new();
        for (place, (name, value)) in settings.iter().enumerate() {
            let same = |(other, _): &Setting| other.eq_ignore_ascii_case(name);
            if name.eq_ignore_ascii_case("IdentityFile") || !settings[..place].iter().any(same) {
                text += &format!("{name} {value}\n");
            }
        }
        Self::parse(&text, "-o ")
    }

    /// Those of a file.
    pub(super) fn file(path: &Path) -> Result<Self, String> {
        let cannot = |why: String| format!("its file {} cannot be read: {why}", path.display());
        let meta = fs::metadata(path).map_err(|error| cannot(error.to_string()))?;
        if !meta.is_file() || meta.len() > LARGEST {
            return Err(cannot("it is not a file of settings".to_owned()));
        }
        let text = fs::read_to_string(path).map_err(|error| cannot(error.to_string()))?;
        Self::parse(&text, &format!("in {}: ", path.display()))
    }

    fn parse(text: &str, from: &str) -> Result<Self, String> {
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            understood(line).map_err(|what| format!("{what} (`{from}{line}`)"))?;
        }
        // Which settings there are was looked at above.
        let rules = ParseRule::ALLOW_UNKNOWN_FIELDS | ParseRule::ALLOW_UNSUPPORTED_FIELDS;
        let config = SshConfig::default().parse(&mut BufReader::new(text.as_bytes()), rules);
        config.map(Self).map_err(|error| format!("{from}{error}"))
    }

    /// What they say of a host.
    pub(super) fn of(&self, host: &str) -> HostParams {
        self.0.query(host)
    }
}

/// Whether our sessions can do what a line says.
fn understood(line: &str) -> Result<(), String> {
    let (name, value) =
        line.split_once(|c: char| c == '=' || c.is_whitespace()).unwrap_or((line, ""));
    let name = name.to_ascii_lowercase();
    let value = value.trim_matches(|c: char| c == '=' || c == '"' || c.is_whitespace());
    let known = APPLIED.contains(&&*name) || NOTHING_TO_DO.contains(&&*name) || name == "host";
    match &*name {
        // Public keys are all that we log in by.
        "preferredauthentications" if value.split(',').any(|way| way == "publickey") => Ok(()),
        "pubkeyauthentication" if value.eq_ignore_ascii_case("yes") => Ok(()),
        // Words that stand for something else, as `%h` does.
        _ if known && value.contains('%') => Err(format!("our ssh sessions do not know {value}")),
        _ if known => Ok(()),
        _ => Err("our ssh sessions do not know this setting".to_owned()),
    }
}
