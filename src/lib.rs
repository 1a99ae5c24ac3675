//! The service and its command line.

pub mod access;
pub mod api;
pub mod cli;
pub mod client;
pub mod consoles;
pub mod environments;
pub mod files;
pub mod kadeploy;
pub mod lab;
pub mod metrics;
pub mod migrate;
pub mod nodes;
pub mod operations;
pub mod platform;
pub mod server;
pub mod simulation;
pub mod steps;
pub mod store;
pub mod types;
pub mod workflows;
