//! The description that lies beside each file.

use serde::{Deserialize, Serialize};

use crate::{Digest, Key, Priority, Stamp};

/// One entry, as its `.meta` file says it in YAML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// `origin_uri`, `user`, `version`, `tag`.
    #[serde(flatten)]
    pub key: Key,
    /// How dear it is: 0, 1 or 2.
    pub priority: Priority,
    /// Name of the data file in the same directory.
    pub file_in_cache: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was used last, on the cache's own clock: a count of uses.
    pub atime_virt: u64,
    /// `mtime`, `etag`, `md5`: what the source said when it was fetched.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// SHA-256 of the data.
    pub sha256: Digest,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_the_names_the_description_reads_back(
            (origin, owner, version, tag) in (any::<String>(), any::<String>(), "[0-9]{0,3}", ".*"),
            etag in proptest::option::of(any::<String>()),
            (size, atime_virt, sha) in any::<(u64, u64, [u8; 32])>(),
        ) {
            let key = Key { origin, owner, version, tag };
            let meta = Meta {
                file_in_cache: format!("{}.data", key.stem()),
                key, priority: Priority::Kept, size, atime_virt,
                stamp: Stamp { mtime: Some("2026-01-02T03:04:05.000000006Z".into()), etag, md5: None },
                sha256: Digest(sha),
            };
            let text = serde_saphyr::to_string(&meta).unwrap();
            let back: Meta = serde_saphyr::from_str(&text).unwrap();
            prop_assert_eq!(back, meta, "{}", text);
        }
    }
}
