//! Keys: the tree, then texts in order. What sorts first as text sorts first on
//! disk, and the key of a prefix is a prefix of the key.

use std::fmt;
use std::ops::Range;

/// Ends a text. Inside a text NUL is written `00 FF`, so the end is unmistakable.
const END: [u8; 2] = [0, 1];
const NUL: [u8; 2] = [0, 0xFF];

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tree {
    /// The store's own notes: schema version, counters.
    Meta,
    /// What happened in each workflow.
    Journal,
    /// Operations that were asked for.
    Operations,
    /// State of the nodes.
    Nodes,
    /// Recorded environments.
    Environments,
    /// Who may deploy where.
    Rights,
    /// One row per node and operation.
    Statistics,
    /// Secrets that were given out.
    Tokens,
}

const TREES: [(Tree, u8, &str); 8] = [
    (Tree::Meta, b'!', "the store's notes"),
    (Tree::Journal, b'j', "the journal"),
    (Tree::Operations, b'o', "operations"),
    (Tree::Nodes, b'n', "nodes"),
    (Tree::Environments, b'e', "environments"),
    (Tree::Rights, b'r', "rights"),
    (Tree::Statistics, b's', "statistics"),
    (Tree::Tokens, b't', "tokens"),
];

impl Tree {
    fn row(self) -> (Self, u8, &'static str) {
        TREES.into_iter().find(|row| row.0 == self).unwrap_or(TREES[0])
    }

    /// The tree of a whole key.
    pub(super) fn of(key: &[u8]) -> Self {
        TREES.into_iter().find(|row| Some(&row.1) == key.first()).unwrap_or(TREES[0]).0
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().2)
    }
}

/// A key, or the common beginning of several.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub(super) Vec<u8>);

impl Key {
    pub(super) fn new(tree: Tree) -> Self {
        Self(vec![tree.row().1])
    }

    /// Appends a text.
    pub(super) fn text(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            match byte {
                0 => self.0.extend(NUL),
                byte => self.0.push(byte),
            }
        }
        self.0.extend(END);
        self
    }

    /// Appends a number, as twenty digits: sorted by value.
    pub(super) fn number(self, number: u64) -> Self {
        self.text(&format!("{number:020}"))
    }

    /// The keys that begin so.
    pub(super) fn range(&self) -> Range<Vec<u8>> {
        let mut end = self.0.clone();
        // A key ends with the end of a text or with the letter of its tree.
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        self.0.clone()..end
    }
}

/// The texts of a key.
pub(super) fn texts(key: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    let mut text = Vec::new();
    let mut bytes = key.iter().skip(1).copied();
    while let Some(byte) = bytes.next() {
        match (byte, if byte == 0 { bytes.next() } else { None }) {
            (0, Some(1)) => {
                texts.push(String::from_utf8_lossy(&std::mem::take(&mut text)).into_owned());
            }
            (byte, _) => text.push(byte),
        }
    }
    texts
}

/// A key as a person reads it: its texts, numbers without their padding.
pub(super) fn describe(key: &[u8]) -> String {
    let plain = |text: String| match text.parse::<u64>() {
        Ok(number) if text.len() == 20 => number.to_string(),
        _ => text,
    };
    texts(key).into_iter().map(plain).collect::<Vec<_>>().join(" / ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(texts: &[String]) -> Key {
        texts.iter().fold(Key::new(Tree::Rights), |key, text| key.text(text))
    }

    proptest! {
        #[test]
        fn keys_sort_as_their_texts_and_read_back(
            a in proptest::collection::vec("[\\x00-\\x02a\u{e9}]{0,4}", 0..4),
            b in proptest::collection::vec("[\\x00-\\x02a\u{e9}]{0,4}", 0..4),
        ) {
            prop_assert_eq!(key(&a).cmp(&key(&b)), a.cmp(&b));
            prop_assert_eq!(key(&b).0.starts_with(&key(&a).0), b.starts_with(&a));
            prop_assert_eq!(key(&a).range().contains(&key(&b).0), b.starts_with(&a));
            prop_assert_eq!(texts(&key(&a).0), a);
        }

        #[test]
        fn numbers_sort_by_value(a: u64, b: u64) {
            let key = |n| Key::new(Tree::Journal).number(n);
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
        }
    }

    #[test]
    fn a_key_is_readable() {
        assert_eq!(describe(&Key::new(Tree::Journal).text("D-1").number(3).0), "D-1 / 3");
    }
}
