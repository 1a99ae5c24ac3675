//! Files of an operation: grabbed from wherever they are, into the cache.
//!
//! [`Grabber`] turns a reference of a request into a leased local file; `http`
//! reads from web servers and from the file server that a client opens for its
//! own files.

mod grab;
mod http;

pub use grab::{Grabber, What};
