//! Machines reached for real.
