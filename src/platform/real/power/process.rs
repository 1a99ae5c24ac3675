//! One child process of the server, with a deadline, in a group of its own.

use rustix::process::{Pid, Signal, kill_process_group};
use std::{io, os::unix::process::ExitStatusExt, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::timeout,
};

/// Bytes kept of standard output: a state, or a line for a person.
const STDOUT: usize = 16 << 10;
/// Bytes kept of the end of standard error: enough for the message that matters.
const STDERR: usize = 2 << 10;
/// For output that is still in the pipes when the process has ended. A grandchild may
/// hold them open for ever (a command that leaves a daemon behind).
const DRAIN: Duration = Duration::from_millis(200);

/// What a process left behind.
#[derive(Debug)]
pub(in crate::platform) struct Ended {
    /// Exit status; 128 + n after signal n.
    pub(in crate::platform) status: i32,
    /// The beginning of standard output.
    pub(in crate::platform) stdout: String,
    /// The end of standard error.
    pub(in crate::platform) stderr: String,
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

/// Runs `command` without input for at most `deadline`; `None` when that passed. Then,
/// and when the future is dropped, every process of its group is killed.
pub(in crate::platform) async fn run(
    command: Command,
    deadline: Duration,
) -> io::Result<Option<Ended>> {
    fed(command, Vec::new(), deadline).await
}

/// The same with `input`.
pub(in crate::platform) async fn fed(
    mut command: Command,
    input: Vec<u8>,
    deadline: Duration,
) -> io::Result<Option<Ended>> {
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    attended(command, input, deadline).await
}

async fn attended(
    mut command: Command,
    input: Vec<u8>,
    deadline: Duration,
) -> io::Result<Option<Ended>> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    match timeout(deadline, attend(&mut child, &input)).await {
        Err(_) => Ok(None),
        Ok(ended) => {
            group.0 = None;
            ended.map(Some)
        }
    }
}

/// Runs what follows it in a group that ends with the process which holds the other end of its
/// standard input: with the service, also where that is killed and cannot end anything itself.
const TIED: &str = r#"
exec 3<&0 </dev/null
{ read -r _ <&3; kill -s KILL 0; } >/dev/null 2>&1 &
watcher=$!
/bin/sh -c "$1" 3<&-
status=$?
kill "$watcher"
exit "$status"
"#;

/// Runs a command of the shell without input for at most `deadline`; `None` when that passed. Every
/// process of its group is killed then, when the future is dropped, and when this process is gone:
/// what works on for hours must not do so for a service that begins it anew.
pub(in crate::platform) async fn tied(text: &str, deadline: Duration) -> io::Result<Option<Ended>> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", TIED, "kadence", text]);
    let (input, life) = io::pipe()?;
    shell.stdin(input);
    let ended = attended(shell, Vec::new(), deadline).await;
    drop(life);
    ended
}

/// Gives it `input` and reads both outputs until the process ends.
async fn attend(child: &mut Child, input: &[u8]) -> io::Result<Ended> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let feed = child.stdin.take();
    let feeding = async {
        if let Some(mut feed) = feed {
            // It may end without reading.
            feed.write_all(input).await.ok();
        }
    };
    let status = {
        let reading = async {
            tokio::join!(feeding, head(out, &mut stdout), tail(err, &mut stderr));
        };
        tokio::pin!(reading);
        tokio::select! {
            () = &mut reading => child.wait().await?,
            status = child.wait() => {
                let _ = timeout(DRAIN, reading).await;
                status?
            }
        }
    };
    let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(Ended { status, stdout: text(&stdout), stderr: text(&stderr) })
}

/// Reads to the end, keeping the first [`STDOUT`] bytes.
async fn head(stream: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    each_chunk(stream, |chunk| {
        let room = STDOUT - into.len();
        into.extend_from_slice(&chunk[..chunk.len().min(room)]);
    })
    .await;
}

/// Reads to the end, keeping the last [`STDERR`] bytes.
async fn tail(stream: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    each_chunk(stream, |chunk| {
        into.extend_from_slice(chunk);
        into.drain(..into.len().saturating_sub(STDERR));
    })
    .await;
}

async fn each_chunk(stream: Option<impl AsyncRead + Unpin>, mut take: impl FnMut(&[u8])) {
    let Some(mut stream) = stream else { return };
    let mut chunk = [0; 1024];
    // A pipe that breaks has ended.
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        take(&chunk[..count]);
    }
}
