//! `server.conf`: the root, and its small sections.

use super::access::{Authentication, Security};
use super::external::External;
use super::netboot::{Netboot, Relay};
use super::network::Network;
use super::pxe::Pxe;
use super::values::{Mebibytes, Minutes, Secret, is_absolute};
use crate::check::Check;
use crate::key::{default, mandatory, optional};
use crate::macros::{choice, section};
use std::{path::PathBuf, time::Duration};

/// State, operations and journal live in our own store.
const STORE: &str = "the embedded store";

section! {
    /// `server.conf`.
    pub struct Server (check = super::pxe::check_server) {
        /// The database of the old service. Not needed.
        database: Option<Database> => optional().replaced(STORE),
        /// Who may do what.
        rights: Rights => optional(),
        /// Names and ports of the site.
        network: Network => optional(),
        /// Encryption of the service's own port.
        security: Security => optional(),
        /// The key with which the service logs in to nodes. Kept absolute.
        ssh_private_key: PathBuf => default("keys/id_deploy").check(Check::File).fixed(),
        /// How clients say who they are. At least one method must result.
        authentication: Authentication => optional().check(Check::Present("ident")).fixed(),
        /// Files that the service writes about what it does.
        logs: Logs => optional(),
        /// How much is told.
        verbosity: Verbosity => optional(),
        /// The file cache.
        cache: Cache => mandatory().fixed(),
        /// How much happens at once.
        windows: Windows => optional(),
        /// Places and limits on the nodes.
        environments: Environments => optional(),
        /// Boot profiles.
        pxe: Pxe => mandatory(),
        /// Commands run at the end of operations.
        hooks: Hooks => optional(),
        /// After this time without news an operation is forgotten.
        autoclean_threshold: Minutes => default("360"),
        /// How long nodes may wait at a breakpoint to be continued or aborted; those that still wait then fail.
        breakpoint_limit: Duration => default("604800").check(Check::Range(1, 31_536_000)),
        /// Programs that the service uses.
        external: External => optional(),
        /// Where the service keeps its state: journal, nodes, environments, statistics.
        state_dir: PathBuf => default("/var/lib/kadence").check(Check::NewDirectory).fixed(),
        /// Our own network-boot servers.
        netboot: Netboot => optional().fixed(),
        /// Our own broadcast of images.
        relay: Relay => optional(),
        /// What nodes print on their consoles.
        consoles: Consoles => optional(),
        /// The stream of events.
        events: Events => optional(),
    }
}

section! {
    /// The database of the old service.
    pub struct Database {
        /// Its product.
        kind: String => mandatory().check(Check::OneOf(&["mysql"])),
        /// Its host.
        host: String => mandatory(),
        /// The database's name.
        name: String => mandatory(),
        /// User there.
        login: String => mandatory(),
        /// Password there. Never shown.
        passwd: Secret => mandatory(),
    }
}

choice! {
    /// Where rights come from.
    pub enum RightsKind {
        /// Recorded rights.
        Db = "db",
        /// Everybody may do everything.
        Dummy = "dummy",
    }
}

section! {
    /// Who may do what.
    pub struct Rights {
        /// Where rights are recorded; `dummy` grants everything.
        kind: RightsKind => default("db"),
        /// Users with every right, comma-separated.
        almighty_users: String => default("root"),
        /// A node of a running operation of which nothing was heard for so long is not busy any more:
        /// another operation may take it over, as with `force`. Nodes that wait at a breakpoint
        /// stay busy (`breakpoint_limit`).
        purge_deployment_timer: Duration => default("900"),
    }
}

impl Rights {
    /// The users with every right.
    pub fn almighty(&self) -> impl Iterator<Item = &str> {
        self.almighty_users.split(',').map(str::trim).filter(|user| !user.is_empty())
    }
}

section! {
    /// Files that the service writes about what it does.
    pub struct Logs {
        /// Statistics, one line per node and operation. Empty = off.
        logfile: Option<PathBuf> => default("''").check(Check::NewFile).fixed(),
        /// Record one row per node and operation.
        database: bool => default("true"),
        /// Copy of the progress messages. Empty = off.
        debugfile: Option<PathBuf> => default("''").check(Check::NewFile),
    }
}

section! {
    /// How much is told.
    pub struct Verbosity {
        /// In `logs/debugfile`.
        logs: u8 => default("3").check(Check::Range(0, 4)),
        /// To clients that do not ask for another level.
        clients: u8 => default("3").check(Check::Range(0, 4)),
    }
}

section! {
    /// The file cache.
    pub struct Cache {
        /// Where; created with mode 0700. Only files that the cache made are ever removed.
        directory: PathBuf => default("/tmp").check(Check::NewDirectory),
        /// How much it may hold.
        size: Mebibytes => mandatory().check(Check::Range(1, 1 << 30)),
        /// Files fetched at once.
        concurrency_level: u32 => default("10").check(Check::Range(1, 10_000)),
    }
}

section! {
    /// How much happens at once.
    pub struct Windows {
        /// Reboots and power commands.
        reboot: RebootWindow => optional().fixed(),
        /// Tests whether nodes are there.
        check: CheckWindow => optional().fixed(),
    }
}

section! {
    /// Reboots and power commands at once.
    pub struct RebootWindow {
        /// Nodes, over the whole service.
        size: u32 => default("50").check(Check::Range(1, 100_000)),
        /// Pause before more of the window is taken.
        sleep_time: Duration => default("10").replaced("the window itself: it is taken as soon as there is room"),
        /// How long a node and its BMC are left alone after a power action, whoever wants the next one; 0 = not at all. A stronger action follows at once where one was refused.
        quiet_time: Duration => default("5").check(Check::Range(0, 3600)),
    }
}

section! {
    /// Tests whether nodes are there.
    pub struct CheckWindow {
        /// Nodes tested at once.
        size: u32 => default("50").check(Check::Range(1, 100_000)),
    }
}

section! {
    /// Places and limits on the nodes.
    pub struct Environments {
        /// Directories of the deployment system.
        deployment: Deployment => optional(),
        /// Largest archive of an environment's pre-installation.
        max_preinstall_size: Mebibytes => default("20"),
        /// Largest archive of an environment's post-installation.
        max_postinstall_size: Mebibytes => default("20"),
    }
}

section! {
    /// Directories of the deployment system.
    pub struct Deployment {
        /// Where the deployed system is mounted.
        extraction_dir: PathBuf
            => default("/mnt/dest").check(Check::Text(is_absolute, "an absolute path")),
        /// Where the archives of pre- and post-installations are unpacked.
        rambin_dir: PathBuf
            => default("/rambin").check(Check::Text(is_absolute, "an absolute path")),
        /// Kept for old files; no step reads it.
        tarball_dir: PathBuf => default("/tmp").replaced("the broadcast, which stores no archive"),
    }
}

section! {
    /// Commands run at the end of operations; `WORKFLOW_ID` stands for the operation's id.
    pub struct Hooks {
        /// After a deployment.
        end_of_deployment: Option<String> => default("''").check(Check::Command),
        /// After a reboot.
        end_of_reboot: Option<String> => default("''").check(Check::Command),
        /// After a power operation.
        end_of_power: Option<String> => default("''").check(Check::Command),
    }
}

section! {
    /// What nodes print on their consoles while they are deployed.
    pub struct Consoles {
        /// Record it, in `state_dir`: `kadence console --log NODE` shows it.
        record: bool => default("true").fixed(),
        /// Largest recording; of a longer one the older half is left out.
        size: Mebibytes => default("1").check(Check::Range(1, 1024)).fixed(),
        /// Recordings that are kept of each node.
        keep: u32 => default("3").check(Check::Range(1, 1000)).fixed(),
    }
}

section! {
    /// The stream of events.
    pub struct Events {
        /// Events kept for clients that fall behind.
        backlog: u32 => default("16384").check(Check::Range(1, 10_000_000)).fixed(),
        /// How long ended operations keep their events.
        retention: Duration => default("604800")
            .without("events are kept as long as their operation, see `autoclean_threshold`"),
    }
}
