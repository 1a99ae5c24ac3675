//! The text of a file, and the piece of it that a message shows.

use crate::mistake::Place;
use crate::tree::Span;
use std::path::PathBuf;

/// Longest line shown whole; of a longer one the part around the place is shown.
const WIDTH: usize = 100;

/// A file that was read, kept as the lines that may be shown.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: PathBuf,
    pub(crate) text: Text,
    lines: Vec<String>,
}

/// The content of a file, which `Debug` does not show: there may be secrets in it.
pub(crate) struct Text(pub(crate) String);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

impl Source {
    /// Blots out what may not be shown.
    pub(crate) fn new(file: PathBuf, text: String) -> Self {
        let indent = |text: &str| text.len() - text.trim_start().len();
        // Indentation of the secret key whose value may go on.
        let mut secret = None;
        let mut lines = Vec::new();
        for line in text.lines() {
            let goes_on =
                secret.is_some_and(|depth| line.trim().is_empty() || indent(line) > depth);
            if goes_on {
                lines.push("***".to_owned());
                continue;
            }
            let value = secret_value(line);
            secret = value.map(|_| indent(line));
            lines.push(value.map_or_else(|| line.to_owned(), |at| format!("{} ***", &line[..at])));
        }
        Self { file, text: Text(text), lines }
    }

    /// The place of `span`, with the line it is on.
    pub(crate) fn place(&self, span: Span) -> Place {
        let line = span.line.checked_sub(1).and_then(|n| self.lines.get(n));
        let (text, caret) = window(line.map_or("", String::as_str), span.column);
        let Span { line, column, width } = span;
        Place { file: self.file.clone(), line, column, text, caret, width }
    }
}

/// Where in a line the value of a secret key starts, behind its colon. A key with a slip
/// of the pen is secret too; `password_file` holds a path.
fn secret_value(line: &str) -> Option<usize> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(':').map(|(at, _)| at).find_map(|at| {
        let key = line[..at].trim_end_matches([' ', '"', '\'']);
        let key = &key[key.trim_end_matches(is_word).len()..];
        // Most keys are told apart by their length; the distance costs.
        if !(5..=10).contains(&key.len()) {
            return None;
        }
        let near = |word| strsim::damerau_levenshtein(&key.to_ascii_lowercase(), word) <= 2;
        (near("passwd") || near("password")).then_some(at + 1)
    })
}

/// The part of a line around a column (from 1), and the column in that part.
fn window(line: &str, column: usize) -> (String, usize) {
    let line: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let column = column.min(line.len() + 1);
    let start = if line.len() <= WIDTH {
        0
    } else {
        column.saturating_sub(WIDTH / 2).min(line.len() - WIDTH)
    };
    (line.iter().skip(start).take(WIDTH).collect(), column - start)
}
