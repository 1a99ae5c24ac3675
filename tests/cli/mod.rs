//! The command line against a running service: real processes on a free port, with nodes
//! whose power is a script and whose deployments are dummies.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod configuration;
mod deployments;
mod examples;
mod machines;
mod migration;
mod records;
mod refusals;
mod simulate;
mod site;
mod starting;
mod state;
mod unused;

pub(crate) use site::{signal, wait_for};
