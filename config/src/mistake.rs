//! What is wrong with the files, said so that it can be mended.

use crate::snippet::Source;
use crate::tree::{Located, Span};
use std::{fmt, path::PathBuf};

/// A point in a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is shown of the line; secrets are blotted out.
    pub(crate) text: String,
    /// Column of the place in `text`.
    pub(crate) caret: usize,
    /// Characters to underline.
    pub(crate) width: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 { write!(f, ":{}:{}", self.line, self.column) } else { Ok(()) }
    }
}

/// Without the text of the line, which is for people to read.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

impl Place {
    /// A file as a whole.
    pub(crate) fn whole(file: PathBuf) -> Self {
        Self { file, line: 0, column: 0, text: String::new(), caret: 0, width: 0 }
    }

    /// The line with a caret under the place.
    fn snippet(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.trim().is_empty() {
            return Ok(());
        }
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        let indent = " ".repeat(self.caret.saturating_sub(1));
        let room = self.text.chars().count().saturating_sub(indent.len());
        let carets = "^".repeat(self.width.clamp(1, room.max(1)));
        writeln!(f, "  {gutter} |")?;
        writeln!(f, "  {number} | {}", self.text)?;
        writeln!(f, "  {gutter} | {indent}{carets}")
    }
}

/// Something that keeps the configuration from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// The key, as a path from the root of its file.
    pub key: String,
    /// What was found, in words; never a secret.
    pub found: String,
    /// What is allowed.
    pub expected: String,
    /// A way out: the nearest valid word or key.
    pub hint: Option<String>,
    /// The other place of a mistake that takes two.
    pub other: Option<Place>,
}

impl Mistake {
    pub(crate) fn new(at: &Located, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            place: at.place(),
            key: at.path.clone(),
            found: found.into(),
            expected: expected.into(),
            hint: None,
            other: None,
        }
    }

    pub(crate) fn syntax(source: &Source, at: Span, found: String, expected: &str) -> Self {
        let (place, key, expected) = (source.place(at), String::new(), expected.to_owned());
        Self { place, key, found, expected, hint: None, other: None }
    }

    pub(crate) fn file(file: PathBuf, found: impl Into<String>, expected: &str) -> Self {
        let place = Place::whole(file);
        let (key, expected) = (String::new(), expected.to_owned());
        Self { place, key, found: found.into(), expected, hint: None, other: None }
    }

    pub(crate) fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    pub(crate) fn other(mut self, other: Place) -> Self {
        self.other = Some(other);
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.key.is_empty() { "" } else { &format!(": {}", self.key) };
        writeln!(f, "{}{key}", self.place)?;
        self.place.snippet(f)?;
        writeln!(f, "  found:    {}", self.found)?;
        write!(f, "  expected: {}", self.expected)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint:     {hint}")?;
        }
        if let Some(other) = &self.other {
            write!(f, "\n  see also: {other}")?;
        }
        Ok(())
    }
}

/// All mistakes of all files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        writeln!(f, "{count} mistake{} in the configuration", if count == 1 { "" } else { "s" })?;
        for mistake in &self.0 {
            write!(f, "\n{mistake}\n")?;
        }
        Ok(())
    }
}

impl Mistakes {
    /// In order; a file that is used twice has its mistakes told once.
    pub(crate) fn once_each(mut found: Vec<Mistake>) -> Self {
        in_order(&mut found, |mistake| (&mistake.place, &mistake.key));
        found.dedup();
        Self(found)
    }
}

/// Sorts by place: files as they came, each from top to bottom; then by key.
pub(crate) fn in_order<T>(items: &mut [T], place: fn(&T) -> (&Place, &str)) {
    let mut files: Vec<PathBuf> = Vec::new();
    for item in &*items {
        if !files.contains(&place(item).0.file) {
            files.push(place(item).0.file.clone());
        }
    }
    items.sort_by_cached_key(|item| {
        let (at, key) = place(item);
        (files.iter().position(|file| *file == at.file), at.line, at.column, key.to_owned())
    });
}

impl std::error::Error for Mistakes {}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A key that there is not.
    Unknown,
    /// A key that changes nothing.
    WithoutEffect,
    /// A key of which something else does the work.
    Replaced,
    /// How something that has its effect is understood.
    Note,
}

impl Class {
    /// In a word, for programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::WithoutEffect => "without effect",
            Self::Replaced => "replaced",
            Self::Note => "note",
        }
    }
}

/// Something worth saying that stops nothing: an unknown key, a key without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub class: Class,
    /// Where.
    pub place: Place,
    /// The key, as a path from the root of its file.
    pub key: String,
    /// What there is to say.
    pub text: String,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)?;
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.text)
    }
}
