//! The command that takes the stream, in its own process group.

use super::{Context, upstream};
use crate::{
    chain::Chain,
    forward::{Blocks, Next},
    frame::Block,
    message::{Done, Message, Pace, micros},
    ring::{Reader, Ring},
};
use rustix::{
    pipe::fcntl_setpipe_size,
    process::{Pid, Signal, kill_process_group},
};
use std::{
    io,
    os::{fd::AsFd, unix::process::ExitStatusExt},
    pin::pin,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStderr, ChildStdin, Command},
    task::JoinSet,
    time::timeout,
};

/// How much of the end of standard error is kept.
const STDERR_TAIL: usize = 4 * 1024;

/// How long standard error may stay open after the command and its group are gone.
const STDERR_GRACE: Duration = Duration::from_secs(2);

/// Bytes of the pipe into the command: several blocks, so that it is not woken for each. As much as
/// the system gives to everyone.
const PIPE: usize = 1024 * 1024;

/// Blocks on the way to a command that did not keep up.
const OWN_RING: usize = 2;

/// Kills the process group it names when dropped.
struct Group(Option<Pid>);

impl Group {
    /// Kills what is left of the group; once, as its number may be used again later.
    fn kill(&mut self) {
        if let Some(group) = self.0.take() {
            // It may be gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How feeding the command ended.
enum Fed {
    /// It has the whole stream, or wants no more.
    Finished,
    /// The stream broke; that is reported by who noticed.
    Broken,
}

/// Runs the command of `Begin` on the blocks of `reader` and reports how it ended.
pub(super) async fn run(context: Context, reader: Reader) {
    match attempt(&context, reader).await {
        Ok(Some(done)) => context.settle(Message::Done(done)),
        Ok(None) => {}
        Err(why) => context.settle(Message::Failed { why }),
    }
}

/// `None` when the stream broke and the command was killed for it.
async fn attempt(context: &Context, reader: Reader) -> Result<Option<Done>, String> {
    let text = &context.begin.command;
    let mut child = spawn(text).map_err(|error| format!("cannot run `{text}`: {error}"))?;
    let mut stdin = child.stdin.take();
    let stderr = child.stderr.take();
    // Declared after `stdin`, so dropped before it: a command that is killed must not
    // see the end of its input first and take what it has for the whole.
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)));
    let mut chain = Chain::default();
    let mut tail = Vec::new();
    let ended = {
        // Standard error is read all along, or a talkative command would block on it.
        let mut errors = pin!(keep_tail(stderr, &mut tail));
        let mut life = pin!(live(context, reader, &mut child, &mut stdin, &mut chain));
        let mut open = true;
        let ended = loop {
            tokio::select! {
                ended = &mut life => break ended,
                () = &mut errors, if open => open = false,
            }
        };
        group.kill();
        if open {
            let _ = timeout(STDERR_GRACE, errors).await;
        }
        ended
    };
    Ok(ended?.map(|status| Done {
        status: code(status),
        stderr: String::from_utf8_lossy(&tail).trim_end().to_owned(),
        taken: context.progress.borrow().taken,
        digest: chain.digest(),
    }))
}

/// Feeds the command, closes its input at the end of the stream, and waits for it.
async fn live(
    context: &Context,
    reader: Reader,
    child: &mut Child,
    stdin: &mut Option<ChildStdin>,
    chain: &mut Chain,
) -> Result<Option<ExitStatus>, String> {
    if let Some(input) = stdin.as_mut()
        && let Fed::Broken = feed(context, reader, input, chain).await?
    {
        return Ok(None);
    }
    *stdin = None;
    child.wait().await.map(Some).map_err(|error| format!("cannot wait for the command: {error}"))
}

fn spawn(text: &str) -> io::Result<Child> {
    let child = Command::new("/bin/sh")
        .args(["-c", text])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    if let Some(stdin) = &child.stdin {
        // It works with a smaller one as well.
        let _ = fcntl_setpipe_size(stdin.as_fd(), PIPE);
    }
    Ok(child)
}

/// Shells say 128 + n for signal n; so do we.
fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

/// How a command takes bytes.
enum Took {
    /// All of them.
    All,
    /// It wants no more.
    Enough,
}

/// Writes the stream into the command. The blocks have been checked by [`upstream`], in the
/// very memory they are written from; those taken whole go into `chain`.
async fn feed(
    context: &Context,
    mut reader: Reader,
    stdin: &mut ChildStdin,
    chain: &mut Chain,
) -> Result<Fed, String> {
    let mut loose = context.loose.subscribe();
    let mut tether = Some(reader.tether());
    // Gets what the ring does not have any more; ends with this.
    let mut own = JoinSet::new();
    loop {
        let block = match reader.next().await {
            Next::Block(block) => block,
            Next::End(_) => return Ok(Fed::Finished),
            Next::Behind(_) => {
                reader = catch_up(context, &mut own)?;
                continue;
            }
            Next::Broken(loss) => {
                context.settle(Message::Broken(loss));
                return Ok(Fed::Broken);
            }
            Next::Gone => return Ok(Fed::Broken),
        };
        let took = {
            let mut writing = pin!(write(context, &block, stdin));
            let mut loosened = pin!(async { loose.wait_for(|loose| *loose).await.map(drop) });
            loop {
                tokio::select! {
                    took = &mut writing => break took?,
                    Ok(()) = &mut loosened, if tether.is_some() => {
                        if let Some(tether) = tether.take() {
                            tether.cut();
                        }
                    }
                }
            }
        };
        match took {
            Took::All => chain.add(&block),
            Took::Enough => return Ok(Fed::Finished),
        }
    }
}

/// A reader of a ring of its own, which the server fills from where the command is.
fn catch_up(context: &Context, own: &mut JoinSet<()>) -> Result<Reader, String> {
    let (offset, block) = (context.progress.borrow().taken, context.begin.block);
    let ring = Ring::new(OWN_RING, block, offset);
    let reader = ring.reader(offset, true).map_err(|gone| gone.to_string())?;
    let context = context.clone();
    own.spawn(async move { upstream::catch_up(&context, &ring, offset).await });
    Ok(reader)
}

/// Writes one block into the command.
async fn write(context: &Context, block: &Block, stdin: &mut ChildStdin) -> Result<Took, String> {
    let mut rest = &block.bytes[..];
    while !rest.is_empty() {
        let offered = Instant::now();
        let written = offer(context, stdin, rest).await?;
        context.progress.send_modify(|progress| {
            progress.taken += written.unwrap_or(0) as u64;
            progress.command.add(Pace::of(written.unwrap_or(0) as u64, offered.elapsed()));
            progress.blocked = 0;
        });
        let Some(written) = written else { return Ok(Took::Enough) };
        rest = &rest[written..];
    }
    Ok(Took::All)
}

/// Offers bytes to the command, and says how long it has been taking none; returns how many
/// it took, none if it wants no more.
async fn offer(
    context: &Context,
    stdin: &mut ChildStdin,
    bytes: &[u8],
) -> Result<Option<usize>, String> {
    let timing = context.ticket.timing;
    let offered = Instant::now();
    loop {
        match timeout(timing.beat, stdin.write(bytes)).await {
            Ok(Ok(written)) => return Ok(Some(written)),
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(None),
            Ok(Err(error)) => return Err(format!("writing to the command failed: {error}")),
            Err(_) if offered.elapsed() < timing.stall => {
                context.progress.send_modify(|progress| {
                    progress.blocked = micros(offered.elapsed());
                });
            }
            Err(_) => {
                let (text, taken) = (&context.begin.command, context.progress.borrow().taken);
                let stall = timing.stall.as_secs_f32();
                return Err(format!(
                    "`{text}` was killed: it took no byte for {stall} s, after {taken}"
                ));
            }
        }
    }
}

/// Reads to the end, keeping the last [`STDERR_TAIL`] bytes.
async fn keep_tail(stderr: Option<ChildStderr>, tail: &mut Vec<u8>) {
    let Some(mut stderr) = stderr else { return };
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        tail.extend_from_slice(&buffer[..read]);
        let excess = tail.len().saturating_sub(STDERR_TAIL);
        tail.drain(..excess);
    }
}
