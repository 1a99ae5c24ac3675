//! The `kadence` binary.

fn main() {}
