//! An HTTP server for boot files: GET and HEAD, ranges, nothing else.
//!
//! `server` accepts connections and bounds them, `reply` turns a request into a
//! response, `range` reads the headers that choose a part of a file.

mod range;
mod reply;
mod server;
#[cfg(test)]
mod tests;

pub use server::{Limits, serve};
