//! `server.conf`: boot profiles and where they are put.

use super::server::Server;
use super::values::Mebibytes;
use crate::check::{Check, existing_directory, readable};
use crate::key::{Shape, default, mandatory, optional};
use crate::macros::{choice, section};
use crate::mistake::Mistake;
use crate::read::{Reader, Value};
use crate::tree::Located;
use std::path::PathBuf;

choice! {
    /// The boot loader that reads profiles.
    pub enum Method {
        /// PXELINUX.
        PxeLinux = "PXElinux",
        /// gPXELINUX.
        GpxeLinux = "GPXElinux",
        /// iPXE.
        Ipxe = "IPXE",
        /// GRUB.
        GrubPxe = "GrubPXE",
    }
}

impl Method {
    /// The ways in which it can fetch files.
    pub fn exports(self) -> &'static [ExportKind] {
        use ExportKind::{Ftp, Http, Tftp};
        match self {
            Self::PxeLinux => &[Tftp],
            Self::GpxeLinux | Self::Ipxe => &[Tftp, Http, Ftp],
            Self::GrubPxe => &[Tftp, Http],
        }
    }
}

choice! {
    /// How a repository is exported.
    pub enum ExportKind {
        /// HTTP.
        Http = "http",
        /// FTP.
        Ftp = "ftp",
        /// TFTP.
        Tftp = "tftp",
    }
}

choice! {
    /// How the profile of a node is named.
    pub enum ProfileName {
        /// Its address: `10.0.0.1`.
        Ip = "ip",
        /// Its address in hexadecimal: `0A000001`.
        IpHex = "ip_hex",
        /// Its full name.
        Hostname = "hostname",
        /// Its name up to the first dot.
        HostnameShort = "hostname_short",
    }
}

/// Boot profiles: what is meant by the `pxe` section.
#[derive(Clone, Debug, PartialEq)]
pub struct Pxe {
    /// Chained profiles, and what the nodes' firmware loads.
    pub dhcp: PxeMethod,
    /// Profiles that boot from disk; `dhcp` where it is not set.
    pub localboot: PxeMethod,
    /// Profiles that boot a kernel over the network; `dhcp` where it is not set.
    pub networkboot: PxeMethod,
    /// Files that users bring for their own profiles.
    pub userfiles: Userfiles,
}

/// One way to boot.
#[derive(Clone, Debug, PartialEq)]
pub struct PxeMethod {
    /// The boot loader.
    pub method: Method,
    /// The directory that is exported to nodes.
    pub repository: PathBuf,
    /// The boot loader's file, relative to the repository; none for `dhcp`, where the
    /// DHCP server names it.
    pub binary: Option<String>,
    /// How the repository is exported.
    pub export: Export,
    /// Where profiles are written, absolute.
    pub profiles_dir: PathBuf,
    /// How they are named.
    pub profile_name: ProfileName,
}

section! {
    /// How the repository is exported.
    pub struct Export {
        /// The protocol.
        kind: ExportKind => default("tftp"),
        /// The server's name or address in URLs. Set it: the default stands for nothing.
        server: String => default("LOCAL_IP"),
    }
}

section! {
    /// Where profiles are written, and how they are named.
    pub(crate) struct ProfileKeys {
        /// Directory; relative to the repository, which an empty one means. It need not
        /// exist where our own servers render profiles (`netboot`).
        directory: String => default("pxelinux.cfg"),
        /// How the file of a node is named.
        filename: ProfileName => default("ip_hex"),
    }
}

section! {
    /// Files that users bring for their own profiles.
    pub struct Userfiles {
        /// Directory under the repository.
        directory: String => mandatory().fixed(),
        /// How much it may hold.
        max_size: Mebibytes => mandatory().fixed(),
        /// Files fetched at once.
        concurrency_level: u32 => default("10").check(Check::Range(1, 10_000)).fixed()
            .replaced("`cache/concurrency_level`: files are fetched into the cache first"),
    }
}

section! {
    /// Chained profiles, and what the nodes' firmware loads.
    pub(crate) struct DhcpKeys (check = check_dhcp) {
        /// The boot loader.
        method: Method => default("PXElinux"),
        /// The directory that is exported to nodes.
        repository: PathBuf => mandatory().check(Check::Directory).fixed(),
        /// How it is exported.
        export: Export => optional(),
        /// Files that users bring for their own profiles.
        userfiles: Userfiles => mandatory().fixed(),
        /// Where profiles are written, and how they are named.
        profiles: ProfileKeys => optional(),
    }
}

section! {
    /// Another way to boot than the one of `dhcp`.
    pub(crate) struct BootKeys (check = check_boot) {
        /// The boot loader.
        method: Method => default("PXElinux"),
        /// The directory that is exported to nodes.
        repository: PathBuf => mandatory().check(Check::Directory),
        /// The boot loader's file under the repository, to which nodes are chained.
        binary: String => mandatory(),
        /// How the repository is exported.
        export: Export => optional(),
        /// Where profiles are written, and how they are named.
        profiles: ProfileKeys => optional(),
    }
}

section! {
    /// Boot profiles.
    pub(crate) struct PxeKeys {
        /// Chained profiles, and what the nodes' firmware loads.
        dhcp: DhcpKeys => mandatory(),
        /// Profiles that boot from disk; like `dhcp` where it is not set.
        localboot: Option<BootKeys> => optional(),
        /// Profiles that boot a kernel over the network; like `dhcp` where it is not set.
        networkboot: Option<BootKeys> => optional(),
    }
}

fn check_export(method: Method, export: &Export, at: &Located, cx: &mut Reader<'_>) {
    if !method.exports().contains(&export.kind) {
        let words: Vec<_> = method.exports().iter().map(|kind| kind.word()).collect();
        let at = at.get("export").and_then(|at| at.get("kind")).unwrap_or(at);
        let expected = format!("{}, which {method} can fetch", crate::read::one_of(&words));
        let mistake = Mistake::new(at, format!("`{}`", export.kind), expected);
        cx.mistakes.push(mistake.old_text(format!(
            "Kadeploy::NetBoot::{method} do not support '{}' (supported values: {})",
            export.kind,
            words.join(", ")
        )));
    }
}

fn check_dhcp(keys: &DhcpKeys, at: &Located, cx: &mut Reader<'_>) {
    check_export(keys.method, &keys.export, at, cx);
    let directory = at.get("userfiles").and_then(|at| at.get("directory"));
    if let Some(directory) = directory {
        let path = keys.repository.join(below(&keys.userfiles.directory));
        cx.demand(directory, existing_directory(&path));
    }
}

/// A path below the repository, which it may begin with a `/` for.
fn below(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn check_boot(keys: &BootKeys, at: &Located, cx: &mut Reader<'_>) {
    check_export(keys.method, &keys.export, at, cx);
    if let Some(binary) = at.get("binary") {
        cx.demand(binary, readable(&keys.repository.join(below(&keys.binary))));
    }
}

/// The rules that need more than one section of the file.
pub(crate) fn check_server(server: &Server, at: &Located, cx: &mut Reader<'_>) {
    super::access::check_ident(server, at, cx);
    super::access::check_trust(server, at, cx);
    if server.netboot.serves_profiles() {
        return;
    }
    let Some(pxe) = at.get("pxe") else { return };
    let methods = [
        ("dhcp", &server.pxe.dhcp),
        ("localboot", &server.pxe.localboot),
        ("networkboot", &server.pxe.networkboot),
    ];
    for (key, method) in methods {
        // A section that is absent stands for `dhcp`, which is looked at already.
        if let Some(at) = pxe.get(key) {
            let at = at.get("profiles").and_then(|at| at.get("directory")).unwrap_or(at);
            cx.demand(at, existing_directory(&method.profiles_dir));
        }
    }
}

fn meant(
    method: Method,
    repository: PathBuf,
    binary: Option<String>,
    export: Export,
    profiles: &ProfileKeys,
) -> PxeMethod {
    let profiles_dir = repository.join(&profiles.directory);
    PxeMethod { method, repository, binary, export, profiles_dir, profile_name: profiles.filename }
}

impl From<BootKeys> for PxeMethod {
    fn from(keys: BootKeys) -> Self {
        let binary = below(&keys.binary).to_owned();
        meant(keys.method, keys.repository, Some(binary), keys.export, &keys.profiles)
    }
}

impl Value for Pxe {
    fn shape() -> Shape {
        PxeKeys::shape()
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        let PxeKeys { dhcp: keys, localboot, networkboot } = PxeKeys::read(at, cx)?;
        let dhcp = meant(keys.method, keys.repository, None, keys.export, &keys.profiles);
        Some(Self {
            localboot: localboot.map_or_else(|| dhcp.clone(), PxeMethod::from),
            networkboot: networkboot.map_or_else(|| dhcp.clone(), PxeMethod::from),
            dhcp,
            userfiles: Userfiles {
                directory: below(&keys.userfiles.directory).to_owned(),
                ..keys.userfiles
            },
        })
    }

    fn fixed(&self, then: &Self, path: &str, _: bool, changed: &mut Vec<String>) {
        // Users' files are kept below it, and our own servers have it open.
        if self.dhcp.repository != then.dhcp.repository {
            changed.push(format!("{path}/dhcp/repository"));
        }
        if self.userfiles != then.userfiles {
            changed.push(format!("{path}/dhcp/userfiles"));
        }
    }
}
