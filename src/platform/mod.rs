//! The ports: everything a step can do to a machine.
//!
//! Steps and workflows see only the traits of this folder, one file each, so
//! that they cannot tell a real machine from a simulated one. [`real`] reaches
//! machines with BMCs, ssh and the relay.
//!
//! | port | what it does |
//! |---|---|
//! | [`Power`] | on, off, reset, status of one node, at one level of force |
//! | [`Shell`] | one command on one node: text in, bytes in, bytes out |
//! | [`Transfer`] | one file to many nodes, streamed into a command on each |
//! | [`Presence`] | is a port open; what was last seen of a node |

mod power;
mod presence;
pub mod real;
mod shell;
mod transfer;

pub use power::{Level, Power, PowerAction, PowerError, PowerState};
pub use presence::{Presence, Reach, Sighting, Witness};
pub use shell::{Command, Input, Output, Shell, ShellError};
pub use transfer::{Progress, Transfer, TransferError, TransferJob};
