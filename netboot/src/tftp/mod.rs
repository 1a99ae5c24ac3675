//! A read-only TFTP server (RFC 1350, 2347, 2348, 2349, 7440).
//!
//! One socket takes the requests; each transfer has a socket of its own, as the
//! protocol wants, and a task; all run on one thread. `options` settles what client
//! and server agree on, within [`Limits`]; `clients` counts what each address has;
//! `content` is what is sent, from any byte on, read once for all; `transfer` sends
//! it a window at a time and goes back to what was not acknowledged; `line` hands a
//! window to the kernel in one piece. Packets are encoded and decoded by the `tftpd`
//! crate, but for DATA packets, which are never made: the kernel cuts them.

mod clients;
mod content;
mod line;
mod options;
mod server;
#[cfg(test)]
mod tests;
mod transfer;

pub use options::Limits;
pub use server::{bind, serve};
