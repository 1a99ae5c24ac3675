//! The terminal: its width, words without an echo, and letters as they are typed.

use rustix::{
    fd::AsFd,
    process::getpgrp,
    termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr},
};
use std::{
    env,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, IsTerminal, Write, stdin},
};
use tokio::sync::watch;

/// Width where nobody tells one.
pub(super) const WIDTH: usize = 80;

/// How wide texts may be.
pub(super) fn columns() -> usize {
    let told = env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    told.filter(|columns| *columns > 0).unwrap_or(WIDTH)
}

/// Asks for a password. The answer is not shown.
///
/// # Errors
/// There is no terminal.
pub(super) fn ask_password() -> io::Result<String> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    terminal.write_all(b"Password: ")?;
    let mut line = String::new();
    {
        let _quiet = Changed::new(terminal.try_clone()?, |modes| {
            modes.local_modes.remove(LocalModes::ECHO);
        })?;
        BufReader::new(&terminal).read_line(&mut line)?;
    }
    terminal.write_all(b"\n")?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// A terminal that behaves in another way while this lives.
#[derive(Debug)]
pub(super) struct Changed {
    terminal: File,
    before: Termios,
}

impl Changed {
    /// Every letter comes as it is typed, and none means anything to the terminal.
    ///
    /// # Errors
    /// Standard input is no terminal.
    pub(super) fn raw() -> io::Result<Self> {
        let terminal = File::from(stdin().as_fd().try_clone_to_owned()?);
        Self::new(terminal, Termios::make_raw)
    }

    fn new(terminal: File, change: impl FnOnce(&mut Termios)) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut modes = before.clone();
        change(&mut modes);
        tcsetattr(&terminal, OptionalActions::Flush, &modes)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        // It may have gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Whether keys come to this process. One in the background that reads from its terminal is stopped.
fn is_in_front() -> bool {
    let terminal = stdin();
    let front = tcgetpgrp(&terminal);
    terminal.is_terminal() && front.is_ok_and(|group| group == getpgrp())
}

/// How often Enter was pressed. Nobody presses it where standard input is no terminal.
pub(super) fn presses() -> watch::Receiver<u64> {
    let (sender, presses) = watch::channel(0);
    if is_in_front() {
        // A thread of its own: a read of standard input cannot be taken back.
        std::thread::spawn(move || {
            for _ in stdin().lines().map_while(Result::ok) {
                sender.send_modify(|count| *count += 1);
                if sender.is_closed() {
                    break;
                }
            }
        });
    }
    presses
}
