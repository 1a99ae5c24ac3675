//! Real machines of a lab: QEMU guests behind real BMCs. These tests need root and what
//! `scripts/setup` installs, and fail with a hint where either is missing.

mod bmc;
mod conformance;
mod guest;
