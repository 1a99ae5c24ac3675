//! The service and its command line.

pub mod lab;
pub mod nodes;
pub mod platform;
pub mod store;
