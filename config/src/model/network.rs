//! `server.conf`: names and ports of the site.

use crate::check::Check;
use crate::key::{default, optional};
use crate::macros::section;

section! {
    /// Names and ports of the site.
    pub struct Network {
        /// Networks that deployments move nodes to.
        vlan: Vlan => optional(),
        /// Ports.
        ports: Ports => optional(),
        /// Kept for old files; never had an effect.
        tcp_buffer_size: u32 => default("8192").replaced("the system's own buffers"),
        /// Name of the service in its certificate and realm; the host's name where it is not set.
        server_hostname: Option<String> => optional().fixed(),
    }
}

section! {
    /// Networks that deployments move nodes to.
    pub struct Vlan {
        /// Put between a node's short name and its domain; `VLAN_ID` stands for the network.
        hostname_suffix: String => default("''"),
        /// Command that moves nodes; `NODES`, `VLAN_ID`, `USER` are replaced. Empty = none.
        set_cmd: Option<String> => default("''").check(Check::Command),
    }
}

section! {
    /// Ports.
    pub struct Ports {
        /// Where the service listens.
        kadeploy_server: u16 => default("25300").check(Check::Range(1, 65_535)).fixed(),
        /// Where nodes answer ssh: an open port means that a system is up.
        ssh: u16 => default("22").check(Check::Range(1, 65_535)),
        /// Open on nodes in the deployment system only.
        test_deploy_env: u16 => default("25300").check(Check::Range(1, 65_535)),
    }
}
