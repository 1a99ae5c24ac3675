//! The shell port by the site's own command (`external/default_connector`): one process for each
//! command on a node, with the host and the command as its last two arguments.

use super::called::Called;
use crate::{
    nodes::Node,
    platform::{Command, Input, Output, Shell, ShellError, shell::within_deadline},
};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{io, os::unix::process::ExitStatusExt, process::Stdio, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::Child,
    sync::Semaphore,
};

/// Most processes at once; the other commands wait in line, within their deadlines.
const PROCESSES: usize = 256;

/// The exit status by which ssh says that it did not get through (ssh(1), section "EXIT STATUS").
const NOT_THROUGH: i32 = 255;

/// [`Shell`] by a command of the site.
#[derive(Debug)]
pub struct CommandShell {
    /// Shell text.
    connector: String,
    called: Called,
    processes: Arc<Semaphore>,
}

impl CommandShell {
    /// Nodes are reached by `connector`, under the names of `called`.
    pub fn new(connector: String, called: Called) -> Self {
        Self { connector, called, processes: Arc::new(Semaphore::new(PROCESSES)) }
    }

    async fn run_in_line(&self, node: &Node, command: &Command) -> Result<Output, ShellError> {
        let broken = |error: io::Error| self.unreachable(node, &error.to_string());
        let acquired = Arc::clone(&self.processes).acquire_owned().await;
        let _permit = acquired.map_err(|error| self.unreachable(node, &error.to_string()))?;
        let mut process = tokio::process::Command::new("/bin/sh");
        // The words are arguments of the shell, which does not look into them.
        process.arg("-c").arg(format!("{} \"$@\"", self.connector)).arg("kadence");
        process.arg(self.called.of(node)).arg(command.errand.in_turn());
        process.stdin(stdin(&command.input).await?);
        process.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process.process_group(0).kill_on_drop(true).spawn().map_err(broken)?;
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        let ended = attend(&mut child, &command.input, command.output_limit).await;
        let ended = ended.map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => {
                ShellError::Output { node: node.name.clone(), limit: command.output_limit }
            }
            _ => broken(error),
        })?;
        group.0 = None;
        if ended.status == NOT_THROUGH {
            return Err(self.unreachable(node, String::from_utf8_lossy(&ended.stderr).trim()));
        }
        Ok(ended)
    }

    fn unreachable(&self, node: &Node, why: &str) -> ShellError {
        let address = self.called.of(node);
        let why = format!("`{}`: {why}", self.connector);
        ShellError::Unreachable { node: node.name.clone(), address, why }
    }
}

#[async_trait::async_trait]
impl Shell for CommandShell {
    async fn run(&self, node: &Node, command: &Command) -> Result<Output, ShellError> {
        within_deadline(node, command, self.run_in_line(node, command)).await
    }

    // Nothing is kept of a node between two commands.
    async fn forget(&self, _node: &Node) {}
}

/// Kills the group of a process when dropped, unless it was spared.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It fails where all have ended: just as well.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn stdin(input: &Input) -> Result<Stdio, ShellError> {
    let Input::File(path) = input else {
        return Ok(if matches!(input, Input::Empty) { Stdio::null() } else { Stdio::piped() });
    };
    let cannot = |error: io::Error| ShellError::Input {
        path: path.display().to_string(),
        why: error.to_string(),
    };
    let file = tokio::fs::File::open(path).await.map_err(cannot)?;
    if !file.metadata().await.map_err(cannot)?.is_file() {
        return Err(cannot(io::Error::other("not a regular file")));
    }
    Ok(file.into_std().await.into())
}

/// Gives it its input and reads both outputs until the process ends.
async fn attend(child: &mut Child, input: &Input, limit: usize) -> io::Result<Output> {
    let (out, err, feed) = (child.stdout.take(), child.stderr.take(), child.stdin.take());
    let feeding = async {
        if let (Some(mut feed), Input::Bytes(bytes)) = (feed, input) {
            // It may end without reading.
            feed.write_all(bytes).await.ok();
        }
        Ok(())
    };
    let ((), stdout, stderr) = tokio::try_join!(feeding, all(out, limit), all(err, limit))?;
    let status = child.wait().await?;
    let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(Output { status, stdout: stdout.into(), stderr: stderr.into() })
}

/// Reads to the end; more than `limit` bytes are an error of their own kind.
async fn all(stream: Option<impl AsyncRead + Unpin>, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(stream) = stream else { return Ok(bytes) };
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    stream.take(most).read_to_end(&mut bytes).await?;
    if bytes.len() > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests;
