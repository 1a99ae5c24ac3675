//! From located values to types, collecting every mistake on the way.

use crate::check;
use crate::key::{Effect, Key, Need, Shape};
use crate::mistake::{Class, Mistake, Notice, Place};
use crate::tree::{Data, Entry, Located};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

/// A type that a value of the files can have.
pub(crate) trait Value: Sized {
    /// Its form, for the documentation.
    fn shape() -> Shape;

    /// Builds it, or records in `cx` why not.
    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self>;

    /// Adds to `changed` the path of each key below `path` that is another in `then`, and whose
    /// change needs a restart: by itself, or because that is so for `all` of the section. A value
    /// that is no section has no keys.
    fn fixed(&self, _then: &Self, _path: &str, _all: bool, _changed: &mut Vec<String>) {}
}

/// The state of a reading: where files are looked up, and what was wrong so far.
pub(crate) struct Reader<'a> {
    /// The configuration directory, against which relative paths are resolved.
    pub(crate) dir: &'a Path,
    pub(crate) mistakes: Vec<Mistake>,
    pub(crate) notices: Vec<Notice>,
    /// Depth inside keys that were already reported as without effect.
    quiet: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(dir: &'a Path) -> Self {
        Self { dir, mistakes: Vec::new(), notices: Vec::new(), quiet: 0 }
    }

    /// Records a mistake about a value.
    pub(crate) fn wrong(&mut self, at: &Located, expected: impl Into<String>) {
        self.mistakes.push(Mistake::new(at, at.found(), expected));
    }

    /// Records that a value has another type than `kind`, as Kadeploy calls it.
    pub(crate) fn mistyped(&mut self, at: &Located, kind: &str, expected: impl Into<String>) {
        self.mistakes.push(Mistake::new(at, at.found(), expected).old(mistyped(kind)));
    }

    /// Records a mistake in words of its own.
    pub(crate) fn mistake(
        &mut self,
        at: &Located,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        self.mistakes.push(Mistake::new(at, found, expected));
    }

    /// Records something that stops nothing.
    pub(crate) fn notice(&mut self, place: Place, key: &str, text: impl Into<String>) {
        self.notice_of(Class::Note, place, key, text);
    }

    fn notice_of(&mut self, class: Class, place: Place, key: &str, text: impl Into<String>) {
        self.notices.push(Notice { class, place, key: key.to_owned(), text: text.into() });
    }

    /// Checks that a value is a section, and reports keys that it does not have.
    pub(crate) fn section<'v>(&mut self, at: &'v Located, keys: &[Key]) -> Option<&'v Located> {
        match &at.data {
            Data::Null => Some(at),
            Data::Map(entries) => {
                self.repeated(at, entries);
                let unknown = entries.iter().filter(|e| keys.iter().all(|key| key.name != e.key));
                for entry in unknown {
                    let names = keys.iter().map(|key| key.name);
                    let hint = nearest(&entry.key, names)
                        .map_or(String::new(), |near| format!(", did you mean `{near}`?"));
                    self.notice_of(
                        Class::Unknown,
                        at.source.place(entry.span),
                        &entry.value.path,
                        format!("unknown key, ignored{hint}"),
                    );
                }
                Some(at)
            }
            _ => {
                let names: Vec<_> = keys.iter().map(|key| format!("`{}`", key.name)).collect();
                self.mistyped(at, "Hash", format!("a section of the keys {}", names.join(", ")));
                None
            }
        }
    }

    /// Tells of keys that stand there more than once: the last one counts.
    pub(crate) fn repeated(&mut self, at: &Located, entries: &[Entry]) {
        let last: HashMap<_, _> = entries.iter().map(|entry| (&entry.key, entry)).collect();
        for entry in entries {
            let last = last[&entry.key];
            if last.span != entry.span {
                let last = at.source.place(last.span);
                let text = format!("does not count: it is there once more, at {last}");
                self.notice(at.source.place(entry.span), &entry.value.path, text);
            }
        }
    }

    /// The value of one key of a section: written or default, checked and typed.
    pub(crate) fn field<T: Value>(
        &mut self,
        section: &Located,
        keys: &[Key],
        name: &str,
    ) -> Option<T> {
        let key = keys.iter().find(|key| key.name == name)?;
        let written = section.get(name).filter(|value| !matches!(value.data, Data::Null));
        let Some(value) = written else {
            return self.unwritten(section, key, keys);
        };
        let quiet = self.tell_effect(value, key);
        self.quiet += usize::from(quiet);
        let read = self.checked(value, key);
        self.quiet -= usize::from(quiet);
        read
    }

    /// The value of a key that is not there. Where that is a mistake, the hint is the
    /// unknown key that was meant as this one.
    fn unwritten<T: Value>(&mut self, section: &Located, key: &Key, keys: &[Key]) -> Option<T> {
        let value = match key.spec.need {
            Need::Mandatory => {
                let kind = (key.shape)().kind();
                let mistake =
                    Mistake::new(section, "no such key", format!("a mandatory key: {kind}"));
                self.mistakes.push(
                    Mistake { key: section.below(key.name), ..mistake }
                        .old(MANDATORY)
                        .hint(meant_as(section, key, keys)),
                );
                return None;
            }
            Need::Optional => Located::absent(section, key.name, Data::Null),
            Need::Default(yaml) => Located::default(section, key.name, yaml),
        };
        let before = self.mistakes.len();
        let read = self.checked(&value, key);
        for mistake in &mut self.mistakes[before..] {
            mistake.hint = mistake.hint.take().or_else(|| meant_as(section, key, keys));
        }
        read
    }

    fn checked<T: Value>(&mut self, value: &Located, key: &Key) -> Option<T> {
        let before = self.mistakes.len();
        if let Some(value) = check::apply(key.spec.check, value, self) {
            return T::read(&value, self);
        }
        if !value.items().is_empty() {
            // What else is wrong with the items is told too, each only once.
            let told: Vec<_> = self.mistakes[before..].iter().map(|m| m.key.clone()).collect();
            let more = self.mistakes.len();
            T::read(value, self);
            let rest = self.mistakes.split_off(more);
            self.mistakes.extend(rest.into_iter().filter(|m| !told.contains(&m.key)));
        }
        None
    }

    /// Says that a written key has no effect yet; what is below it need not say so again.
    fn tell_effect(&mut self, value: &Located, key: &Key) -> bool {
        let (class, text) = match key.spec.effect {
            Effect::Now => return false,
            Effect::Without(why) => (Class::WithoutEffect, format!("without effect: {why}")),
            Effect::Replaced(by) => (Class::Replaced, format!("has no effect: replaced by {by}")),
        };
        if self.quiet == 0 {
            self.notice_of(class, value.place(), &value.path, text);
        }
        true
    }

    /// Records that a key is missing because of what another says.
    pub(crate) fn needed(&mut self, section: &Located, key: &str, why: impl Into<String>) {
        let mut mistake = Mistake::new(section, format!("no `{key}`"), why).old(MANDATORY);
        mistake.key = section.below(key);
        self.mistakes.push(mistake);
    }

    /// The text of a value.
    pub(crate) fn text<'v>(&mut self, at: &'v Located) -> Option<&'v str> {
        match &at.data {
            Data::Text(text) => Some(text),
            Data::Bool(_) | Data::Int(_) | Data::Float(_) => {
                let hint = Some("write it in quotes".to_owned());
                let mistake = Mistake::new(at, at.found(), "String").old(mistyped("String"));
                self.mistakes.push(mistake.hint(hint));
                None
            }
            _ => {
                self.mistyped(at, "String", "String");
                None
            }
        }
    }

    /// One of a few words. YAML reads a bare `off` as a boolean; it is taken back.
    pub(crate) fn word<'v>(&mut self, at: &'v Located, words: &[&str]) -> Option<&'v str> {
        let text = match &at.data {
            Data::Bool(false) if words.contains(&"off") => "off",
            Data::Text(text) => text,
            _ => {
                self.mistyped(at, "String", one_of(words));
                return None;
            }
        };
        if words.contains(&text) {
            return Some(text);
        }
        let hint =
            nearest(text, words.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        let mistake = Mistake::new(at, at.found(), one_of(words)).old(not_allowed(text, words));
        self.mistakes.push(mistake.hint(hint));
        None
    }

    /// A whole number in a range.
    pub(crate) fn integer(&mut self, at: &Located, min: i128, max: i128) -> Option<i128> {
        let hint = match &at.data {
            Data::Int(value) if (min..=max).contains(value) => return Some(*value),
            Data::Text(text) if text.parse::<i64>().is_ok() => Some("write it without quotes"),
            _ => None,
        };
        let mut mistake = Mistake::new(at, at.found(), check::range_in_words(min, max));
        if !matches!(at.data, Data::Int(_)) {
            mistake = mistake.old(mistyped("Integer"));
        }
        self.mistakes.push(mistake.hint(hint.map(str::to_owned)));
        None
    }

    /// The items of a list; absent means none.
    pub(crate) fn items<'v>(&mut self, at: &'v Located, of: &str) -> Option<&'v [Located]> {
        match &at.data {
            Data::Null => Some(&[]),
            Data::List(items) => Some(items),
            _ => {
                self.mistyped(at, "Array", format!("list of {of}"));
                None
            }
        }
    }
}

/// What Kadeploy says of a key that is not there.
pub(crate) const MANDATORY: &str = "The field is mandatory";

/// What it says of a value of another type than `kind`.
fn mistyped(kind: &str) -> String {
    format!("The field should have the type {kind}")
}

/// What it says of a word that is none of those allowed.
pub(crate) fn not_allowed(found: &str, words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let words = match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    };
    format!("Invalid value '{found}', allowed values are: {words}")
}

/// The unknown key of a section that was most likely meant as `key`.
fn meant_as(section: &Located, key: &Key, keys: &[Key]) -> Option<String> {
    let Data::Map(entries) = &section.data else { return None };
    let known = |name: &str| keys.iter().any(|key| key.name == name);
    let unknown = entries.iter().map(|entry| entry.key.as_str()).filter(|name| !known(name));
    nearest(key.name, unknown).map(|typo| format!("`{typo}` may be meant as `{}`", key.name))
}

/// The known name that a person most likely meant.
pub(crate) fn nearest<'n>(found: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let distance =
        |name: &str| strsim::damerau_levenshtein(&found.to_lowercase(), &name.to_lowercase());
    let (distance, name) = names.map(|name| (distance(name), name)).min_by_key(|(d, _)| *d)?;
    let allowed = (name.chars().count().max(found.chars().count()) / 3).max(1);
    (distance <= allowed).then_some(name)
}

/// "one of `a`, `b`".
pub(crate) fn one_of(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    format!("one of {}", words.join(", "))
}

impl<T: Value> Value for Option<T> {
    fn shape() -> Shape {
        T::shape()
    }

    /// An empty text means "not set", like an absent key.
    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        match &at.data {
            Data::Null => Some(None),
            Data::Text(text) if text.is_empty() => Some(None),
            _ => T::read(at, cx).map(Some),
        }
    }

    fn fixed(&self, then: &Self, path: &str, all: bool, changed: &mut Vec<String>) {
        if let (Some(now), Some(then)) = (self, then) {
            now.fixed(then, path, all, changed);
        }
    }
}

impl<T: Value> Value for Vec<T> {
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        let items = cx.items(at, &T::shape().kind())?;
        // Every item is read before the first failure counts, so that all mistakes are told.
        let items: Vec<_> = items.iter().map(|item| T::read(item, cx)).collect();
        items.into_iter().collect()
    }
}

impl<T: Value> Value for BTreeMap<String, T> {
    fn shape() -> Shape {
        Shape::Named(Box::new(T::shape()))
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        let entries = match &at.data {
            Data::Null => return Some(Self::new()),
            Data::Map(entries) => entries,
            _ => {
                cx.mistyped(at, "Hash", Self::shape().kind());
                return None;
            }
        };
        cx.repeated(at, entries);
        let items: Vec<_> = entries
            .iter()
            .map(|entry| Some((entry.key.clone(), T::read(&entry.value, cx)?)))
            .collect();
        items.into_iter().collect()
    }
}
