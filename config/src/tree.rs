//! What was written: a tree of values, each with its place and its key path.

use crate::mistake::{Mistake, Place};
use crate::snippet::Source;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::{fmt, sync::Arc};

/// Values of one file. A site of 10 000 nodes with all our keys has about 250 000.
const MAX_VALUES: usize = 2_000_000;
/// Values that aliases may repeat; generated files repeat small maps some thousand times.
const MAX_REPEATED: usize = 500_000;

/// A value where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub(crate) data: Data,
    pub(crate) span: Span,
    /// Keys from the root, joined by `/`, list positions as numbers.
    pub(crate) path: String,
    /// The file does not hold this value: it is the default.
    pub(crate) by_default: bool,
    pub(crate) source: Arc<Source>,
}

/// Where a value starts, from 1, and how many characters it has on its line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) width: usize,
}

/// The content of a value.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Located>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) span: Span,
    pub(crate) value: Located,
}

impl Located {
    pub(crate) fn place(&self) -> Place {
        self.source.place(self.span)
    }

    /// A path below this value.
    pub(crate) fn below(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}/{key}", self.path) }
    }

    /// The value of `key`, where this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.data {
            // Of several the last counts.
            Data::Map(entries) => entries.iter().rfind(|entry| entry.key == key).map(|e| &e.value),
            _ => None,
        }
    }

    /// The text, where this is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list; none where this is something else.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.data {
            Data::List(items) => items,
            _ => &[],
        }
    }

    /// The value in words, as a mistake shows it.
    pub(crate) fn found(&self) -> String {
        let what = match &self.data {
            Data::Null => "nothing".to_owned(),
            Data::Bool(value) => format!("the boolean {value}"),
            Data::Int(value) => format!("the number {value}"),
            Data::Float(value) => format!("the number {value}"),
            Data::Text(text) => format!("the text {:?}", shortened(text)),
            Data::List(items) => format!("a list of {}", items.len()),
            Data::Map(entries) => format!("a map of {} keys", entries.len()),
        };
        if self.by_default { format!("{what} (the default)") } else { what }
    }

    /// What stands in place of an absent value: placed where its section is.
    pub(crate) fn absent(section: &Self, key: &str, data: Data) -> Self {
        Self {
            data,
            span: section.span,
            path: section.below(key),
            by_default: true,
            source: Arc::clone(&section.source),
        }
    }

    /// The default written as YAML in a key's declaration.
    pub(crate) fn default(section: &Self, key: &str, yaml: &str) -> Self {
        let data = serde_saphyr::from_str::<Raw>(yaml).unwrap_or(Raw::Null);
        let value = Self::absent(section, key, Data::Null);
        let mut value = value.source.clone().locate(data, value.span, value.path);
        value.adopt(section.span);
        value
    }

    /// Everything below is by default, and its place is that of its section.
    fn adopt(&mut self, span: Span) {
        self.span = span;
        self.by_default = true;
        match &mut self.data {
            Data::List(items) => items.iter_mut().for_each(|item| item.adopt(span)),
            Data::Map(entries) => entries.iter_mut().for_each(|entry| entry.value.adopt(span)),
            _ => (),
        }
    }
}

/// A text for a message: the first line, at most 80 characters.
fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= 80 && line.len() == text.trim_end_matches('\n').len() {
        return line.to_owned();
    }
    line.chars().take(80).chain("...".chars()).collect()
}

/// Reads one YAML document. An empty one is null.
pub(crate) fn parse(source: &Arc<Source>) -> Result<Located, Box<Mistake>> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: MAX_VALUES, max_events: 2 * MAX_VALUES },
        // As the parser of Kadeploy has it: both of a key that is there twice come here, and
        // 0100 is 64.
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPEATED },
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(&source.text.0, options) {
        Ok(raw) => Ok(source.clone().locate(raw.value, span(raw.referenced), String::new())),
        Err(error) => {
            let at = error.location().map(span).unwrap_or_default();
            let (found, expected) = reason(&error);
            Err(Box::new(Mistake::syntax(source, at, found, expected)))
        }
    }
}

/// What the parser found, without its own place and snippet, and what it expected.
fn reason(error: &serde_saphyr::Error) -> (String, &'static str) {
    let text = error.without_snippet().to_string();
    let (found, expected) = if let Some((text, _)) = text.split_once("; use from_str_multiple") {
        (text, "one YAML document")
    } else {
        (text.as_str(), "well-formed YAML")
    };
    (found.split(" at line ").next().unwrap_or_default().to_owned(), expected)
}

fn span(location: serde_saphyr::Location) -> Span {
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Span {
        line: size(location.line()),
        column: size(location.column()),
        width: size(location.span().len()),
    }
}

impl Source {
    fn locate(self: Arc<Self>, raw: Raw, span: Span, path: String) -> Located {
        let below =
            |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") };
        let data = match raw {
            Raw::Null => Data::Null,
            Raw::Bool(value) => Data::Bool(value),
            Raw::Int(value) => Data::Int(value),
            Raw::Float(value) => Data::Float(value),
            Raw::Text(value) => Data::Text(value),
            Raw::List(items) => Data::List(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(n, item)| {
                        self.clone().locate(
                            item.value,
                            self::span(item.referenced),
                            below(&n.to_string()),
                        )
                    })
                    .collect(),
            ),
            Raw::Map(entries) => Data::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let path = below(&key.value);
                        Entry {
                            key: key.value,
                            span: self::span(key.referenced),
                            value: self.clone().locate(
                                value.value,
                                self::span(value.referenced),
                                path,
                            ),
                        }
                    })
                    .collect(),
            ),
        };
        Located { data, span, path, by_default: false, source: self }
    }
}

/// The tree as the parser gives it.
enum Raw {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Int(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Int(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}
