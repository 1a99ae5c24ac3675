//! Reads a hash of a description, field by field.

use super::Invalid;
use serde_json::{Map, Value};
use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

/// One hash of the description, with its place in the whole.
pub(crate) struct Fields<'a> {
    map: &'a Map<String, Value>,
    place: String,
    /// Paths of the fields that somebody asked for, here and in all hashes of the same description.
    read: Rc<RefCell<BTreeSet<String>>>,
}

impl<'a> Fields<'a> {
    /// The hash `map` found at `place` (empty for the whole).
    pub(crate) fn new(map: &'a Map<String, Value>, place: &str) -> Self {
        Self { map, place: place.to_owned(), read: Rc::default() }
    }

    /// One of its hashes.
    fn inner(&self, map: &'a Map<String, Value>, place: String) -> Self {
        Self { map, place, read: Rc::clone(&self.read) }
    }

    /// The path of `name` below this hash.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}/{name}", self.place) }
    }

    /// An error about `name`.
    pub(crate) fn wrong(&self, name: &str, message: impl Into<String>) -> Invalid {
        Invalid::Field { field: self.path(name), message: message.into() }
    }

    /// The value of `name`; null counts as absent.
    fn get(&self, name: &str) -> Option<&'a Value> {
        let value = self.map.get(name)?;
        self.read.borrow_mut().insert(self.path(name));
        (!value.is_null()).then_some(value)
    }

    fn mandatory(&self, name: &str) -> Invalid {
        self.wrong(name, "The field is mandatory")
    }

    fn mistyped(&self, name: &str, wanted: &str) -> Invalid {
        self.wrong(name, format!("The field should have the type {wanted}"))
    }

    /// A text that may be absent.
    pub(crate) fn text_or(&self, name: &str, default: &str) -> Result<String, Invalid> {
        match self.get(name) {
            None => Ok(default.to_owned()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(self.mistyped(name, "String")),
        }
    }

    /// A text that must be there and not be empty.
    pub(crate) fn text(&self, name: &str) -> Result<String, Invalid> {
        if self.get(name).is_none() {
            return Err(self.mandatory(name));
        }
        let text = self.text_or(name, "")?;
        if text.is_empty() { Err(self.wrong(name, "The field cannot be empty")) } else { Ok(text) }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &self,
        name: &str,
        allowed: &[(&str, T)],
        default: Option<T>,
    ) -> Result<T, Invalid> {
        let word = match (self.get(name), default) {
            (None, Some(default)) => return Ok(default),
            (None, None) => return Err(self.mandatory(name)),
            (Some(Value::String(word)), _) => word,
            (Some(_), _) => return Err(self.mistyped(name, "String")),
        };
        allowed.iter().find(|(known, _)| known == word).map(|(_, value)| *value).ok_or_else(|| {
            let list: Vec<_> = allowed.iter().map(|(known, _)| format!("'{known}'")).collect();
            let list = match list.split_last() {
                Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
                _ => list.concat(),
            };
            self.wrong(name, format!("Invalid value '{word}', allowed values are: {list}"))
        })
    }

    /// A whole number.
    pub(crate) fn integer_or(&self, name: &str, default: i64) -> Result<i64, Invalid> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => value.as_i64().ok_or_else(|| self.mistyped(name, "Integer")),
        }
    }

    /// A whole number that must be there.
    pub(crate) fn mandatory_integer(&self, name: &str) -> Result<i64, Invalid> {
        if self.get(name).is_none() {
            return Err(self.mandatory(name));
        }
        self.integer_or(name, 0)
    }

    /// True or false.
    pub(crate) fn boolean_or(&self, name: &str, default: bool) -> Result<bool, Invalid> {
        match self.get(name) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(self.mistyped(name, "Boolean")),
        }
    }

    /// A hash below this one.
    pub(crate) fn section(&self, name: &str) -> Result<Option<Fields<'a>>, Invalid> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(self.inner(map, self.path(name)))),
            Some(_) => Err(self.mistyped(name, "Hash")),
        }
    }

    /// A hash that must be there.
    pub(crate) fn mandatory_section(&self, name: &str) -> Result<Fields<'a>, Invalid> {
        self.section(name)?.ok_or_else(|| self.mandatory(name))
    }

    /// A list of hashes.
    pub(crate) fn sections(&self, name: &str) -> Result<Vec<Fields<'a>>, Invalid> {
        let list = match self.get(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(self.mistyped(name, "Array")),
        };
        let place = |index| format!("{}/{index}", self.path(name));
        let section = |(index, value): (usize, &'a Value)| match value {
            Value::Object(map) => Ok(self.inner(map, place(index))),
            _ => Err(Invalid::Field {
                field: place(index),
                message: "The field should have the type Hash".into(),
            }),
        };
        list.iter().enumerate().map(section).collect()
    }

    /// The fields that nobody asked for, here and in the hashes that were, as paths.
    pub(crate) fn unused(&self) -> Vec<String> {
        let mut unused = Vec::new();
        for (name, value) in self.map {
            let path = self.path(name);
            if !self.read.borrow().contains(&path) {
                unused.push(path);
                continue;
            }
            let one = value.as_object().map(|map| self.inner(map, path.clone()));
            let list = value.as_array().into_iter().flatten().enumerate();
            let list = list
                .filter_map(|(at, one)| Some(self.inner(one.as_object()?, format!("{path}/{at}"))));
            unused.extend(one.into_iter().chain(list).flat_map(|inner| inner.unused()));
        }
        unused
    }
}
