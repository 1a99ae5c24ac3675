//! Putting a relay into the background: `kadence-relay start`.

use crate::{frame::PROTOCOL, message::Ticket};
use sha2::{Digest, Sha256};
use std::{
    fs, io,
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
};

/// What `run` prints when the server has welcomed it.
pub const JOINED: &str = "joined";

/// The file of this program, whatever became of its name: another start may have put the
/// same relay there anew (proc(5), `/proc/pid/exe`).
const OWN: &str = "/proc/self/exe";

/// SHA-256 of this program's file, hexadecimal: an upload is checked with it.
///
/// # Errors
/// When the file cannot be read.
pub fn digest() -> io::Result<String> {
    Ok(format!("{:x}", Sha256::digest(fs::read(OWN)?)))
}

/// What `--version` prints. A program that prints the same can be used as it is.
pub fn version() -> String {
    format!("kadence-relay {} protocol {PROTOCOL}", env!("CARGO_PKG_VERSION"))
}

/// Longest ticket: it has a few short fields.
const MAX_TICKET: u64 = 16 * 1024;

/// Why a relay did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No ticket on standard input.
    #[error("no ticket on standard input: {0}")]
    Ticket(#[from] serde_json::Error),
    /// The background process could not be made or spoken to.
    #[error("cannot run in the background: {0}")]
    Spawn(#[from] io::Error),
    /// It ended before it joined.
    #[error("{0}")]
    Run(String),
}

/// Reads a ticket.
///
/// # Errors
/// When `input` holds anything else.
pub fn read_ticket(input: impl Read) -> Result<Ticket, StartError> {
    Ok(serde_json::from_reader(input.take(MAX_TICKET))?)
}

/// Runs this program's `run` in a session of its own, with the ticket from `input` on
/// its standard input, and returns when it has joined the server. The relay itself
/// bounds the time that takes.
///
/// # Errors
/// [`StartError`]: what kept it from joining, in the relay's own words.
pub fn start(input: impl Read) -> Result<(), StartError> {
    let ticket = read_ticket(input)?;
    let mut child = Command::new(OWN)
        .arg("run")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&serde_json::to_vec(&ticket)?)?;
    }
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    match line.trim_end() {
        JOINED => Ok(()),
        "" => Err(StartError::Run("the relay ended without a word".into())),
        why => Err(StartError::Run(why.to_owned())),
    }
}
