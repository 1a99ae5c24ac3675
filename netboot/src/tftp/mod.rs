//! A read-only TFTP server (RFC 1350, 2347, 2348, 2349, 7440).
//!
//! One socket takes the requests; each transfer has a socket of its own, as the
//! protocol wants, and a task. `options` settles what client and server agree on,
//! within [`Limits`]; `blocks` cuts content into packets, and `transfer` sends
//! them a window at a time and goes back to what was not acknowledged. Packets
//! are encoded and decoded by the `tftpd` crate.

mod blocks;
mod options;
mod server;
#[cfg(test)]
mod tests;
mod transfer;

pub use options::Limits;
pub use server::{bind, serve};
