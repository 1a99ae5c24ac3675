//! Boot profiles: rendered by the netboot crate, kept where the nodes' loaders look.
//!
//! On a site with our own servers a profile is a text in memory, answered only to its
//! node; a node without one boots its disk. On an old site it is a file in the repository
//! that another TFTP server exports.

mod script;

use crate::{
    nodes::{Firmware, Node},
    platform::{BootChoice, BootProfiles, LocalBoot, ProfileError, Variables},
};
use config::{
    Config,
    model::{ExportKind, Method, ProfileName, PxeMethod},
};
use netboot::{
    AssetPath, ProfileTable, Repository,
    profile::{
        Boot, Export, Factory, Loader, Local, Method as NetMethod, Naming, OsKind, Transport,
    },
};
use script::hand_over;
use std::{collections::HashMap, net::IpAddr, path::PathBuf, sync::Arc};

/// The program of the loader that DHCP starts: it has no name in the configuration.
const DHCP_BINARY: &str = "DHCP_PXEBIN";

/// The program with which loaders of the PXELINUX family and iPXE start a partition.
const CHAIN: &str = "chain.c32";

/// Profiles as one site's configuration wants them.
pub struct Profiles {
    dhcp: Way,
    local: Way,
    network: Way,
    headers: HashMap<String, Headers>,
    /// The administrators' programs that write profiles, by cluster.
    scripts: HashMap<String, PathBuf>,
    /// Directory of the users' files, below the repository.
    userfiles: PathBuf,
    shelf: Shelf,
}

/// Where profiles are kept.
pub enum Shelf {
    /// In memory, for our own servers.
    Table(Arc<ProfileTable>),
    /// In the repository of another server.
    Files,
}

/// A loader about to start on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Which.
    pub method: NetMethod,
    /// Path of the profile that it reads, in the repository.
    pub profile: String,
}

/// One boot method as the configuration has it.
struct Way {
    method: NetMethod,
    export: Export,
    loader: Loader,
    repository: PathBuf,
    /// Below the repository.
    directory: PathBuf,
    naming: Naming,
}

struct Headers {
    chain: String,
    local: String,
    network: String,
}

/// One file to be kept.
struct Profile {
    directory: PathBuf,
    repository: PathBuf,
    name: String,
    /// `local`, `network`, `chain` or `custom`.
    kind: &'static str,
    text: String,
}

impl Profiles {
    /// Profiles for the methods of `config`, kept on `shelf`.
    pub fn new(config: &Config, shelf: Shelf) -> Self {
        let pxe = &config.server.pxe;
        let headers = config.clusters.iter().map(|cluster| {
            let headers = &cluster.pxe.headers;
            let headers = Headers {
                chain: headers.dhcp.clone(),
                local: headers.localboot.clone(),
                network: headers.networkboot.clone(),
            };
            (cluster.name.clone(), headers)
        });
        let script =
            |cluster: &config::Cluster| Some((cluster.name.clone(), cluster.pxe.script.clone()?));
        let scripts = config.clusters.iter().filter_map(script);
        Self {
            dhcp: Way::new(&pxe.dhcp),
            local: Way::new(&pxe.localboot),
            network: Way::new(&pxe.networkboot),
            headers: headers.collect(),
            scripts: scripts.collect(),
            userfiles: PathBuf::from(&pxe.userfiles.directory),
            shelf,
        }
    }

    /// The loader that DHCP starts on `node`.
    pub fn start(&self, node: &Node) -> Result<Start, ProfileError> {
        self.dhcp.start(node)
    }

    /// The loader whose program is `file` of the repository, where a profile chains to it.
    pub fn chained(&self, node: &Node, file: &str) -> Option<Start> {
        let mut ways = [&self.local, &self.network].into_iter();
        ways.find(|way| way.loader.binary == file)?.start(node).ok()
    }

    /// The file that DHCP names for a node whose loader is iPXE: its profile.
    pub fn first(&self, node: &Node) -> Result<String, ProfileError> {
        let name = self.dhcp.name(node)?;
        let path = self.dhcp.directory.join(name);
        Ok(self.dhcp.factory(node).exported(&path.to_string_lossy()))
    }

    /// Gives every one of `nodes` the profile of a node that was never deployed.
    pub fn reset(&self, nodes: &[Arc<Node>]) -> Result<(), ProfileError> {
        for node in nodes {
            self.set(node, &BootChoice::Local(disk()))?;
        }
        Ok(())
    }

    /// Gives `node` the profile for `choice`.
    pub fn set(&self, node: &Node, choice: &BootChoice) -> Result<(), ProfileError> {
        for profile in self.render(node, choice)? {
            self.put(node, &profile)?;
        }
        Ok(())
    }

    /// The same by the administrator's program, where there is one.
    async fn set_somehow(
        &self,
        node: &Node,
        choice: &BootChoice,
        variables: &Variables,
    ) -> Result<(), ProfileError> {
        let Some(script) = self.scripts.get(&node.cluster) else { return self.set(node, choice) };
        for profile in self.render(node, choice)? {
            hand_over(script, node, &profile, variables).await?;
            if let Shelf::Table(_) = &self.shelf {
                // Our own servers tell what the program wrote, where it wrote something.
                let file = profile.repository.join(&profile.directory).join(&profile.name);
                let written = tokio::fs::read_to_string(file).await.ok();
                let text = written.unwrap_or_else(|| profile.text.clone());
                self.put(node, &Profile { text, ..profile })?;
            }
        }
        Ok(())
    }

    async fn set_all(
        &self,
        nodes: &[Arc<Node>],
        choice: &BootChoice,
        variables: &Variables,
    ) -> Result<(), ProfileError> {
        for node in nodes {
            self.set_somehow(node, choice, variables).await?;
        }
        Ok(())
    }

    /// The profile of a node and, where its loader is started by another, that one's.
    fn render(&self, node: &Node, choice: &BootChoice) -> Result<Vec<Profile>, ProfileError> {
        let none = Headers { chain: String::new(), local: String::new(), network: String::new() };
        let headers = self.headers.get(&node.cluster).unwrap_or(&none);
        let (way, header, boot) = match choice {
            BootChoice::Network { kernel, initrd, params } => {
                let (kernel, initrd, params) = (kernel.clone(), initrd.clone(), params.clone());
                (&self.network, &headers.network, Boot::Network { kernel, initrd, params })
            }
            BootChoice::Custom { text, user, singularities } => {
                let prefix = self.userfiles.join(format!("pxe-{user}"));
                let prefix = self.dhcp.factory(node).exported(&prefix.to_string_lossy());
                let own = singularities.get(&node.name).map_or("", String::as_str);
                let own = (!singularities.is_empty()).then_some(own);
                let text = netboot::profile::substitute(text, own, &prefix);
                (&self.dhcp, &none.network, Boot::Custom(text))
            }
            BootChoice::Local(local) => {
                (&self.local, &headers.local, Boot::Local(local_boot(local)))
            }
        };
        let kind = match choice {
            BootChoice::Network { .. } => "network",
            BootChoice::Custom { .. } => "custom",
            BootChoice::Local(_) => "local",
        };
        let mut profiles = Vec::new();
        if way.loader.needs_chain_from(&self.dhcp.loader) {
            let chain = Boot::Chain(way.loader.binary.clone());
            profiles.push(self.dhcp.profile(node, &chain, &headers.chain, "chain")?);
        }
        profiles.push(way.profile(node, &boot, header, kind)?);
        Ok(profiles)
    }

    fn put(&self, node: &Node, profile: &Profile) -> Result<(), ProfileError> {
        let failed = |why: String| ProfileError { node: node.name.clone(), why };
        let path = profile.directory.join(&profile.name);
        match &self.shelf {
            Shelf::Table(table) => {
                let name: AssetPath = path
                    .to_string_lossy()
                    .parse()
                    .map_err(|bad: netboot::BadPath| failed(bad.to_string()))?;
                table.set(IpAddr::V4(node.address), name, profile.text.clone());
                Ok(())
            }
            Shelf::Files => {
                let name: AssetPath = profile
                    .name
                    .parse()
                    .map_err(|bad: netboot::BadPath| failed(bad.to_string()))?;
                let directory = profile.repository.join(&profile.directory);
                Repository::open(&directory)
                    .and_then(|repository| repository.write(&name, &profile.text))
                    .map_err(|error| failed(error.to_string()))
            }
        }
    }
}

#[async_trait::async_trait]
impl BootProfiles for Profiles {
    async fn write(
        &self,
        nodes: &[Arc<Node>],
        choice: &BootChoice,
        variables: &Variables,
    ) -> Result<(), ProfileError> {
        self.set_all(nodes, choice, variables).await
    }

    async fn clear(&self, nodes: &[Arc<Node>]) -> Result<(), ProfileError> {
        self.set_all(nodes, &BootChoice::Local(disk()), &Variables::new()).await
    }
}

impl Way {
    fn new(pxe: &PxeMethod) -> Self {
        let method = match pxe.method {
            Method::PxeLinux => NetMethod::PxeLinux,
            Method::GpxeLinux => NetMethod::GPxeLinux,
            Method::Ipxe => NetMethod::Ipxe,
            Method::GrubPxe => NetMethod::GrubPxe,
        };
        let transport = match pxe.export.kind {
            ExportKind::Http => Transport::Http,
            ExportKind::Ftp => Transport::Ftp,
            ExportKind::Tftp => Transport::Tftp,
        };
        let naming = match pxe.profile_name {
            ProfileName::Ip => Naming::Ip,
            ProfileName::IpHex => Naming::IpHex,
            ProfileName::Hostname => Naming::Hostname,
            ProfileName::HostnameShort => Naming::HostnameShort,
        };
        let binary = pxe.binary.clone().unwrap_or_else(|| DHCP_BINARY.to_owned());
        let below = pxe.profiles_dir.strip_prefix(&pxe.repository);
        Self {
            method,
            export: Export { transport, server: pxe.export.server.clone() },
            loader: Loader { method, binary },
            directory: below.unwrap_or(&pxe.profiles_dir).to_owned(),
            repository: pxe.repository.clone(),
            naming,
        }
    }

    fn factory(&self, node: &Node) -> Factory {
        let firmware = match node.firmware {
            Firmware::Bios => netboot::Firmware::Bios,
            Firmware::Uefi => netboot::Firmware::Uefi,
        };
        Factory { method: self.method, export: self.export.clone(), firmware }
    }

    fn start(&self, node: &Node) -> Result<Start, ProfileError> {
        let profile = self.directory.join(self.name(node)?);
        Ok(Start { method: self.method, profile: profile.to_string_lossy().into_owned() })
    }

    fn name(&self, node: &Node) -> Result<String, ProfileError> {
        self.naming
            .file_name(node.address, &node.name)
            .map_err(|error| ProfileError { node: node.name.clone(), why: error.to_string() })
    }

    fn profile(
        &self,
        node: &Node,
        boot: &Boot,
        header: &str,
        kind: &'static str,
    ) -> Result<Profile, ProfileError> {
        let text = self.factory(node).render(boot, header);
        let text =
            text.map_err(|error| ProfileError { node: node.name.clone(), why: error.to_string() })?;
        Ok(Profile {
            directory: self.directory.clone(),
            repository: self.repository.clone(),
            name: self.name(node)?,
            kind,
            text,
        })
    }
}

/// A local boot in the terms of the factory.
fn local_boot(local: &LocalBoot) -> Local {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let os = match local.os {
        "linux" => OsKind::Linux {
            kernel: local.kernel.clone(),
            initrd: some(&local.initrd),
            params: local.params.clone(),
        },
        "xen" => OsKind::Xen {
            hypervisor: local.hypervisor.clone(),
            hypervisor_params: local.hypervisor_params.clone(),
            kernel: local.kernel.clone(),
            initrd: some(&local.initrd),
            params: local.params.clone(),
        },
        _ => OsKind::Other,
    };
    Local {
        disk: local.disk,
        partition: local.partition,
        root: local.root.clone(),
        os,
        chain: CHAIN.to_owned(),
    }
}

/// What a node boots of which nothing is known: the first disk's own boot sector.
fn disk() -> LocalBoot {
    LocalBoot {
        os: "other",
        disk: 0,
        partition: 0,
        root: String::new(),
        kernel: String::new(),
        initrd: String::new(),
        params: String::new(),
        hypervisor: String::new(),
        hypervisor_params: String::new(),
    }
}
