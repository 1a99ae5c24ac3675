//! The file cache: images, keys and post-install archives, copied once and kept.
//!
//! [`Cache::get`] answers a [`Request`] with a [`Lease`] on a local file. A
//! known file whose [`Source`] did not change is leased at once; otherwise one
//! caller fetches it and the others wait for the result. Room is reserved
//! before the first byte is written, so the size limit holds at every moment;
//! it is made by removing the file of the lowest [`Priority`] that was used
//! least recently, never one that is leased. Each file lies beside a description
//! an administrator can read and from which the cache is rebuilt at start; its
//! content is checked against its digest when it is first used after that.
//!
//! `index` is the accounting (no I/O), `disk` the directory (no policy), `fill`
//! the fetching, `lease` the references; `cache` ties them together.

mod cache;
mod disk;
mod error;
mod fill;
mod index;
mod key;
mod lease;
mod meta;
mod source;
#[cfg(test)]
mod tests;

pub use cache::{Cache, Limits, Request};
pub use error::CacheError;
pub use key::{Digest, Key, Priority};
pub use lease::Lease;
pub use meta::Meta;
pub use source::{ByteStream, LocalFile, Source, Stamp};
