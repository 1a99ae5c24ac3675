//! Machines reached for real.

pub mod transfer;
