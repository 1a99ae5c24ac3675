//! The ports: everything a step can do to a machine.
//!
//! Steps and workflows see only the traits of this folder, one file each, so
//! that they cannot tell a real machine from a simulated one. [`real`] reaches
//! machines with BMCs, ssh and the relay, [`sim`] makes them up.
//!
//! | port | what it does |
//! |---|---|
//! | [`Power`] | on, off, reset, status of one node, at one level of force |
//! | [`Shell`] | one [`Errand`] on one node: bytes in, bytes out |
//! | [`Transfer`] | one file to many nodes, streamed into a command on each |
//! | [`Presence`] | is a port open; what was last seen of a node |
//! | [`BootProfiles`] | what a node boots next |
//! | [`Console`] | what a node prints on its console |
//! | [`ServerShell`] | a command of the site's own, on the server |

pub mod boot_id;
mod by_cluster;
mod carrier;
mod console;
mod errand;
pub(crate) mod fill;
mod power;
mod presence;
mod profiles;
pub mod real;
pub mod rendered;
mod server;
mod shell;
pub mod sim;
mod transfer;

pub use by_cluster::by_cluster;
pub use carrier::{Carrier, SiteCommand, Torrent};
pub use console::{Console, Listener};
pub use errand::{DiskId, DiskTicket, Errand, Unpacking, Variables};
pub use power::{Level, Power, PowerAction, PowerError, PowerState};
pub use presence::{Presence, Reach, Sighting, Witness};
pub use profiles::{BootChoice, BootProfiles, LocalBoot, ProfileError};
pub use server::{Here, ServerOutput, ServerShell};
pub use shell::{Command, Input, Output, Shell, ShellError};
pub use transfer::{
    Broken, BrokenStream, Progress, Receiver, Transfer, TransferError, TransferJob,
};

/// All ports of one platform.
#[derive(Clone)]
pub struct Ports {
    /// Power.
    pub power: std::sync::Arc<dyn Power>,
    /// Commands.
    pub shell: std::sync::Arc<dyn Shell>,
    /// Broadcast.
    pub transfer: std::sync::Arc<dyn Transfer>,
    /// Sight.
    pub presence: std::sync::Arc<dyn Presence>,
    /// Boot profiles.
    pub profiles: std::sync::Arc<dyn BootProfiles>,
    /// Consoles.
    pub console: std::sync::Arc<dyn Console>,
    /// Commands of the site on the server.
    pub server: std::sync::Arc<dyn ServerShell>,
}

/// A time for people: whole seconds, or milliseconds where it is less than one.
pub(crate) fn rounded(time: std::time::Duration) -> humantime::FormattedDuration {
    let half = std::time::Duration::from_millis(500);
    let whole = std::time::Duration::from_secs(time.saturating_add(half).as_secs());
    let millis = std::time::Duration::from_millis(u64::from(time.subsec_millis()));
    humantime::format_duration(if time.as_secs() == 0 { millis } else { whole })
}

/// Chooses the cryptography of every TLS connection of the process. May be called often.
pub fn crypto() {
    // It fails where a provider is installed already: just as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
