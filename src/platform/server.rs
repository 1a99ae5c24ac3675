//! The server port: commands of the site that run where the service runs.

use super::real::power::process;
use std::{io, time::Duration};
use tokio::process::Command;

/// What such a command left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerOutput {
    /// Exit status; 128 + n after signal n.
    pub status: i32,
    /// The end of its standard error.
    pub stderr: String,
}

/// Runs commands on the server.
#[async_trait::async_trait]
pub trait ServerShell: Send + Sync + 'static {
    /// Runs the shell text `command` without input for at most `deadline`; none when that
    /// passed. Then, and when the future is dropped, all its processes are killed.
    async fn run(&self, command: &str, deadline: Duration) -> io::Result<Option<ServerOutput>>;
}

/// The server itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Here;

#[async_trait::async_trait]
impl ServerShell for Here {
    async fn run(&self, command: &str, deadline: Duration) -> io::Result<Option<ServerOutput>> {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(command);
        let ended = process::run(shell, deadline).await?;
        Ok(ended.map(|ended| ServerOutput { status: ended.status, stderr: ended.stderr }))
    }
}
