//! What an entry is called, how dear it is, and what its content is.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The readable part of a file name is cut here: with its suffixes the name
/// stays well under the 255 bytes a file system allows.
const READABLE_LEN: usize = 160;

/// Hexadecimal digits of the key's own digest at the end of a file name.
const TAIL_LEN: usize = 16;

/// Identity of an entry: the same four values are the same file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Where it comes from, as the request wrote it (a path or a URI).
    #[serde(rename = "origin_uri")]
    pub origin: String,
    /// The user it was fetched for.
    #[serde(rename = "user")]
    pub owner: String,
    /// Version of what it belongs to: `<environment>/<version>`, or the
    /// workflow's id for something that is used once.
    pub version: String,
    /// What it is: `tarball`, `key`, `postinstall` …
    pub tag: String,
}

impl Key {
    /// The file name without its extension: readable, and by the digest at its
    /// end different for every key.
    pub(crate) fn stem(&self) -> String {
        let mut hasher = Sha256::new();
        for part in [&self.origin, &self.owner, &self.version, &self.tag] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let word = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
        let mut stem: String = [&self.tag, &self.version, &self.origin]
            .map(|part| part.chars().map(word).collect::<String>())
            .join("-");
        stem.truncate(READABLE_LEN);
        stem.push('-');
        stem.push_str(&Digest(hasher.finalize().into()).to_string()[..TAIL_LEN]);
        stem
    }

    /// Whether `stem` has the form that [`Key::stem`] gives.
    pub(crate) fn is_stem(stem: &str) -> bool {
        stem.rsplit_once('-').is_some_and(|(_, tail)| {
            tail.len() == TAIL_LEN && tail.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    }
}

/// How dear an entry is; the lowest goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Priority {
    /// Used by one workflow: removed as soon as nothing refers to it.
    Anonymous,
    /// Belongs to no environment, yet kept while there is room.
    Kept,
    /// Belongs to a recorded environment.
    Recorded,
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Anonymous => 0,
            Priority::Kept => 1,
            Priority::Recorded => 2,
        }
    }
}

impl TryFrom<u8> for Priority {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            0 => Ok(Self::Anonymous),
            1 => Ok(Self::Kept),
            2 => Ok(Self::Recorded),
            _ => Err(format!("a priority is 0, 1 or 2, not {number}")),
        }
    }
}

/// SHA-256 of a content, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        let mut text = Self::with_capacity(64);
        let _ = write!(text, "{digest}");
        text
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a SHA-256: 64 hexadecimal digits are expected");
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_readable_and_has_no_separator_in_it() {
        let key = Key {
            origin: "server:///srv/../img.tgz".into(),
            owner: "ann".into(),
            version: "deb/1".into(),
            tag: "tarball".into(),
        };
        let stem = key.stem();
        assert!(stem.starts_with("tarball-deb_1-server____srv____img_tgz-"), "{stem}");
        assert!(Key::is_stem(&stem));
        let other = Key { owner: "bob".into(), ..key };
        assert_ne!(other.stem(), stem, "the owner is part of the identity");
    }

    proptest! {
        #[test]
        fn every_name_fits_a_directory(origin in ".{0,400}", owner in ".*", version in ".*", tag in ".{0,9}") {
            let stem = Key { origin, owner, version, tag }.stem();
            prop_assert!(stem.len() <= READABLE_LEN + 1 + TAIL_LEN);
            prop_assert!(stem.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
            prop_assert!(Key::is_stem(&stem));
        }

        #[test]
        fn a_digest_reads_back(bytes: [u8; 32]) {
            prop_assert_eq!(Digest(bytes).to_string().parse(), Ok(Digest(bytes)));
        }
    }
}
