//! The lab: powered-off machines without hardware.
//!
//! A lab is a network namespace with a bridge, QEMU guests with serial consoles
//! and empty disks, and a BMC for each of them that really switches it: IPMI or
//! Redfish. The service reaches them exactly as it reaches machines in a rack;
//! nothing in it knows that they are virtual.
//!
//! [`Plan`] says what a lab consists of, [`Place`] where it keeps its state.
//! [`up`] makes it and leaves the *keeper* behind, the one process that owns
//! every guest and BMC; [`down`] takes it away, whatever is left of it.
//! [`write_config`] writes the files that `kadence serve` needs inside.

mod accel;
pub mod cli;
mod console;
mod control;
mod demo;
mod error;
mod inside;
mod ipmi;
mod keeper;
mod kind;
mod lifecycle;
mod machine;
mod network;
mod place;
mod plan;
mod process;
mod qemu;
mod qmp;
mod services;
mod settings;
mod terminal;

pub use accel::probe as probe_accel;
pub use control::{LabStatus, NodeStatus, PowerOp, ServiceStatus};
pub use error::LabError;
pub use kind::{Accel, BmcKind, BootWay, Dhcp, Hardware, Label, Loader};
pub use lifecycle::{down, up};
pub use network::BRIDGE;
pub use place::{DEFAULT_NAME, Place, cache_dir};
pub use plan::{BMC_USER, Guest, MAX_NODES, Numbers, Plan, REDFISH_PORT, Subnet, Wishes};
pub use qemu::BootDevice;
pub use settings::write_config;

/// Told what is going on whenever it may take longer than two seconds.
pub type Reporter<'a> = &'a (dyn Fn(&str) + Send + Sync);
