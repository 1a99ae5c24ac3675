//! Leaving the terminal: the program is started once more, in a session of its own, and the one
//! at the terminal waits until that one serves. A fork would leave the runtime's threads behind.

use super::NAME;
use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    process::{Command, ExitCode, Stdio},
};

/// Tells the program that it is the one that serves.
const DETACHED: &str = "KADENCE_DETACHED";

/// What that one says once it serves.
const READY: &str = "ready";

/// Whether this is the one that serves.
pub(super) fn is_detached() -> bool {
    env::var_os(DETACHED).is_some()
}

/// Starts the one that serves; the exit code of the one at the terminal.
pub(super) fn start(words: &[String]) -> io::Result<ExitCode> {
    let mut command = Command::new(env::current_exe()?);
    command.arg0(NAME).args(words).env(DETACHED, "1");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let said = child.stdout.take().map(BufReader::new);
    let ready =
        said.is_some_and(|said| said.lines().map_while(Result::ok).any(|line| line == READY));
    if ready {
        return Ok(ExitCode::SUCCESS);
    }
    // It has told why.
    let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1).max(1)))
}

/// Leaves the session of the terminal, if that is what it was started for.
pub(super) fn leave() {
    if is_detached() {
        // It fails for the leader of a session, which has left already.
        let _ = rustix::process::setsid();
    }
}

/// Tells the one at the terminal that it may end.
pub(super) fn tell_ready() {
    if is_detached() {
        let mut out = io::stdout();
        // Nobody may be there any more.
        let _ = writeln!(out, "{READY}").and_then(|()| out.flush());
        if let Ok(nothing) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
            // Its reading ends with this.
            let _ = rustix::stdio::dup2_stdout(nothing);
        }
    }
}
