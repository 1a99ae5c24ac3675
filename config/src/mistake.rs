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
    /// What Kadeploy said of it, where it said something.
    pub(crate) old: Option<Old>,
}

/// What Kadeploy says of a mistake: scripts look for its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Old {
    /// Of a key.
    Field(String),
    /// Of a whole file, or of things that no single key says.
    Text(String),
    /// That a file cannot be read, which has no place before it.
    Unread(String),
}

impl Mistake {
    pub(crate) fn new(at: &Located, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::at(at.place(), &at.path, found, expected)
    }

    pub(crate) fn syntax(source: &Source, at: Span, found: String, expected: &str) -> Self {
        Self::at(source.place(at), "", found, expected)
    }

    /// About a file as a whole, or a key of it whose place is not known.
    pub fn file(file: PathBuf, key: &str, found: impl Into<String>, expected: &str) -> Self {
        Self::at(Place::whole(file), key, found, expected)
    }

    fn at(place: Place, key: &str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        let (key, found, expected) = (key.to_owned(), found.into(), expected.into());
        Self { place, key, found, expected, hint: None, other: None, old: None }
    }

    /// Kadeploy's own words for it, about the key.
    pub(crate) fn old(mut self, words: impl Into<String>) -> Self {
        self.old = Some(Old::Field(words.into()));
        self
    }

    /// The same, where they name no key.
    pub(crate) fn old_text(mut self, words: impl Into<String>) -> Self {
        self.old = Some(Old::Text(words.into()));
        self
    }

    /// Kadeploy's words for it begin with `what`.
    pub(crate) fn old_begins(&mut self, what: &str) {
        let words = match &self.old {
            Some(Old::Field(words) | Old::Text(words) | Old::Unread(words)) => words,
            None => &self.found,
        };
        self.old = Some(Old::Field(format!("{what}, {words}")));
    }

    /// Kadeploy's own words for it, which stand alone.
    pub(crate) fn unread(mut self, words: String) -> Self {
        self.old = Some(Old::Unread(words));
        self
    }

    /// The line that Kadeploy prints; ours, in its form, where it has no words of its own.
    fn old_line(&self) -> String {
        let file = self.place.file.file_name().unwrap_or_default().display();
        let field =
            if self.key.is_empty() { String::new() } else { format!(" [field: {}]", self.key) };
        match &self.old {
            Some(Old::Unread(words)) => words.clone(),
            Some(Old::Text(words)) => format!("Error({file}) {words}"),
            Some(Old::Field(words)) => format!("Error({file}) {words}{field}"),
            None => format!("Error({file}) {}{field}", self.found),
        }
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
        writeln!(f, "{}", self.old_line())?;
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
pub struct Mistakes {
    /// In the order of the files.
    pub all: Vec<Mistake>,
    /// What else is worth saying about them.
    pub notices: Vec<Notice>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.all.len();
        writeln!(f, "{count} mistake{} in the configuration", if count == 1 { "" } else { "s" })?;
        for mistake in &self.all {
            write!(f, "\n{mistake}\n")?;
        }
        Ok(())
    }
}

impl Mistakes {
    /// In order; a file that is used twice has its mistakes told once.
    pub(crate) fn once_each(mut all: Vec<Mistake>, mut notices: Vec<Notice>) -> Self {
        in_order(&mut all, |mistake| (&mistake.place, &mistake.key));
        all.dedup();
        in_order(&mut notices, |notice| (&notice.place, &notice.key));
        Self { all, notices }
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

impl Notice {
    /// The line that Kadeploy prints, where it has one.
    pub fn old(&self) -> Option<String> {
        let file = self.place.file.file_name().unwrap_or_default().display();
        let unused = self.class == Class::Unknown;
        unused.then(|| format!("Warning({file}) Unused field '{}'", self.key))
    }
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
