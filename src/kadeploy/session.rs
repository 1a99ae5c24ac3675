//! What every program begins with: who asks whom for which nodes, and what every option that all
//! of them have does.

use super::{
    Program,
    channels::{Channels, say, warn},
    failure::Failure,
    http::{Server, User},
    nodes,
    options::{Line, Opt, help, parse},
    terminal,
};
use std::{env, path::PathBuf, process::Command};

/// The options that every program has.
pub(super) const COMMON: &[Opt] = &[
    Opt::flag("help", "Show this help").short('h'),
    Opt::flag("version", "Show the version of the server").short('v'),
    Opt::flag("server-info", "Show what the server offers").short('I'),
    Opt::flag("multi-server", "Use every server of client.conf").short('M'),
    Opt::switch("debug-http", "Show the HTTP traffic, on descriptor 4 where that is open")
        .short('H'),
    Opt::value("server", "STRING", "Use this server of client.conf").short('S'),
    Opt::switch("dry-run", "Check everything and do nothing"),
    Opt::maybe("password", "PASSWORD", "Say who you are with HTTP Basic; asks without a value"),
];

/// Which nodes, for the programs that take some.
pub(super) const NODES: &[Opt] = &[
    Opt::value("file", "MACHINELIST", "A file with a node on each line, - for standard input")
        .short('f'),
    Opt::value("machine", "MACHINE", "A node or a range of nodes, may be repeated").short('m'),
];

/// A program that was started.
#[derive(Debug)]
pub(super) struct Session {
    /// What it was told.
    pub(super) line: Line,
    /// Where it writes.
    pub(super) channels: Channels,
    /// The servers that answer.
    pub(super) servers: Vec<Server>,
    /// Whether it may be several of them.
    pub(super) several: bool,
    /// Whether the only one is not the one meant by default.
    pub(super) unusual: bool,
}

/// What a command line asks for.
pub(super) enum Begun {
    /// The work of the program.
    Work(Box<Session>),
    /// Something that is done already.
    Done,
}

/// Reads the command line of `program`.
///
/// # Errors
/// The command line or the configuration has a mistake, or no server answers.
pub(super) async fn begin(
    program: Program,
    words: Vec<String>,
    channels: Channels,
    check: impl Fn(&Line) -> Result<(), Failure>,
) -> Result<Begun, Failure> {
    let options = program.options();
    let line = parse(&options, words)?;
    if line.has("help") {
        say(help(program.name(), &options, terminal::columns()).trim_end());
        return Ok(Begun::Done);
    }
    let given = env::var("KADEPLOY3_VERSION").ok().filter(|version| !version.is_empty());
    if let (true, Some(version)) = (line.has("version"), given) {
        say(&format!("Kadeploy version: {version}"));
        return Ok(Begun::Done);
    }
    let tells = line.has("version") || line.has("server-info");
    if !tells {
        check(&line)?;
    }
    let session = session(line, channels)?.reached().await?;
    if tells {
        for server in &session.servers {
            tell(&session, server).await?;
        }
        return Ok(Begun::Done);
    }
    Ok(Begun::Work(Box::new(session)))
}

/// The session, with the servers it is to use.
fn session(line: Line, channels: Channels) -> Result<Session, Failure> {
    let dir =
        env::var_os("KADEPLOY3_CONFIG_DIR").map_or_else(|| "/etc/kadeploy3".into(), PathBuf::from);
    let client = config::load_client(&dir)
        .map_err(|mistakes| Failure::usage(mistakes.to_string().trim_end()))?
        .client;
    let user = User { name: user_name()?, password: password(&line)? };
    let trace = line.on("debug-http").then(|| channels.clone());
    let dry_run = line.on("dry-run");
    let several = line.has("multi-server");
    let named = line.value("server");
    let chosen: Vec<_> = if several {
        client.servers.iter().collect()
    } else {
        let unknown = || {
            let name = named.unwrap_or(&client.default);
            Failure::usage(format!("The server '{name}' is not defined in client.conf"))
        };
        vec![client.server(named).ok_or_else(unknown)?]
    };
    let unusual = !several && named.is_some_and(|name| name != client.default);
    let server = |entry| Server::new(entry, user.clone(), dry_run, trace.clone());
    let servers: Result<Vec<_>, _> = chosen.into_iter().map(server).collect();
    Ok(Session { line, channels, servers: servers?, several, unusual })
}

impl Session {
    /// The same with the servers that answer. One of several may be down.
    async fn reached(mut self) -> Result<Self, Failure> {
        let mut reached = Vec::new();
        for mut server in std::mem::take(&mut self.servers) {
            let there = match server.reach().await {
                Ok(()) => server.learn_prefix().await,
                Err(failure) => Err(failure),
            };
            match there {
                Ok(()) => reached.push(server),
                Err(failure) if self.several => warn(&failure.text),
                Err(failure) => return Err(failure),
            }
        }
        if reached.is_empty() {
            return Err(Failure::usage("No server can be reached"));
        }
        self.servers = reached;
        Ok(self)
    }

    /// What lines of this server begin with, where there are several.
    pub(super) fn prefix(&self, server: &Server) -> String {
        if self.several { format!("{:<10}", format!("[{}] ", server.name)) } else { String::new() }
    }

    /// The servers that have something to do, with their nodes. Where no nodes are asked for all of
    /// them have.
    ///
    /// # Errors
    /// Nobody has one of the nodes, or a list of nodes has none: that is not all of them.
    pub(super) async fn dealt(&self) -> Result<Vec<(Server, Vec<String>)>, Failure> {
        let names = nodes::named(&self.line)?;
        if names.is_empty() && nodes::asked_for(&self.line) {
            return Err(nodes::none());
        }
        if names.is_empty() {
            return Ok(self.servers.iter().map(|server| (server.clone(), Vec::new())).collect());
        }
        let mut lists = Vec::new();
        for server in &self.servers {
            lists.push(server.node_names().await?);
        }
        if !self.several {
            let list = &lists[0];
            let unknown = names.iter().find(|name| !list.iter().any(|n| nodes::may_be(name, n)));
            return match unknown {
                Some(name) => Err(nodes::unknown(name)),
                None => Ok(vec![(self.servers[0].clone(), names)]),
            };
        }
        let dealt = nodes::deal(&names, &lists)?;
        let each = self.servers.iter().cloned().zip(dealt);
        Ok(each.filter(|(_, names)| !names.is_empty()).collect())
    }
}

/// `--version` and `--server-info`.
async fn tell(session: &Session, server: &Server) -> Result<(), Failure> {
    if session.line.has("version") {
        let version = server.question("/version").await?;
        let of = if session.several { format!("({}) ", server.host()) } else { String::new() };
        say(&format!("{of}Kadeploy version: {}", version.trim()));
        return Ok(());
    }
    let info = server.question("/info").await?;
    let info =
        serde_json::from_str(&info).map_err(|_| Failure::usage("Invalid server response"))?;
    let prefix = session.prefix(server);
    for line in super::info::lines(&info, terminal::columns().saturating_sub(prefix.len())) {
        say(&format!("{prefix}{line}"));
    }
    Ok(())
}

/// Who the user is: by the environment, then by his account.
fn user_name() -> Result<String, Failure> {
    let given = ["USER", "USERNAME", "LOGNAME"].into_iter().filter_map(|name| env::var(name).ok());
    let account = || {
        // Accounts may be on another machine: the system's own program knows how to ask.
        let output = Command::new("id").arg("-nu").output().ok()?;
        let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (!name.is_empty()).then_some(name)
    };
    let name = given.into_iter().find(|name| !name.is_empty()).or_else(account);
    name.ok_or_else(|| Failure::usage("Who you are is not known: set USER"))
}

fn password(line: &Line) -> Result<Option<String>, Failure> {
    match line.value("password") {
        Some(password) => Ok(Some(password.to_owned())),
        None if line.has("password") => terminal::ask_password().map(Some).map_err(|error| {
            Failure::usage(format!(
                "The password cannot be asked for ({error}): give it with --password"
            ))
        }),
        None => Ok(None),
    }
}
