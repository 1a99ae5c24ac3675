//! The command line against a running service: real processes on a free port, with nodes
//! whose power is a script and whose deployments are dummies.

mod configuration;
mod deployments;
mod machines;
mod records;
mod site;
mod starting;
