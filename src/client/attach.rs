//! A terminal on the console of a node. Ctrl-] leaves it.

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use std::io::{self, Read, Write, stdin, stdout};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

/// What leaves the terminal: Ctrl-], as in telnet.
const ESCAPE: u8 = 0x1d;
/// Keystrokes on their way to the node.
const QUEUE: usize = 16;

/// The terminal passes every key on while this lives.
struct Raw(Termios);

impl Raw {
    fn new() -> Option<Self> {
        if !isatty(stdin()) {
            return None;
        }
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Flush, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is nobody left to tell if the terminal is gone.
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &self.0);
    }
}

/// Joins standard input and output to `stream` until Ctrl-] is typed or the other side ends. When
/// standard input ends, the node is only listened to.
///
/// # Errors
/// The stream breaks, or standard output cannot be written.
pub async fn attach(stream: impl AsyncRead + AsyncWrite) -> io::Result<()> {
    let _raw = Raw::new();
    let (keys, mut typed) = mpsc::channel(QUEUE);
    // A thread of its own: a read of standard input cannot be taken back.
    std::thread::spawn(move || read_keys(&keys));
    let (read, mut write) = tokio::io::split(stream);
    tokio::pin!(read);
    let mut buffer = [0; 4096];
    loop {
        tokio::select! {
            got = read.read(&mut buffer) => {
                let count = got?;
                if count == 0 {
                    return Ok(());
                }
                let mut out = stdout().lock();
                out.write_all(&buffer[..count]).and_then(|()| out.flush())?;
            }
            Some(text) = typed.recv() => {
                let (text, leave) = until_escape(&text);
                write.write_all(text).await?;
                if leave {
                    return Ok(());
                }
            }
        }
    }
}

fn read_keys(keys: &mpsc::Sender<Vec<u8>>) {
    let mut buffer = [0; 256];
    while let Ok(count @ 1..) = stdin().lock().read(&mut buffer) {
        if keys.blocking_send(buffer[..count].to_vec()).is_err() {
            return;
        }
    }
}

/// What is before the escape, and whether there was one.
fn until_escape(text: &[u8]) -> (&[u8], bool) {
    match text.iter().position(|byte| *byte == ESCAPE) {
        Some(at) => (&text[..at], true),
        None => (text, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_escape_leaves_and_is_not_sent() {
        assert_eq!(until_escape(b"root\r"), (&b"root\r"[..], false));
        assert_eq!(until_escape(b"ls\x1dignored"), (&b"ls"[..], true));
    }
}
