//! Integration tests: one binary, one module per theme.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail by panicking, as tests do")]

mod api;
mod cli;
mod common;
mod crash;
mod kadeploy;
mod lab;
