//! The types of the configuration: one file per section of the files.
//!
//! Each struct is a `section!`: its fields are the keys, their words the
//! documentation. Where what is written and what is meant differ (nodes in
//! ranges, commands by level, a boot method that stands for another) a crate's
//! own `...Keys` struct is read and turned into the public one.

pub mod access;
pub mod automata;
pub mod boot;
pub mod client;
pub mod cluster;
pub mod clusters;
pub mod command;
pub mod external;
pub mod netboot;
pub mod network;
pub mod operation;
pub mod partitioning;
pub mod pxe;
pub mod remoteops;
pub mod server;
pub mod site;
pub mod values;

pub use automata::{Automata, Instance, InstanceKind, Microstep};
pub use boot::{Boot, Kernels};
pub use client::{Client, ClientServer};
pub use cluster::ClusterFile;
pub use clusters::{Bmc, BmcDriver, Firmware, Platform, Sim};
pub use netboot::{DhcpMode, Netboot, Relay};
pub use operation::{Action, Operation};
pub use partitioning::Partitioning;
pub use pxe::{ExportKind, Method, ProfileName, Pxe, PxeMethod};
pub use remoteops::{Command, Level, RemoteAction, RemoteOps};
pub use server::Server;
pub use site::{Cluster, Config, Node};
pub use values::{Mebibytes, Minutes, Secret, Timeout};
