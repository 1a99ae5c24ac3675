//! The command by which nodes are reached (`external/default_connector`), understood.
//!
//! Of an ssh command line everything that has a meaning for the service's own sessions is taken
//! over, from its options and from the file that it names (`-F`). Any other program or option
//! leaves it a command, which is then run as it is written.

mod directives;
mod login;

pub use login::{Agent, HostKeys, SshLogin};

use directives::Directives;

/// How nodes are reached.
#[derive(Clone, Debug, PartialEq)]
pub enum Connector {
    /// By the service's own ssh sessions.
    Ssh(SshConnector),
    /// By this command, one process per node: host and command are its last two arguments.
    Command {
        /// Shell text.
        text: String,
        /// Why it is not done by our own sessions.
        why: String,
    },
}

/// An ssh command line whose options all have a meaning for our own sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct SshConnector {
    /// The options, then the file that they name: of each setting the first counts.
    sources: Vec<Directives>,
}

impl Connector {
    /// Understands a command. A file of ssh's settings that it names is read.
    pub fn parse(text: &str) -> Self {
        match ssh(text) {
            Ok(ssh) => Self::Ssh(ssh),
            Err(why) => Self::Command { text: text.to_owned(), why },
        }
    }
}

impl SshConnector {
    /// How the host of this name is logged in to.
    pub fn login(&self, host: &str) -> SshLogin {
        SshLogin::of(&self.sources, host)
    }
}

/// What a shell would do more with a command line than to take it apart.
const SHELL: &[char] = &['$', '`', ';', '&', '|', '<', '>', '(', ')', '*', '?', '\n'];

fn ssh(text: &str) -> Result<SshConnector, String> {
    if text.contains(SHELL) {
        return Err("it is text for a shell".to_owned());
    }
    let words = shlex::split(text).ok_or("its quotes do not match")?;
    let (program, words) = words.split_first().ok_or("it is empty")?;
    if program.rsplit('/').next() != Some("ssh") {
        return Err(format!("`{program}` is not ssh"));
    }
    let (given, file) = options(words)?;
    let mut sources = vec![Directives::given(&given)?];
    if let Some(file) = file.filter(|file| file != "none") {
        sources.push(Directives::file(&login::at_home(&file))?);
    }
    Ok(SshConnector { sources })
}

type Setting = (String, String);

/// The options of a command line as settings, and the file that it names.
fn options(words: &[String]) -> Result<(Vec<Setting>, Option<String>), String> {
    let (mut given, mut file) = (Vec::new(), None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty());
        let mut letters = letters.ok_or_else(|| format!("`{word}` is not an option"))?.chars();
        while let Some(letter) = letters.next() {
            let setting = match letter {
                'A' => ("ForwardAgent".to_owned(), "yes".to_owned()),
                'q' => continue,
                'l' | 'p' | 'i' | 'o' | 'F' => {
                    let rest = letters.by_ref().collect::<String>();
                    let value = if rest.is_empty() { words.next().cloned() } else { Some(rest) };
                    let value = value.ok_or_else(|| format!("`-{letter}` lacks its value"))?;
                    match letter {
                        'l' => ("User".to_owned(), value),
                        'p' => ("Port".to_owned(), value),
                        'i' => ("IdentityFile".to_owned(), value),
                        'o' => named(&value)?,
                        _ => {
                            file = Some(value);
                            continue;
                        }
                    }
                }
                other => return Err(format!("our ssh sessions do not know its option `-{other}`")),
            };
            given.push(setting);
        }
    }
    Ok((given, file))
}

/// `Name=value` or `Name value`.
fn named(text: &str) -> Result<Setting, String> {
    let (name, value) = text
        .split_once(|c: char| c == '=' || c.is_whitespace())
        .ok_or_else(|| format!("`-o {text}` lacks its value"))?;
    let value = value.trim_start_matches(|c: char| c == '=' || c.is_whitespace());
    Ok((name.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests;
