//! The frame around each record: a version byte, a CRC-32 over key and content
//! (so that a record in another's place is noticed as well), the content as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

use super::key::{Tree, describe};
use super::{StoreError, key::Key};

/// Version of the frame and of the JSON inside.
const VERSION: u8 = 1;

/// Bytes before the content: version and checksum.
const HEAD: usize = 5;

fn checksum(key: &[u8], content: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(content);
    hasher.finalize().to_be_bytes()
}

/// The content of a record.
pub(super) fn encode(tree: Tree, record: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(|why| StoreError::Encode { tree, why: Arc::new(why) })
}

/// Frames a content for its place.
pub(super) fn seal(key: &Key, content: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD + content.len());
    frame.push(VERSION);
    frame.extend(checksum(&key.0, content));
    frame.extend(content);
    frame
}

/// The record in a frame that was read at `key`.
pub(super) fn open<T: DeserializeOwned>(key: &[u8], frame: &[u8]) -> Result<T, StoreError> {
    let content = content(key, frame)?;
    serde_json::from_slice(content).map_err(|why| damaged(key, why.to_string()))
}

/// The content of a frame that was read at `key`, if it is what was written there.
pub(super) fn content<'a>(key: &[u8], frame: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let Some((head, content)) = frame.split_at_checked(HEAD) else {
        return Err(damaged(key, format!("{} bytes are too few", frame.len())));
    };
    if head[0] != VERSION {
        return Err(damaged(key, format!("its format is {}, not {VERSION}", head[0])));
    }
    if head[1..] != checksum(key, content) {
        return Err(damaged(key, "its checksum does not match".to_owned()));
    }
    Ok(content)
}

/// The record at `key` is not what was written.
pub(super) fn damaged(key: &[u8], why: impl Into<String>) -> StoreError {
    StoreError::Damaged { tree: Tree::of(key), key: describe(key), why: why.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_flipped_bit_and_any_cut_is_noticed(text in ".{0,40}", at in any::<proptest::sample::Index>(), bit in 0..8_u8) {
            let key = Key::new(Tree::Nodes).text("n");
            let mut frame = seal(&key, &encode(Tree::Nodes, &text).unwrap());
            prop_assert_eq!(open::<String>(&key.0, &frame).unwrap(), text);
            let at = at.index(frame.len());
            prop_assert!(open::<String>(&key.0, &frame[..at]).is_err());
            prop_assert!(open::<String>(&Key::new(Tree::Nodes).text("m").0, &frame).is_err());
            frame[at] ^= 1 << bit;
            prop_assert!(open::<String>(&key.0, &frame).is_err());
        }

        #[test]
        fn garbage_is_an_error(key: Vec<u8>, frame: Vec<u8>) {
            prop_assert!(open::<serde_json::Value>(&key, &frame).is_err());
        }
    }
}
