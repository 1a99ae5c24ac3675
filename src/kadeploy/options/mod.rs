//! The options of the old programs, as their parser read them.
//!
//! Sites have scripts that lean on what that parser allowed, and no parser of ours allows all of
//! it: any unambiguous beginning of a long option, a letter without a short option as the
//! beginning of a long one, `--no-` before every switch, values that begin with a dash. The
//! options of a program are a table of [`Opt`]; [`parse`] reads a command line by it, `help`
//! prints it.

mod help;

pub(super) use help::{help, wrap};
use std::{collections::VecDeque, fmt};

/// What follows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing.
    Nothing,
    /// A value.
    Value,
    /// A value, or nothing.
    Maybe,
    /// Nothing; there is a `--no-` form as well.
    Switch,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opt {
    /// Its letter.
    short: Option<char>,
    /// Its name, which is how it is asked for as well.
    long: &'static str,
    takes: Takes,
    /// What the help calls its value.
    value: &'static str,
    /// What the help says.
    text: &'static str,
}

impl Opt {
    /// An option without a value.
    pub(super) const fn flag(long: &'static str, text: &'static str) -> Self {
        Self { short: None, long, takes: Takes::Nothing, value: "", text }
    }

    /// One with a `--no-` form.
    pub(super) const fn switch(long: &'static str, text: &'static str) -> Self {
        Self { takes: Takes::Switch, ..Self::flag(long, text) }
    }

    /// One with a value.
    pub(super) const fn value(long: &'static str, value: &'static str, text: &'static str) -> Self {
        Self { takes: Takes::Value, value, ..Self::flag(long, text) }
    }

    /// One that may have a value.
    pub(super) const fn maybe(long: &'static str, value: &'static str, text: &'static str) -> Self {
        Self { takes: Takes::Maybe, value, ..Self::flag(long, text) }
    }

    /// What it is called, for tests.
    #[cfg(test)]
    pub(super) fn names(&self) -> Vec<String> {
        self.short.map(String::from).into_iter().chain([self.long.to_owned()]).collect()
    }

    /// The same with a letter.
    pub(super) const fn short(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }
}

/// A command line that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// There is no such option.
    Invalid(String),
    /// Several options begin like that.
    Ambiguous(String),
    /// The value is missing.
    Missing(String),
    /// It takes no value.
    Needless(String),
    /// The value is of the wrong form.
    Argument(String),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(what) => write!(f, "invalid option: {what}"),
            Self::Ambiguous(what) => write!(f, "ambiguous option: {what}"),
            Self::Missing(what) => write!(f, "missing argument: {what}"),
            Self::Needless(what) => write!(f, "needless argument: {what}"),
            Self::Argument(what) => write!(f, "invalid argument: {what}"),
        }
    }
}

/// One option of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    long: &'static str,
    /// False for the `--no-` form.
    on: bool,
    value: Option<String>,
}

/// What a command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    given: Vec<Given>,
}

impl Line {
    /// Whether the option is there, in whatever form.
    pub(super) fn has(&self, long: &str) -> bool {
        self.given.iter().any(|given| given.long == long)
    }

    /// Whether a switch is on. The last one counts.
    pub(super) fn on(&self, long: &str) -> bool {
        self.last(long).is_some_and(|given| given.on)
    }

    /// Whether a switch was turned off.
    pub(super) fn off(&self, long: &str) -> bool {
        self.last(long).is_some_and(|given| !given.on)
    }

    /// The value of an option. The last one counts.
    pub(super) fn value(&self, long: &str) -> Option<&str> {
        self.last(long)?.value.as_deref()
    }

    /// The values of an option that may be repeated.
    pub(super) fn values<'a>(&'a self, long: &'a str) -> impl Iterator<Item = &'a str> {
        self.given.iter().filter(move |given| given.long == long).filter_map(|g| g.value.as_deref())
    }

    /// The value of an option, checked.
    ///
    /// # Errors
    /// The value does not pass the check.
    pub(super) fn checked(
        &self,
        long: &str,
        check: impl Fn(&str) -> bool,
    ) -> Result<Option<&str>, Mistake> {
        match self.value(long) {
            Some(value) if !check(value) => Err(Mistake::Argument(format!("--{long} {value}"))),
            value => Ok(value),
        }
    }

    fn last(&self, long: &str) -> Option<&Given> {
        self.given.iter().rev().find(|given| given.long == long)
    }
}

/// Reads a command line. `--help` ends it: what follows is not looked at.
///
/// # Errors
/// The first mistake.
pub(super) fn parse(options: &[Opt], words: Vec<String>) -> Result<Line, Mistake> {
    let mut words = VecDeque::from(words);
    let mut line = Line::default();
    while let Some(word) = words.pop_front() {
        let given = if word == "--" {
            break;
        } else if let Some(long) = word.strip_prefix("--") {
            long_option(options, long, &mut words)?
        } else if word.len() > 1 && word.starts_with('-') {
            short_option(options, &word[1..], &mut words)?
        } else {
            // The old programs did not look at words that are no options.
            continue;
        };
        let help = given.long == "help";
        line.given.push(given);
        if help {
            break;
        }
    }
    Ok(line)
}

/// `--name`, `--name=value` and `--name value`, without the dashes.
fn long_option(options: &[Opt], word: &str, rest: &mut VecDeque<String>) -> Result<Given, Mistake> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    let written = format!("--{name}");
    let (option, on) = complete(options, name, &written)?;
    take(option, on, value, &written, rest)
}

/// `-x`, `-xvalue`, `-x value` and `-xyz`, without the dash.
fn short_option(
    options: &[Opt],
    word: &str,
    rest: &mut VecDeque<String>,
) -> Result<Given, Mistake> {
    let letter = word.chars().next().unwrap_or_default();
    let (tail, written) = (&word[letter.len_utf8()..], format!("-{letter}"));
    let (option, on) = match options.iter().find(|option| option.short == Some(letter)) {
        Some(option) => (option, true),
        None => complete(options, &letter.to_string(), &written)?,
    };
    if matches!(option.takes, Takes::Nothing | Takes::Switch) {
        if !tail.is_empty() {
            rest.push_front(format!("-{tail}"));
        }
        return Ok(Given { long: option.long, on, value: None });
    }
    let attached = (!tail.is_empty()).then(|| tail.strip_prefix('=').unwrap_or(tail).to_owned());
    take(option, on, attached, &written, rest)
}

/// The option that is called `name` or begins with it. Where one name is the beginning of all
/// others, it is the one that is meant.
fn complete<'a>(options: &'a [Opt], name: &str, written: &str) -> Result<(&'a Opt, bool), Mistake> {
    let switches = options.iter().filter(|option| option.takes == Takes::Switch);
    let negated = switches.map(|option| (format!("no-{}", option.long), option, false));
    let plain = options.iter().map(|option| (option.long.to_owned(), option, true));
    let mut found: Vec<_> = plain.chain(negated).filter(|(n, ..)| n.starts_with(name)).collect();
    found.sort_by_key(|(name, ..)| name.len());
    let Some((first, option, on)) = found.first() else {
        return Err(Mistake::Invalid(written.to_owned()));
    };
    if first != name && found.iter().any(|(other, ..)| !other.starts_with(first)) {
        return Err(Mistake::Ambiguous(written.to_owned()));
    }
    Ok((option, *on))
}

fn take(
    option: &Opt,
    on: bool,
    attached: Option<String>,
    written: &str,
    rest: &mut VecDeque<String>,
) -> Result<Given, Mistake> {
    let value = match (option.takes, attached) {
        (Takes::Nothing | Takes::Switch, Some(value)) => {
            return Err(Mistake::Needless(format!("{written}={value}")));
        }
        (Takes::Nothing | Takes::Switch, None) => None,
        (_, Some(value)) => Some(value),
        (Takes::Value, None) => {
            let missing = || Mistake::Missing(written.to_owned());
            Some(rest.pop_front().ok_or_else(missing)?)
        }
        // A dash alone is a value: standard input.
        (Takes::Maybe, None) => match rest.front() {
            Some(next) if !next.starts_with('-') || next == "-" => rest.pop_front(),
            _ => None,
        },
    };
    Ok(Given { long: option.long, on, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPTIONS: &[Opt] = &[
        Opt::flag("help", "").short('h'),
        Opt::switch("debug-mode", "").short('d'),
        Opt::switch("debug-http", "").short('H'),
        Opt::value("machine", "MACHINE", "").short('m'),
        Opt::value("limit", "N", ""),
        Opt::maybe("key", "FILE", "").short('k'),
        Opt::value("server", "STRING", "").short('S'),
        Opt::flag("server-info", "").short('I'),
        Opt::switch("wait", ""),
    ];

    fn line(words: &[&str]) -> Result<Line, Mistake> {
        parse(OPTIONS, words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn long_options_may_be_cut() {
        let read = line(&["--mach", "a", "--machine=b", "--no-w", "--debug-m"]).unwrap();
        assert_eq!(read.values("machine").collect::<Vec<_>>(), ["a", "b"]);
        assert!(read.off("wait") && read.on("debug-mode"));
        assert_eq!(line(&["--serv", "x"]).unwrap().value("server"), Some("x"));
        assert_eq!(line(&["--debug"]), Err(Mistake::Ambiguous("--debug".into())));
        assert_eq!(line(&["--zz"]).unwrap_err().to_string(), "invalid option: --zz");
    }

    #[test]
    fn letters_may_be_joined_and_stand_for_a_long_option() {
        let read = line(&["-dHmnode", "-l", "1", "-k"]).unwrap();
        assert!(read.on("debug-mode") && read.on("debug-http") && read.has("key"));
        assert_eq!((read.value("machine"), read.value("limit")), (Some("node"), Some("1")));
        assert_eq!(line(&["-z"]), Err(Mistake::Invalid("-z".into())));
    }

    #[test]
    fn values_are_taken_as_they_come() {
        assert_eq!(line(&["-m", "-x"]).unwrap().value("machine"), Some("-x"));
        assert_eq!(line(&["-m"]), Err(Mistake::Missing("-m".into())));
        assert_eq!(line(&["--wait=1"]), Err(Mistake::Needless("--wait=1".into())));
        let read = line(&["-k", "-d", "word", "--key", "file"]).unwrap();
        assert!(read.on("debug-mode"));
        assert_eq!(read.value("key"), Some("file"));
        assert_eq!(line(&["-k", "-"]).unwrap().value("key"), Some("-"));
        assert!(!line(&["--", "-d"]).unwrap().has("debug-mode"));
    }

    #[test]
    fn nothing_after_help_is_looked_at() {
        assert!(line(&["-h", "--zz"]).unwrap().has("help"));
        assert!(line(&["--zz", "-h"]).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(words in prop::collection::vec("-{0,2}[a-zé=-]{0,6}", 0..6)) {
            let _ = parse(OPTIONS, words);
        }
    }
}
