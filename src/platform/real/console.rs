//! Consoles by the site's command, in a terminal as people have it.

use crate::{
    nodes::Node,
    platform::{Console, Listener},
};
use async_trait::async_trait;
use config::{
    Cluster, Config,
    model::{Level, RemoteAction},
};
use pty_process::{Command, OwnedReadPty, OwnedWritePty, Size};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{collections::HashMap, io};
use tokio::{io::AsyncReadExt, process::Child};

/// The consoles of a site, by the names of its nodes.
pub struct CommandConsole {
    commands: HashMap<String, String>,
}

impl CommandConsole {
    /// With the commands of `config`. A node whose command cannot be made has none.
    pub fn new(config: &Config) -> Self {
        let commands = config
            .nodes()
            .filter_map(|(cluster, node)| Some((node.name.clone(), of(cluster, node).ok()??)));
        Self { commands: commands.collect() }
    }
}

/// The command that is joined to the console of `node`, for the shell; none without one.
///
/// # Errors
/// The command has a word that cannot be put in.
pub fn command(config: &Config, node: &str) -> io::Result<Option<String>> {
    config.node(node).map_or(Ok(None), |(cluster, node)| of(cluster, node))
}

fn of(cluster: &Cluster, node: &config::Node) -> io::Result<Option<String>> {
    let Some(command) = cluster.command(node, RemoteAction::Console, Level::Soft) else {
        return Ok(None);
    };
    config::substitute(&command.text, &node.name).map(Some).map_err(io::Error::other)
}

#[async_trait]
impl Console for CommandConsole {
    async fn listen(&self, node: &Node) -> io::Result<Option<Box<dyn Listener>>> {
        let Some(command) = self.commands.get(&node.name) else { return Ok(None) };
        let (terminal, end) = pty_process::open().map_err(io::Error::other)?;
        terminal.resize(Size::new(24, 80)).map_err(io::Error::other)?;
        let command = Command::new("/bin/sh").arg("-c").arg(command).kill_on_drop(true);
        let child = command.spawn(end).map_err(io::Error::other)?;
        let (output, input) = terminal.into_split();
        Ok(Some(Box::new(Line { output, _input: input, child })))
    }
}

struct Line {
    output: OwnedReadPty,
    /// A command whose input ends may end as well.
    _input: OwnedWritePty,
    child: Child,
}

#[async_trait]
impl Listener for Line {
    async fn next(&mut self) -> Option<Vec<u8>> {
        let mut piece = vec![0; 4096];
        // A terminal whose command has ended answers with an error.
        let length = self.output.read(&mut piece).await.ok().filter(|length| *length > 0)?;
        piece.truncate(length);
        Some(piece)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // It is the first of its session: all that it started goes with it.
        let group = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        for signal in [Signal::HUP, Signal::KILL] {
            if let Some(group) = group {
                kill_process_group(group, signal).ok();
            }
        }
    }
}
