//! Paths that stay below their root.

use std::{
    fmt,
    path::{Component, Path},
    str::FromStr,
};

/// A relative path that cannot leave its root.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AssetPath(String);

/// A path that no asset can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a path below the boot directory")]
pub struct BadPath(pub String);

impl AssetPath {
    /// The path, with `/` between its parts and none in front.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AssetPath {
    type Err = BadPath;

    /// Boot loaders send leading and doubled `/`, and `\` as separator: both are understood.
    fn from_str(raw: &str) -> Result<Self, BadPath> {
        let bad = || BadPath(raw.to_owned());
        if raw.chars().any(char::is_control) {
            return Err(bad());
        }
        let mut path = String::with_capacity(raw.len());
        for part in raw.split(['/', '\\']).filter(|part| !part.is_empty()) {
            let plain = Path::new(part).components().all(|c| matches!(c, Component::Normal(_)));
            if !plain {
                return Err(bad());
            }
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part);
        }
        if path.is_empty() { Err(bad()) } else { Ok(Self(path)) }
    }
}

impl fmt::Display for AssetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_stay_below_the_root() {
        for (raw, path) in [
            ("vmlinuz", "vmlinuz"),
            ("//pxe//grub.cfg", "pxe/grub.cfg"),
            ("EFI\\boot.efi", "EFI/boot.efi"),
            ("a..b", "a..b"),
        ] {
            assert_eq!(raw.parse::<AssetPath>().unwrap().as_str(), path);
        }
        for bad in ["", "/", "../etc/passwd", "a/../../b", "..\\b", "a\0b", "./a", "a/.", "a\nb"] {
            assert!(bad.parse::<AssetPath>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_below_the_root(raw in "[a./\\\\\\x00\\n~]{0,12}") {
            if let Ok(path) = raw.parse::<AssetPath>() {
                let path = Path::new(path.as_str());
                prop_assert!(path.is_relative());
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
            }
        }
    }
}
