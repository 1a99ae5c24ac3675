//! The command lines of Kadeploy 3: `kadence` called by one of its names is that program.
//!
//! They are programs of their own beside the verbs of [`crate::cli`]: scripts of sites lean on
//! each of their options, on what they print and write and on their exit codes, and they speak
//! to servers of Kadeploy as well as to ours, request for request as the old ones did.
//!
//! * `options` – command lines, as the old parser read them, and `--help`
//! * `session` – who asks which servers for which nodes; what all programs can do
//! * `http` – one server; `failure` – what its errors mean for the exit code
//! * `channels`, `terminal` – where is written, and the person in front of it
//! * `export` – the file server that hands local files to the services
//! * `description`, `choices` – environments, and options that several programs share
//! * `workflow` – an operation, from the request to the files about its end
//! * one file for each program; `daemon` is `kadeploy3d`, the service, and `admin` is `kaadmin3`

mod admin;
mod channels;
mod choices;
mod console;
mod daemon;
mod deploy;
mod description;
mod env;
mod export;
mod failure;
mod http;
mod info;
mod nodes;
mod options;
mod power;
mod reboot;
mod rights;
mod session;
mod state;
mod statistics;
mod table;
mod terminal;
mod workflow;

use channels::Channels;
use failure::Failure;
use options::{Line, Opt};
use session::{Begun, Session};
use std::{ffi::OsStr, path::Path, process::ExitCode};

/// What the process was called as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// A program that talks to services.
    Client(Program),
    /// `kadeploy3d`, a service itself.
    Daemon,
    /// `kaadmin3`, which installs what is published.
    Admin,
}

impl Called {
    /// What was called as `zeroth`, if it is one of the old programs.
    pub fn by(zeroth: &OsStr) -> Option<Self> {
        let name = Path::new(zeroth).file_name()?.to_str()?;
        if name == daemon::NAME {
            return Some(Self::Daemon);
        }
        if name == admin::NAME {
            return Some(Self::Admin);
        }
        Program::ALL.into_iter().find(|program| program.name() == name).map(Self::Client)
    }

    /// Every name that means something.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Program::ALL.into_iter().map(Program::name).chain([daemon::NAME, admin::NAME])
    }

    /// Runs it with the words after its name. To be called before the process has opened
    /// anything: its caller may have opened descriptors for it.
    pub fn run(self, words: Vec<String>) -> ExitCode {
        match self {
            Self::Client(program) => program.run(words),
            Self::Daemon => daemon::run(&words),
            Self::Admin => admin::run(words),
        }
    }
}

/// One of the old programs that talk to services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `kadeploy3`.
    Deploy,
    /// `kareboot3`.
    Reboot,
    /// `kapower3`.
    Power,
    /// `kaenv3`.
    Environments,
    /// `kanodes3`.
    Nodes,
    /// `kastat3`.
    Statistics,
    /// `kaconsole3`.
    Console,
    /// `karights3`.
    Rights,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Deploy,
        Self::Reboot,
        Self::Power,
        Self::Environments,
        Self::Nodes,
        Self::Statistics,
        Self::Console,
        Self::Rights,
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deploy => "kadeploy3",
            Self::Reboot => "kareboot3",
            Self::Power => "kapower3",
            Self::Environments => "kaenv3",
            Self::Nodes => "kanodes3",
            Self::Statistics => "kastat3",
            Self::Console => "kaconsole3",
            Self::Rights => "karights3",
        }
    }

    fn options(self) -> Vec<Opt> {
        let own: &[&[Opt]] = match self {
            Self::Deploy => &[session::NODES, workflow::OPTIONS, choices::OPTIONS, deploy::OPTIONS],
            Self::Reboot => &[session::NODES, workflow::OPTIONS, choices::OPTIONS, reboot::OPTIONS],
            Self::Power => &[session::NODES, workflow::OPTIONS, power::OPTIONS],
            Self::Environments => &[env::OPTIONS],
            Self::Nodes => &[session::NODES, state::OPTIONS],
            Self::Statistics => &[session::NODES, statistics::OPTIONS],
            Self::Console => &[session::NODES],
            Self::Rights => &[rights::OPTIONS],
        };
        session::COMMON.iter().chain(own.iter().copied().flatten()).copied().collect()
    }

    fn check(self, line: &Line) -> Result<(), Failure> {
        match self {
            Self::Deploy => deploy::check(line),
            Self::Reboot => reboot::check(line),
            Self::Power => power::check(line),
            Self::Environments => env::check(line),
            Self::Nodes => state::check(line),
            Self::Statistics => statistics::check(line),
            Self::Console => console::check(line),
            Self::Rights => rights::check(line),
        }
    }

    async fn work(self, session: Session) -> Result<(), Failure> {
        match self {
            Self::Deploy => deploy::run(session).await,
            Self::Reboot => reboot::run(session).await,
            Self::Power => power::run(session).await,
            Self::Environments => env::run(session).await,
            Self::Nodes => state::run(session).await,
            Self::Statistics => statistics::run(session).await,
            Self::Console => console::run(session).await,
            Self::Rights => rights::run(session).await,
        }
    }

    fn run(self, words: Vec<String>) -> ExitCode {
        let channels = Channels::inherited();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let done = match runtime {
            Ok(runtime) => {
                let done = runtime.block_on(Box::pin(self.begin(words, channels)));
                // A thread may still wait for a key.
                runtime.shutdown_background();
                done
            }
            Err(error) => Err(Failure::usage(error.to_string())),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                if !failure.text.is_empty() {
                    channels::warn(&failure.text);
                }
                ExitCode::from(failure.code)
            }
        }
    }

    async fn begin(self, words: Vec<String>, channels: Channels) -> Result<(), Failure> {
        match session::begin(self, words, channels, |line| self.check(line)).await? {
            Begun::Done => Ok(()),
            Begun::Work(session) => self.work(*session).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_program_is_known_by_its_name() {
        let by = |name: &str| Called::by(OsStr::new(name));
        assert_eq!(by("/usr/bin/kadeploy3"), Some(Called::Client(Program::Deploy)));
        assert_eq!(by("kapower3"), Some(Called::Client(Program::Power)));
        assert_eq!(by("kadeploy3d"), Some(Called::Daemon));
        assert_eq!(by("kadence"), None);
    }

    #[test]
    fn no_option_means_two_things() {
        for program in Program::ALL {
            let mut seen = HashSet::new();
            for option in program.options() {
                let names = option.names();
                assert!(names.iter().all(|name| seen.insert(name.clone())), "{names:?}");
            }
        }
    }
}
