//! `server.conf`: programs that the service uses.

use crate::connector::Connector;
use crate::key::{default, mandatory, optional};
use crate::macros::section;
use crate::read::Reader;
use crate::tree::Located;
use std::{net::Ipv4Addr, time::Duration};

/// What took the place of the old way to run commands on many nodes.
const SHELL: &str = "our own ssh sessions";

section! {
    /// Programs that the service uses.
    pub struct External (check = reached) {
        /// What `DEFAULT_CONNECTOR` stands for in commands, and how nodes are reached. Of ssh its
        /// options `-l`, `-p`, `-i`, `-A`, `-q`, `-F` and those `-o` that mean something to the
        /// service's own sessions are applied; with any other option or program the command itself
        /// is run, one process per node, with the host and the command as its last two arguments.
        default_connector: String => default(
            "ssh -A -l root -q -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o PreferredAuthentications=publickey -o BatchMode=yes"
        ),
        /// Commands on many nodes.
        taktuk: Taktuk => optional(),
        /// Broadcast by torrents, with `aria2c` on the server and in the deployment system.
        bittorrent: Option<Bittorrent> => optional(),
        /// Broadcast by Kastafior.
        kastafior: Program => default("{binary: kastafior}").replaced("the relay"),
        /// Broadcast by Kascade.
        kascade: Program => default("{binary: kascade}").replaced("the relay"),
        /// Further options of mkfs, by file system.
        mkfs: Vec<Mkfs> => optional(),
        /// Further options of every tar in the deployment system.
        tar: String => default("''"),
    }
}

/// Says so where nodes are not reached by our own sessions.
fn reached(external: &External, at: &Located, cx: &mut Reader<'_>) {
    if let Connector::Command { text, why } = external.connector() {
        let taktuk = at.get("taktuk").and_then(|taktuk| taktuk.get("connector"));
        let at = taktuk.or_else(|| at.get("default_connector")).unwrap_or(at);
        let text = format!("nodes are reached by `{text}`, one process per node: {why}");
        cx.notice(at.place(), &at.path, text);
    }
}

impl External {
    /// How nodes are reached. The file of settings that an ssh command names is read.
    pub fn connector(&self) -> Connector {
        Connector::parse(&self.connector_text())
    }

    /// The command for it, as `TAKTUK_CONNECTOR` stands for it.
    pub fn connector_text(&self) -> String {
        self.taktuk.connector.replace("DEFAULT_CONNECTOR", &self.default_connector)
    }

    /// The further options of mkfs for a file system; empty where none are set.
    pub fn mkfs_args(&self, fstype: &str) -> &str {
        self.mkfs.iter().find(|mkfs| mkfs.fstype == fstype).map_or("", |mkfs| &mkfs.args)
    }
}

section! {
    /// Commands on many nodes.
    pub struct Taktuk {
        /// How nodes are reached, where it is not by `external/default_connector`.
        connector: String => default("DEFAULT_CONNECTOR"),
        /// Children of a node in the tree; 0 = as they come.
        tree_arity: u32 => default("0").replaced(SHELL),
        /// Copy the program to the nodes first.
        auto_propagate: bool => default("true").replaced(SHELL),
        /// Bytes of output accepted of each node; beyond it the command fails. 0 = no limit.
        outputs_size: u64 => default("20000"),
    }
}

section! {
    /// Broadcast by torrents.
    pub struct Bittorrent {
        /// The server's address at which nodes reach its tracker (ports from 6969 on).
        tracker_ip: Ipv4Addr => mandatory(),
        /// How long a download may take.
        download_timeout: Duration => mandatory(),
    }
}

section! {
    /// A program of the old service's broadcast.
    pub struct Program {
        /// Its name or path.
        binary: Option<String> => optional(),
        /// Further arguments.
        args: String => default("''"),
    }
}

section! {
    /// Further options of mkfs for one file system.
    pub struct Mkfs {
        /// The file system.
        fstype: String => mandatory(),
        /// The options.
        args: String => mandatory(),
    }
}
