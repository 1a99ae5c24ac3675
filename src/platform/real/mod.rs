//! Machines reached for real.
//!
//! | module | port | by |
//! |---|---|---|
//! | [`ssh`] | [`Shell`](super::Shell) | libssh2: one connection per node, kept |
//! | [`command`] | [`Shell`](super::Shell) | the site's own connector, one process per command |
//! | [`power`] | [`Power`](super::Power) | the site's commands, IPMI, Redfish |
//! | [`console`] | [`Console`](super::Console) | the site's command, in a terminal |
//! | [`presence`] | [`Presence`](super::Presence) | TCP, and what the boot servers see |
//! | [`transfer`] | [`Transfer`](super::Transfer) | the relay, from node to node |

pub mod called;
pub mod command;
pub mod console;
pub mod power;
pub mod presence;
pub mod ssh;
pub mod transfer;
