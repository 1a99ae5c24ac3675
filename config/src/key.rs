//! What a key is: the declaration from which reader and documentation follow.

use crate::check::Check;
use std::borrow::Cow;

/// A key of a section.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) spec: Spec,
    pub(crate) shape: fn() -> Shape,
}

/// Everything about a key but its name, its type and its words.
#[derive(Clone, Copy)]
pub(crate) struct Spec {
    pub(crate) need: Need,
    pub(crate) check: Check,
    pub(crate) effect: Effect,
    pub(crate) reload: bool,
}

/// What happens when a key is absent (or explicitly null).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It is a mistake.
    Mandatory,
    /// The value has no content; for a section, all its keys take their defaults.
    Optional,
    /// This YAML text is read in its place, with the same checks.
    Default(&'static str),
}

/// What a key does today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It works.
    Now,
    /// It is known and checked, and changes nothing: why.
    Without(&'static str),
    /// It is known and checked; what it meant is done by something else.
    Replaced(&'static str),
}

/// The form of a value, for readers of the documentation.
pub(crate) enum Shape {
    Leaf(Cow<'static, str>),
    Section(&'static [Key]),
    List(Box<Shape>),
    /// A map whose keys are names of the site's own.
    Named(Box<Shape>),
}

/// What [`crate::read::Value::fixed`] says of one key of a section. Where a whole section is to
/// stay as it is, the key in it that changed is named.
pub(crate) fn fixed<T: crate::read::Value + PartialEq>(
    mut keys: std::slice::Iter<'_, Key>,
    name: &str,
    (now, then): (&T, &T),
    (path, all): (&str, bool),
    changed: &mut Vec<String>,
) {
    let Some(key) = keys.find(|key| key.name == name).filter(|_| now != then) else { return };
    let path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    let (before, all) = (changed.len(), all || !key.spec.reload);
    now.fixed(then, &path, all, changed);
    if all && changed.len() == before {
        changed.push(path);
    }
}

impl Shape {
    pub(crate) const fn leaf(text: &'static str) -> Self {
        Self::Leaf(Cow::Borrowed(text))
    }

    /// The type in words.
    pub(crate) fn kind(&self) -> Cow<'static, str> {
        match self {
            Self::Leaf(text) => text.clone(),
            Self::Section(_) => "section".into(),
            Self::List(of) => format!("list of {}", of.kind()).into(),
            Self::Named(of) => format!("map of names to {}", of.kind()).into(),
        }
    }
}

const fn spec(need: Need) -> Spec {
    Spec { need, check: Check::None, effect: Effect::Now, reload: true }
}

/// A key that must be there.
pub(crate) const fn mandatory() -> Spec {
    spec(Need::Mandatory)
}

/// A key whose absence means "none", or for a section "all defaults".
pub(crate) const fn optional() -> Spec {
    spec(Need::Optional)
}

/// A key that takes the value written in `yaml` when it is absent.
pub(crate) const fn default(yaml: &'static str) -> Spec {
    spec(Need::Default(yaml))
}

impl Spec {
    /// The value must pass `check`.
    pub(crate) const fn check(mut self, check: Check) -> Self {
        self.check = check;
        self
    }

    /// It changes nothing, for the reason `why`.
    pub(crate) const fn without(mut self, why: &'static str) -> Self {
        self.effect = Effect::Without(why);
        self
    }

    /// The feature is done by `what`.
    pub(crate) const fn replaced(mut self, what: &'static str) -> Self {
        self.effect = Effect::Replaced(what);
        self
    }

    /// A change needs a restart of the service.
    pub(crate) const fn fixed(mut self) -> Self {
        self.reload = false;
        self
    }
}
