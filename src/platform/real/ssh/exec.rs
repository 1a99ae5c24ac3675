//! One command over a connection: input fed, both outputs drained, nothing waits
//! for anything but the socket.

use super::link::Link;
use crate::{
    nodes::Node,
    platform::{Command, Input, Output, ShellError},
};
use rustix::event::{PollFd, PollFlags, poll};
use ssh2::{BlockDirections, Channel, ErrorCode, Session, Stream};
use std::{
    fs::File,
    io::{self, Cursor, Read, Write},
    net::SocketAddr,
};

/// Bytes moved by one call; libssh2 sends at most 32 700 per packet.
const CHUNK: usize = 32_000;
/// libssh2: try again when the socket is ready.
const EAGAIN: i32 = -37;

/// Why a command gave no exit status.
pub(super) enum Failure {
    /// The connection was dead before the command was sent.
    NotStarted(String),
    /// The connection broke; the command may have run.
    Broken(String),
    /// More output than allowed.
    TooMuch,
    /// The input file cannot be read: path and reason.
    Input((String, String)),
}

impl Failure {
    /// As the port tells it.
    pub(super) fn at(self, node: &Node, address: SocketAddr, command: &Command) -> ShellError {
        match self {
            Self::NotStarted(why) | Self::Broken(why) => super::unreachable(node, address, why),
            Self::TooMuch => {
                ShellError::Output { node: node.name.clone(), limit: command.output_limit }
            }
            Self::Input((path, why)) => ShellError::Input { path, why },
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Standard input on its way.
pub(super) struct Feed {
    /// What is left to read; `None` at its end.
    source: Option<Box<dyn Read + Send>>,
    path: String,
    chunk: Vec<u8>,
    /// How much of `chunk` was sent.
    sent: usize,
    closed: bool,
}

impl Feed {
    /// Opens `input`; on failure its path and the reason.
    pub(super) fn open(input: &Input) -> Result<Self, (String, String)> {
        let mut path = String::new();
        let source: Option<Box<dyn Read + Send>> = match input {
            Input::Empty => None,
            Input::Bytes(bytes) => Some(Box::new(Cursor::new(bytes.clone()))),
            Input::File(file) => {
                path = file.display().to_string();
                let open = File::open(file).map_err(|error| (path.clone(), error.to_string()))?;
                // Reading from a pipe or a terminal could block for ever.
                if !open.metadata().is_ok_and(|meta| meta.is_file()) {
                    return Err((path, "not a regular file".into()));
                }
                Some(Box::new(open))
            }
        };
        Ok(Self { source, path, chunk: Vec::new(), sent: 0, closed: false })
    }

    /// Sends what can be sent now; whether anything was.
    fn step(&mut self, channel: &mut Channel) -> Result<bool, Failure> {
        if self.closed {
            return Ok(false);
        }
        self.refill()?;
        if self.chunk.is_empty() {
            self.closed = !would_block(channel.send_eof())?;
            return Ok(self.closed);
        }
        match channel.write(&self.chunk[self.sent..]) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.sent += count;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the next chunk when the last is sent; empty at the end.
    fn refill(&mut self) -> Result<(), Failure> {
        if self.sent < self.chunk.len() {
            return Ok(());
        }
        self.sent = 0;
        self.chunk.clear();
        if let Some(source) = &mut self.source {
            let read = source.by_ref().take(CHUNK as u64).read_to_end(&mut self.chunk);
            read.map_err(|error| Failure::Input((self.path.clone(), error.to_string())))?;
        }
        if self.chunk.is_empty() {
            self.source = None;
        }
        Ok(())
    }
}

/// Runs `text` over `link` until the node has closed the channel, keeping at most
/// `limit` bytes per stream. Blocks until the link's socket is shut down. After a
/// failure the link is cut.
pub(super) fn run(link: &Link, text: &str, feed: Feed, limit: usize) -> Result<Output, Failure> {
    let session = &link.session;
    session.set_blocking(true);
    let started = session.channel_session().map_err(|e| Failure::NotStarted(e.message().into()));
    let result = started.and_then(|mut channel| {
        let result = channel
            .exec(text)
            .map_err(|error| Failure::Broken(error.message().into()))
            .and_then(|()| pump(link, &mut channel, feed, limit));
        if result.is_err() {
            // Before the channel is freed, which would wait for the node's consent.
            link.cut();
        }
        result
    });
    if result.is_err() {
        link.cut();
    }
    session.set_blocking(true);
    result
}

fn pump(
    link: &Link,
    channel: &mut Channel,
    mut feed: Feed,
    limit: usize,
) -> Result<Output, Failure> {
    let session = &link.session;
    session.set_blocking(false);
    let mut chunk = vec![0; CHUNK];
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (mut out, mut err) = (channel.stream(0), channel.stderr());
    loop {
        // Each call may have something left to send: its direction counts.
        let mut turn = Turn { session, progress: false, sending: false };
        turn.note(drain(&mut out, &mut chunk, &mut stdout, limit)?);
        turn.note(drain(&mut err, &mut chunk, &mut stderr, limit)?);
        turn.note(feed.step(channel)?);
        // The end of output is not the end: the command may still read.
        if channel.eof() && !would_block(channel.wait_close())? {
            break;
        }
        if !turn.progress && !could_move(channel, &feed, turn.sending) {
            turn.wait(link)?;
        }
    }
    let status = exit_status(channel)?;
    session.set_blocking(true);
    // Where it fails, the connection is found dead by the next command.
    let _ = channel.close();
    Ok(Output { status, stdout: stdout.into(), stderr: stderr.into() })
}

/// Whether there is something to do that the socket will not announce: every call
/// of a turn reads the socket for all streams, so a later one may have queued what
/// an earlier one waits for.
fn could_move(channel: &Channel, feed: &Feed, sending: bool) -> bool {
    let room = !feed.closed && !sending && channel.write_window().remaining > 0;
    room || channel.read_window().available > 0
}

/// One round over the streams.
struct Turn<'a> {
    session: &'a Session,
    progress: bool,
    sending: bool,
}

impl Turn<'_> {
    fn note(&mut self, progress: bool) {
        self.progress |= progress;
        self.sending |= matches!(
            self.session.block_directions(),
            BlockDirections::Outbound | BlockDirections::Both
        );
    }

    /// Waits until the socket can be read, or written where something is left to send.
    /// No time limit: whoever gives the command up shuts the socket down.
    fn wait(&self, link: &Link) -> Result<(), Failure> {
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, self.sending);
        match poll(&mut [PollFd::new(link.events(), flags)], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Failure::Broken(error.to_string())),
        }
    }
}

/// Takes what has arrived; whether anything had.
fn drain(
    stream: &mut Stream,
    chunk: &mut [u8],
    into: &mut Vec<u8>,
    limit: usize,
) -> Result<bool, Failure> {
    let mut progress = false;
    loop {
        match stream.read(chunk) {
            Ok(0) => return Ok(progress),
            Ok(count) if into.len() + count > limit => return Err(Failure::TooMuch),
            Ok(count) => {
                into.extend_from_slice(&chunk[..count]);
                progress = true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(progress),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether a call has to be made again.
fn would_block(result: Result<(), ssh2::Error>) -> Result<bool, Failure> {
    match result {
        Ok(()) => Ok(false),
        Err(error) if error.code() == ErrorCode::Session(EAGAIN) => Ok(true),
        Err(error) => Err(Failure::Broken(error.message().into())),
    }
}

fn exit_status(channel: &Channel) -> Result<i32, Failure> {
    let broken = |error: ssh2::Error| Failure::Broken(error.message().into());
    match channel.exit_signal().map_err(broken)?.exit_signal {
        Some(name) => Ok(128 + signal_number(&name)),
        None => channel.exit_status().map_err(broken),
    }
}

/// The number of a signal by its name in RFC 4254 section 6.10; 0 for an unknown one.
fn signal_number(name: &str) -> i32 {
    match name {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ILL" => 4,
        "ABRT" => 6,
        "FPE" => 8,
        "KILL" => 9,
        "USR1" => 10,
        "SEGV" => 11,
        "USR2" => 12,
        "PIPE" => 13,
        "ALRM" => 14,
        "TERM" => 15,
        _ => 0,
    }
}
