//! Integration tests: one binary, one module per theme.

mod cli;
mod lab;
