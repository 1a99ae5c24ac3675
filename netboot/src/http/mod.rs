//! An HTTP server for boot files: GET and HEAD, ranges, nothing else.
//!
//! `server` accepts connections and bounds them, `head` reads requests, by the parser
//! `httparse`, and writes the heads of responses, `reply` turns one into the other,
//! `range` reads the headers that choose a part of a file, and `body` has the kernel
//! copy it. The usual HTTP libraries take content through this program's memory,
//! which costs twice as much processor time.

mod body;
mod head;
mod range;
mod reply;
mod server;
#[cfg(test)]
mod tests;

pub use server::{Limits, serve};
