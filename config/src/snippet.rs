//! The text of a file, and the piece of it that a message shows.

use crate::mistake::Place;
use crate::tree::Span;
use std::path::PathBuf;

/// Longest line shown whole; of a longer one the part around the place is shown.
const WIDTH: usize = 100;

/// A file that was read.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: PathBuf,
    pub(crate) text: String,
}

impl Source {
    /// The place of `span` with the line it is on, secrets blotted out.
    pub(crate) fn place(&self, span: Span) -> Place {
        let text = span.line.checked_sub(1).and_then(|n| self.text.lines().nth(n));
        let hidden = span.line > 1 && self.inside_secret(span.line);
        let line = text.map(|line| if hidden { "***".to_owned() } else { blotted(line) });
        let (line, column) = window(line.unwrap_or_default(), span.column);
        Place {
            file: self.file.clone(),
            line: span.line,
            column: span.column,
            text: line,
            caret: column,
            width: span.width,
        }
    }

    /// Whether a line continues the value of a secret key on an earlier one.
    fn inside_secret(&self, line: usize) -> bool {
        let indent = |text: &str| text.len() - text.trim_start().len();
        let mut secret = None;
        for text in self.text.lines().take(line).filter(|text| !text.trim().is_empty()) {
            if secret.is_some_and(|depth| indent(text) > depth) {
                continue;
            }
            secret = after_secret_key(text).is_some().then(|| indent(text));
            if std::ptr::eq(text, self.text.lines().nth(line - 1).unwrap_or_default()) {
                return false;
            }
        }
        secret.is_some()
    }
}

/// Where the value of a secret key starts in a line.
fn after_secret_key(line: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    ["passwd", "password"]
        .iter()
        .filter_map(|word| {
            let mut from = 0;
            while let Some(at) = lower[from..].find(word) {
                let end = from + at + word.len();
                let rest = lower[end..].trim_start_matches(['"', '\'', ' ']);
                if rest.starts_with(':') {
                    return Some(lower.len() - rest.len() + 1);
                }
                from = end;
            }
            None
        })
        .min()
}

/// A line with everything after a secret key hidden.
fn blotted(line: &str) -> String {
    match after_secret_key(line) {
        Some(at) => format!("{} ***", &line[..at]),
        None => line.to_owned(),
    }
}

/// The part of a line around a column (from 1), and the column in that part.
fn window(line: String, column: usize) -> (String, usize) {
    let line: Vec<char> = line.chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
    if line.len() <= WIDTH {
        return (line.into_iter().collect(), column);
    }
    let start = column.saturating_sub(WIDTH / 2).min(line.len().saturating_sub(WIDTH));
    let part = line.iter().skip(start).take(WIDTH);
    (part.collect(), column.saturating_sub(start))
}
