//! The only writer to the terminal: data to standard output, all else to standard error.

use serde::Serialize;
use std::io::{self, Write};

/// How a verb answers.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    /// One JSON document instead of text.
    pub json: bool,
}

impl Printer {
    /// The answer: `value` as JSON, or else the text.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn answer(self, value: &impl Serialize, text: impl FnOnce() -> String) -> io::Result<()> {
        if self.json { self.document(value) } else { write_out(&text()) }
    }

    /// `value` as JSON on standard output.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn document(self, value: &impl Serialize) -> io::Result<()> {
        write_out(&(serde_json::to_string_pretty(value)? + "\n"))
    }

    /// Text for people: standard output, or standard error where JSON is the answer.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn text(self, text: &str) -> io::Result<()> {
        if self.json {
            tell(text.trim_end_matches('\n'));
            Ok(())
        } else {
            write_out(text)
        }
    }
}

/// Data.
///
/// # Errors
/// Standard output cannot be written. A reader that has gone is no error: it has enough.
pub fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// A line for people, who may not be there.
pub fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
