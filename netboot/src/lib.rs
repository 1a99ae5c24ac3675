//! Everything a machine asks for while it boots from the network.
//!
//! Three parts, which know nothing of what the machines are booted for:
//!
//! - [`profile`]: the texts that boot loaders read, made by pure functions.
//!   [`Repository`] writes them where another TFTP server looks.
//! - [`assets`]: where the content comes from: a directory, a table of profiles
//!   kept in memory for one node each, or several such [`Routes`] in order.
//! - [`tftp`], [`http`] and [`dhcp`]: the servers. The first two answer from one
//!   [`BootService`], so no transport knows what a file is made of, and only
//!   [`Known`] machines are answered. Each request is an [`Event`] for a
//!   [`Watcher`]. A server is given its bound socket and a cancellation token,
//!   owns its tasks, and returns when it is stopped.

pub mod assets;
pub mod dhcp;
mod event;
pub mod http;
mod known;
mod mac;
pub mod profile;
mod repository;
mod service;
#[cfg(test)]
mod testing;
pub mod tftp;

pub use assets::{
    Asset, AssetPath, Assets, BadPath, Content, Directory, FileId, ProfileTable, Refusal, Routes,
};
pub use event::{Client, Event, Outcome, Server, Stage, Unwatched, Watcher};
pub use known::{Admission, Known, Reported};
pub use mac::{BadMac, Mac};
pub use repository::{Repository, RepositoryError};
pub use service::{BootService, Delivery};

/// Firmware of a machine: which boot loaders it can run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Firmware {
    /// PC BIOS.
    #[default]
    Bios,
    /// UEFI on x86-64.
    Uefi,
}
