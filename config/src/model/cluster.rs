//! A cluster's file.

use super::automata::{Automata, InstanceKind};
use super::boot::{Boot, Words};
use super::partitioning::Partitioning;
use super::remoteops::RemoteOps;
use super::values::Timeout;
use crate::check::Check;
use crate::key::{default, mandatory, optional};
use crate::macros::{choice, section};
use crate::mistake::Mistake;
use crate::read::Reader;
use crate::tree::Located;
use std::{collections::BTreeMap, path::PathBuf};

section! {
    /// A cluster's file.
    pub struct ClusterFile (check = rules) {
        /// The disks.
        partitioning: Partitioning => mandatory(),
        /// What nodes boot.
        boot: Boot => mandatory(),
        /// Commands of the server about nodes.
        remoteops: RemoteOps => mandatory(),
        /// Commands of the server for other things.
        localops: LocalOps => optional(),
        /// Archives that are run before the image is written.
        preinstall: Installs => optional(),
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
        trusted_deployment: Option<Trusted> => optional(),
        /// Architectures.
        arch: Arch => optional(),
        /// Further variables of every script and custom operation.
        custom_variables: BTreeMap<String, String> => optional(),
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
        /// The command of the instance `Custom`: it brings the file `ENVFILE` to all nodes of the
        /// file `NODEFILE` (one name a line), and there into the standard input of `DECOMPRESS`;
        /// `TAKTUK_CONNECTOR` is how nodes are reached.
        cmd: Option<String> => default("''").check(Check::Command),
        /// Images are decompressed while they come in; `false`: they are stored in
        /// `environments/deployment/rambin_dir` of the nodes first.
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

section! {
    /// Starting a kernel from the running one.
    pub struct Kexec {
        /// Directory on nodes for the kernels.
        repository: PathBuf => default("/dev/shm/kexec_repository")
            .check(Check::Text(super::values::is_absolute, "an absolute path")),
        /// Program run on nodes in place of ours; arguments: kernel, initrd, parameters.
        script: Option<PathBuf> => optional().check(Check::File),
        /// Command run on the server before; nodes fail where it does.
        server_precmd: String => default("'true'").check(Check::Command),
        /// The same as `partitioning/disable_swap`, where generated files put it.
        disable_swap: bool => default("false"),
    }
}

section! {
    /// Boot profiles.
    pub struct ClusterPxe {
        /// What profiles start with.
        headers: Headers => optional(),
        /// Program on the server that writes profiles in place of us. It is run for each node with
        /// the kind (`local`, `network`, `chain`, `custom`) and the node's name as arguments, our
        /// profile on standard input and the `KADEPLOY_` variables in its environment.
        script: Option<PathBuf> => optional().check(Check::Program),
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
        /// Where the site's own programs are told of nodes (`localops/broadcastenv/cmd`, a connector
        /// that is no ssh of ours), and where host keys are looked up: by address rather than by
        /// name. The service itself always connects to the address.
        use_ip_to_deploy: bool => default("false"),
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

/// The rules that need more than one section of the file.
fn rules(file: &ClusterFile, at: &Located, cx: &mut Reader<'_>) {
    timeouts_fit(file, at, cx);
    let variables = at.get("custom_variables");
    for name in file.custom_variables.keys().filter(|name| !is_variable(name)) {
        let at = variables.and_then(|variables| variables.get(name)).unwrap_or(at);
        let expected = "names of letters, digits and `_`, such as `SITE_PROXY`";
        cx.mistake(at, format!("the variable `{name}`"), expected);
    }
    if let Some(at) = at.get("kexec").and_then(|kexec| kexec.get("disable_swap")) {
        let text = "taken for `partitioning/disable_swap`, where it belongs";
        cx.notice(at.place(), &at.path, text);
    }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl ClusterFile {
    /// Whether nodes get no swap space, wherever the file says so.
    pub fn disables_swap(&self) -> bool {
        self.partitioning.disable_swap || self.kexec.disable_swap
    }
}

/// A macro-step that reboots must have the time for it.
fn timeouts_fit(file: &ClusterFile, at: &Located, cx: &mut Reader<'_>) {
    use InstanceKind::{Classical, HardReboot, Kexec, Nfsroot, Untrusted};
    let limits = at.get("timeouts");
    for (macrostep, instances) in file.automata.macrosteps() {
        for instance in instances {
            let (key, timeout) = match instance.kind {
                Untrusted | Nfsroot | Classical | HardReboot => ("reboot", &file.timeouts.reboot),
                Kexec => ("kexec", &file.timeouts.kexec),
                _ => continue,
            };
            // For one node it was evaluated when it was read.
            let Ok(limit) = timeout.of(1) else { continue };
            if limit > instance.timeout {
                let at = limits.and_then(|limits| limits.get(key)).unwrap_or(at);
                let macrostep = format!("{macrostep}{}", instance.kind);
                let found = format!("a {key} timeout of {} seconds", limit.as_secs());
                let most = instance.timeout.as_secs();
                let expected =
                    format!("at most the timeout of the macro-step {macrostep}, {most} seconds");
                let old = format!(
                    "Global {key} timeout is greater than the timeout of the macrostep {macrostep}"
                );
                cx.mistakes.push(Mistake::new(at, found, expected).old_text(old));
            }
        }
    }
}
