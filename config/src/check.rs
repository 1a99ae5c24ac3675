//! What a value must satisfy beyond its type.

use crate::mistake::Mistake;
use crate::read::Reader;
use crate::tree::{Data, Entry, Located};
use rustix::fs::{Access, access};
use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
};

/// A demand on a value. Those about files look at the machine, as the service's own
/// user, and change nothing there; relative paths start at the configuration directory.
#[derive(Clone, Copy)]
pub(crate) enum Check {
    None,
    /// A whole number between these, both included.
    Range(i128, i128),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list whose items have one of these words as `type`.
    Types(&'static [&'static str]),
    /// A text for which the function holds; the words say what that is.
    Text(fn(&str) -> bool, &'static str),
    /// A regular file that can be read.
    File,
    /// A file that can be executed.
    Program,
    /// A file that can be written, or created.
    NewFile,
    /// A directory that exists.
    Directory,
    /// A directory that can be read and written, or created.
    NewDirectory,
    /// A section that may be shortened: `off` for none, `on` for its defaults, a text for
    /// this key of it.
    Short(&'static str),
    /// A section in which this key is there wherever it is written, also without a value.
    Present(&'static str),
    /// A command line whose program, where it can be found, can be executed.
    Command,
}

impl Check {
    /// In words, for the documentation.
    pub(crate) fn words(self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::None => return None,
            Self::Range(min, max) => range_in_words(min, max).into(),
            Self::OneOf(words) => crate::read::one_of(words).into(),
            Self::Types(words) => format!("`type`: {}", crate::read::one_of(words)).into(),
            Self::Text(_, words) => words.into(),
            Self::Short(key) => format!("may be `off`, `on`, or its `{key}` alone").into(),
            Self::Present(key) => format!("`{key}` may stand there without a value").into(),
            Self::File => "readable file, relative to the configuration directory".into(),
            Self::Program => "program, relative to the configuration directory".into(),
            Self::NewFile => "file that can be written or created".into(),
            Self::Directory => "existing directory".into(),
            Self::NewDirectory => "directory that can be written or created".into(),
            Self::Command => "command line with an executable program".into(),
        })
    }
}

/// "a whole number from 1 to 9".
pub(crate) fn range_in_words(min: i128, max: i128) -> String {
    // The limits of the wide types say nothing to a reader.
    match (min <= i128::from(i64::MIN), max >= i128::from(u32::MAX)) {
        (true, true) => "a whole number".to_owned(),
        (false, true) => format!("a whole number from {min}"),
        (_, false) => format!("a whole number from {min} to {max}"),
    }
}

/// Checks a value; the result is the value to build from, with paths made absolute.
pub(crate) fn apply<'v>(
    check: Check,
    at: &'v Located,
    cx: &mut Reader<'_>,
) -> Option<Cow<'v, Located>> {
    match (check, &at.data) {
        (_, Data::Null) => Some(Cow::Borrowed(at)),
        (Check::Range(min, max), _) => cx.integer(at, min, max).map(|_| Cow::Borrowed(at)),
        (Check::Types(words), Data::List(items)) => {
            let types = items.iter().filter_map(|item| item.get("type"));
            // No short cut: all wrong types are told.
            let wrong = types.filter(|kind| cx.word(kind, words).is_none()).count();
            (wrong == 0).then_some(Cow::Borrowed(at))
        }
        (Check::Short(key), _) => Some(Cow::Owned(in_full(key, at))),
        (Check::Present(key), _) => Some(Cow::Owned(with_section(key, at))),
        (_, Data::Text(text)) if text.is_empty() => Some(Cow::Borrowed(at)),
        (Check::OneOf(words), Data::Text(_)) => cx.word(at, words).map(|_| Cow::Borrowed(at)),
        (Check::Text(holds, words), Data::Text(text)) => {
            if holds(text) {
                return Some(Cow::Borrowed(at));
            }
            cx.wrong(at, words);
            None
        }
        (Check::Command, Data::Text(text)) => {
            report(at, program(text), cx)?;
            Some(Cow::Borrowed(at))
        }
        (
            Check::File | Check::Program | Check::NewFile | Check::Directory | Check::NewDirectory,
            Data::Text(text),
        ) => {
            let path = cx.dir.join(text);
            report(at, path_holds(check, &path), cx)?;
            let text = path.into_os_string().into_string().unwrap_or_else(|_| text.clone());
            Some(Cow::Owned(Located { data: Data::Text(text), ..at.clone() }))
        }
        // The type is wrong, which the reader says.
        _ => Some(Cow::Borrowed(at)),
    }
}

/// A section written short, as if it were written in full.
fn in_full(key: &str, at: &Located) -> Located {
    let data = match &at.data {
        Data::Bool(false) => Data::Null,
        Data::Bool(true) => Data::Map(Vec::new()),
        Data::Text(_) => {
            let value = Located { path: at.below(key), ..at.clone() };
            Data::Map(vec![Entry { key: key.to_owned(), span: at.span, value }])
        }
        other => other.clone(),
    };
    Located { data, ..at.clone() }
}

/// A section whose key without a value is an empty section.
fn with_section(key: &str, at: &Located) -> Located {
    let mut at = at.clone();
    if let Data::Map(entries) = &mut at.data {
        let empty = |entry: &&mut Entry| entry.key == key && matches!(entry.value.data, Data::Null);
        for entry in entries.iter_mut().filter(empty) {
            entry.value.data = Data::Map(Vec::new());
        }
    }
    at
}

/// Why a demand on the machine's files is not met: what is there, and what should be.
type Unmet = (String, &'static str);

fn report(at: &Located, result: Result<(), Unmet>, cx: &mut Reader<'_>) -> Option<()> {
    result
        .map_err(|(found, expected)| {
            let found = format!("{}: {found}", at.found());
            cx.mistakes.push(Mistake::new(at, found, expected));
        })
        .ok()
}

fn path_holds(check: Check, path: &Path) -> Result<(), Unmet> {
    match check {
        Check::File => readable(path),
        Check::Program => {
            readable(path)?;
            usable(path, true, Access::EXEC_OK, "a program that can be executed")
        }
        Check::Directory => existing_directory(path),
        Check::NewFile if path.exists() => {
            let expected = "a file that can be written";
            usable(path, path.is_file(), Access::WRITE_OK, expected)
        }
        Check::NewDirectory if path.exists() => {
            let expected = "a directory that can be read and written";
            usable(path, path.is_dir(), Access::READ_OK | Access::WRITE_OK, expected)
        }
        _ => creatable(path),
    }
}

/// Whether a regular file can be read.
pub(crate) fn readable(path: &Path) -> Result<(), Unmet> {
    let expected = "a file that can be read";
    match fs::metadata(path) {
        Ok(meta) => usable(path, meta.is_file(), Access::READ_OK, expected),
        Err(error) => Err((format!("{} ({error})", path.display()), expected)),
    }
}

/// Whether there is a directory.
pub(crate) fn existing_directory(path: &Path) -> Result<(), Unmet> {
    let expected = "an existing directory";
    match fs::metadata(path) {
        Ok(meta) => usable(path, meta.is_dir(), Access::EXISTS, expected),
        Err(error) => Err((format!("{} ({error})", path.display()), expected)),
    }
}

fn usable(path: &Path, kind: bool, mode: Access, expected: &'static str) -> Result<(), Unmet> {
    if !kind {
        return Err((format!("{} is something else", path.display()), expected));
    }
    access(path, mode).map_err(|error| (format!("{} ({error})", path.display()), expected))
}

/// Whether the first ancestor that exists is a directory in which we may write.
fn creatable(path: &Path) -> Result<(), Unmet> {
    let expected = "a path that can be created";
    match path.ancestors().skip(1).find(|ancestor| ancestor.exists()) {
        Some(parent) => usable(parent, parent.is_dir(), Access::WRITE_OK, expected),
        None => Err((format!("{} has no parent directory", path.display()), expected)),
    }
}

/// Whether the program of a command line can be executed. One that is not absolute and
/// not on the path is let through: it may be a word of the shell.
fn program(command: &str) -> Result<(), Unmet> {
    let expected = "a program that can be executed";
    let Some(word) = command.split_whitespace().next() else { return Ok(()) };
    let path = if word.starts_with('/') { Some(PathBuf::from(word)) } else { on_path(word) };
    match path {
        Some(path) if path.exists() => usable(&path, path.is_file(), Access::EXEC_OK, expected),
        Some(path) => Err((format!("{} does not exist", path.display()), expected)),
        None => Ok(()),
    }
}

fn on_path(word: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(word)).find(|file| file.is_file())
}

impl Reader<'_> {
    /// Records the mistake that a check on the machine's files gave, about `at`.
    pub(crate) fn demand(&mut self, at: &Located, result: Result<(), Unmet>) -> Option<()> {
        report(at, result, self)
    }
}
