//! One password against its hash, as Apache and the systems of the last decades write it.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};
use std::borrow::Cow;
use subtle::ConstantTimeEq;

/// What a SHA-1 hash begins with.
const SHA1: &str = "{SHA}";

/// What the other kinds begin with: bcrypt, MD5 (Apache's and the systems'), SHA-256, SHA-512.
const KINDS: [&str; 7] = ["$2a$", "$2b$", "$2y$", "$apr1$", "$1$", "$5$", "$6$"];

/// Whether `hash` is of a kind that can be checked.
pub(super) fn known(hash: &str) -> bool {
    hash.starts_with(SHA1) || KINDS.iter().any(|kind| hash.starts_with(kind)) || is_des(hash)
}

/// The oldest kind: thirteen letters, and the first eight of the password count.
fn is_des(hash: &str) -> bool {
    hash.len() == 13 && hash.chars().all(|c| c.is_ascii_alphanumeric() || "./".contains(c))
}

/// Whether `hash` is that of `password`. Takes a while where it was made to.
pub(super) fn fits(password: &str, hash: &str) -> bool {
    if let Some(digest) = hash.strip_prefix(SHA1) {
        let made = STANDARD.encode(Sha1::digest(password));
        return made.as_bytes().ct_eq(digest.trim().as_bytes()).into();
    }
    known(hash) && crypt3_rs::unix::verify(password, &with_rounds(hash))
}

/// A hash of the SHA-2 kinds with the number of rounds that is meant where none is written:
/// the library reads only those that write it.
fn with_rounds(hash: &str) -> Cow<'_, str> {
    let bare =
        |kind: &&&str| hash.strip_prefix(**kind).is_some_and(|rest| !rest.starts_with("rounds="));
    match ["$5$", "$6$"].iter().find(bare) {
        Some(kind) => Cow::Owned(format!("{kind}rounds=5000${}", &hash[kind.len()..])),
        None => Cow::Borrowed(hash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of "secret": made by OpenSSL and by libxcrypt.
    pub(in crate::access) const HASHES: [&str; 11] = [
        "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/",
        "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
        "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.",
        "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.",
        "$5$rounds=1000$abcdefgh$XIppta5rT8zJUu4vAOKQXrwq9uY4Ijlz6VjyOmkx5i4",
        "$5$rounds=656000$abcdefghijklmnop$SyiFjOOPcYc05CrxWIVaZwNnIIyYKOMDkYMrYXkFUo0",
        "$6$rounds=1234$abcdefgh$JYy1Bl2SyLJWf33X/ypLFfV0PTI7kUcSv1KagEAuF6T.jEole3EQfDDZRy9BRYEi9Zd6aYdRKWdcJwCEXNseD1",
        "abNANd1rDfiNc",
        "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
        "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
        "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    ];

    #[test]
    fn every_kind_of_hash_is_checked() {
        for hash in HASHES {
            assert!(known(hash), "{hash}");
            assert!(fits("secret", hash), "{hash}");
            assert!(!fits("Secret", hash), "{hash}");
            assert!(!fits("", hash), "{hash}");
        }
    }

    #[test]
    fn what_is_no_hash_fits_nothing() {
        for hash in ["", "secret", "$9$x$y", "{SHA}", "$apr1$", "$2y$05$", "abNANd1rDfiN!"] {
            assert!(!fits("secret", hash) && !fits("", hash), "{hash}");
        }
    }
}
