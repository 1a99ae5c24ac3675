//! A cluster's file.

use super::automata::{Automata, InstanceKind};
use super::boot::{Boot, Words};
use super::partitioning::Partitioning;
use super::remoteops::RemoteOps;
use super::values::Timeout;
use crate::check::Check;
use crate::key::{default, mandatory, optional};
use crate::macros::{choice, section};
use crate::read::Reader;
use crate::tree::Located;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// Time limit of a reboot where none is set, or none that can be used.
pub const DEFAULT_REBOOT: Duration = Duration::from_secs(120);
/// Time limit of a kexec where none is set, or none that can be used.
pub const DEFAULT_KEXEC: Duration = Duration::from_secs(60);

section! {
    /// A cluster's file.
    pub struct ClusterFile (check = timeouts_fit) {
        /// The disks.
        partitioning: Partitioning => mandatory(),
        /// What nodes boot.
        boot: Boot => mandatory(),
        /// Commands of the server about nodes.
        remoteops: RemoteOps => mandatory(),
        /// Commands of the server for other things.
        localops: LocalOps => optional().later(),
        /// Archives that are run before the image is written.
        preinstall: Installs => optional().later(),
        /// Archives that are run after the image was written.
        postinstall: Installs => optional(),
        /// The ways of each macro-step.
        automata: Automata => optional(),
        /// Time limits.
        timeouts: Timeouts => optional(),
        /// What becomes of a node whose disk was written to when its deployment is cancelled.
        /// One that is not in the deployment system then is switched off in any case.
        after_cancel: AfterCancel => default("deployment_system"),
        /// Starting a kernel from the running one.
        kexec: Kexec => optional(),
        /// Boot profiles.
        pxe: ClusterPxe => optional(),
        /// How nodes are reached.
        hooks: ClusterHooks => optional(),
        /// Nodes that need no reboot by the firmware to be trusted.
        trusted_deployment: Option<Trusted> => optional().later(),
        /// Architectures.
        arch: Arch => optional().later(),
        /// Further variables of every script and custom operation.
        custom_variables: BTreeMap<String, String> => optional().later(),
    }
}

choice! {
    /// What becomes of a node whose disk was written to when its deployment is cancelled.
    pub enum AfterCancel {
        /// It stays in the deployment system.
        DeploymentSystem = "deployment_system",
        /// It is switched off.
        Off = "off",
    }
}

section! {
    /// Commands of the server for other things.
    pub struct LocalOps {
        /// The site's own broadcast.
        broadcastenv: BroadcastCommand => optional(),
    }
}

section! {
    /// The site's own broadcast.
    pub struct BroadcastCommand {
        /// The command; `ENVFILE`, `NODEFILE`, `DECOMPRESS`, `TAKTUK_CONNECTOR` are replaced.
        cmd: Option<String> => default("''").check(Check::Command),
        /// The command decompresses.
        decompress: bool => default("true"),
    }
}

section! {
    /// Archives that are run on nodes.
    pub struct Installs {
        /// The archives, in order.
        files: Vec<Install> => optional(),
    }
}

choice! {
    /// The format of an archive.
    pub enum ArchiveFormat {
        /// tar, gzip.
        Tgz = "tgz",
        /// tar, bzip2.
        Tbz2 = "tbz2",
        /// tar, xz.
        Txz = "txz",
    }
}

section! {
    /// An archive that is run on nodes.
    pub struct Install {
        /// The archive, on the server.
        file: PathBuf => mandatory().check(Check::File),
        /// Its format.
        format: ArchiveFormat => mandatory(),
        /// Path inside the archive of what is run, or `none`.
        script: String => mandatory(),
    }
}

section! {
    /// Time limits. A number, or an expression of `n`, the number of nodes.
    pub struct Timeouts {
        /// Of a reboot.
        reboot: Timeout => default("120"),
        /// Of a kexec.
        kexec: Timeout => default("60"),
    }
}

impl Timeouts {
    /// The limit of a reboot that is in effect.
    pub fn reboot(&self) -> Duration {
        self.reboot.or(DEFAULT_REBOOT)
    }

    /// The limit of a kexec that is in effect.
    pub fn kexec(&self) -> Duration {
        self.kexec.or(DEFAULT_KEXEC)
    }
}

section! {
    /// Starting a kernel from the running one.
    pub struct Kexec {
        /// Directory on nodes for the kernels.
        repository: PathBuf => default("/dev/shm/kexec_repository")
            .check(Check::Text(super::values::is_absolute, "an absolute path")),
        /// Program run on nodes in place of ours; arguments: kernel, initrd, parameters.
        script: Option<PathBuf> => optional().check(Check::File).later(),
        /// Command run on the server before; nodes fail where it does.
        server_precmd: String => default("'true'").check(Check::Command).later(),
        /// The same as `partitioning/disable_swap`, where generated files put it.
        disable_swap: bool => default("false").later(),
    }
}

section! {
    /// Boot profiles.
    pub struct ClusterPxe {
        /// What profiles start with.
        headers: Headers => optional(),
        /// Program on the server that writes profiles in place of us.
        script: Option<PathBuf> => optional().check(Check::File).later(),
    }
}

section! {
    /// What profiles start with.
    pub struct Headers {
        /// Chained ones.
        dhcp: String => default("''"),
        /// Those that boot from disk.
        localboot: String => default("''"),
        /// Those that boot a kernel over the network.
        networkboot: String => default("''"),
    }
}

section! {
    /// How nodes are reached.
    pub struct ClusterHooks {
        /// By address rather than by name.
        use_ip_to_deploy: bool => default("false").later(),
    }
}

section! {
    /// Nodes that need no reboot by the firmware to be trusted.
    pub struct Trusted {
        /// They were deployed on this partition...
        partition: Option<String> => optional(),
        /// ... or by this user...
        user: Option<String> => optional(),
        /// ... with one of these environments.
        envs: Vec<TrustedEnv> => optional(),
    }
}

section! {
    /// A trusted environment.
    pub struct TrustedEnv {
        /// Its name.
        name: String => mandatory(),
        /// Its owner.
        user: String => mandatory(),
    }
}

section! {
    /// Architectures.
    pub struct Arch {
        /// Of an environment that does not say.
        default: String => default("x86_64"),
        /// Those that the nodes can run.
        supported: Words => default("x86_64"),
    }
}

/// A macro-step that reboots must have the time for it.
fn timeouts_fit(file: &ClusterFile, at: &Located, cx: &mut Reader<'_>) {
    use InstanceKind::{Classical, HardReboot, Kexec, Nfsroot, Trusted, Untrusted};
    let limits = at.get("timeouts");
    for (macrostep, instances) in file.automata.macrosteps() {
        for instance in instances {
            let (key, limit) = match instance.kind {
                Untrusted | Nfsroot | Classical | HardReboot => ("reboot", file.timeouts.reboot()),
                Kexec | Trusted => ("kexec", file.timeouts.kexec()),
                _ => continue,
            };
            if limit > instance.timeout {
                let at = limits.and_then(|limits| limits.get(key)).unwrap_or(at);
                cx.mistake(
                    at,
                    format!("a {key} timeout of {} seconds", limit.as_secs()),
                    format!(
                        "at most the timeout of the macro-step {macrostep}{}, {} seconds",
                        instance.kind,
                        instance.timeout.as_secs()
                    ),
                );
            }
        }
    }
}
