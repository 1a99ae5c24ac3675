//! The network of simulated machines: what boot servers answer, and who looks.

use super::loader::{self, Decision};
use crate::{
    nodes::Node,
    platform::{
        ProfileError, Witness,
        rendered::{Profiles, Start},
    },
};
use netboot::{AssetPath, ProfileTable};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// A file of the boot repository, as far as machines care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BootFile {
    /// Kernel of the deployment system.
    Kernel,
    /// Its initial ramdisk.
    Ramdisk,
    /// Kernel of a system whose root is on a file server.
    Nfsroot,
    /// Starts a boot sector.
    Chain,
}

/// What machines reach over the network.
pub(super) struct Net {
    files: BTreeMap<String, BootFile>,
    /// The boot servers of the service; none while there is no service.
    servers: Option<(Arc<Profiles>, Arc<ProfileTable>)>,
    /// Kernel parameter that lets the service in.
    pub(super) key: String,
}

impl Net {
    pub(super) fn new(files: BTreeMap<String, BootFile>, key: String) -> Self {
        Self { files, servers: None, key }
    }

    /// The boot servers of a service that starts; none of one that is gone.
    pub(super) fn plug(&mut self, servers: Option<(Arc<Profiles>, Arc<ProfileTable>)>) {
        self.servers = servers;
    }

    /// What DHCP tells `node` to start; none where nobody answers.
    pub(super) fn dhcp(&self, node: &Node) -> Option<Result<Start, ProfileError>> {
        self.servers.as_ref().map(|(profiles, _)| profiles.start(node))
    }

    /// The loader whose program is `file`.
    pub(super) fn loader(&self, node: &Node, file: &str) -> Option<Start> {
        self.servers.as_ref()?.0.chained(node, file)
    }

    /// The text of a profile.
    pub(super) fn profile(&self, node: &Node, path: &str) -> Option<String> {
        let (_, table) = self.servers.as_ref()?;
        let text = table.get(IpAddr::V4(node.address), &path.parse().ok()?)?;
        String::from_utf8(text.to_vec()).ok()
    }

    /// Whether the profiles of `node` lead to the deployment system.
    pub(super) fn boots_deployment(&self, node: &Node) -> bool {
        let Some(Ok(mut start)) = self.dhcp(node) else { return false };
        // DHCP's loader, and at most one that it chains to.
        for _ in 0..2 {
            let profile = self.profile(node, &start.profile);
            let read = profile.map(|text| loader::read(start.method, &text, node.firmware));
            let Some(Ok(Decision::Start { program, .. })) = read else { return false };
            match self.loader(node, below(&program).trim_start_matches('/')) {
                Some(chained) => start = chained,
                None => return self.file(&program) == Some(BootFile::Kernel),
            }
        }
        false
    }

    /// The file of the repository that a loader calls `name`.
    pub(super) fn file(&self, name: &str) -> Option<BootFile> {
        let path: AssetPath = below(name).parse().ok()?;
        self.files.get(path.as_str()).copied()
    }
}

/// The path in the repository of a file as loaders write it: `/f`, `http://server/f`,
/// `(pxe)/f`, `(http,server)/f`.
pub(super) fn below(name: &str) -> &str {
    let from_server = name.split_once("://").map(|(_, rest)| rest);
    let from_server = from_server.or_else(|| name.strip_prefix('('));
    match from_server {
        Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
        None => name,
    }
}

/// A machine asked a boot server for something.
pub(super) struct Request {
    pub(super) witness: Witness,
    pub(super) what: String,
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn a_file_is_the_same_whoever_names_it() {
        for name in
            ["/k/vm", "http://10.0.0.1:8080/k/vm", "(pxe)/k/vm", "(http,10.0.0.1)/k/vm", "k/vm"]
        {
            assert_eq!(below(name).trim_start_matches('/'), "k/vm", "{name}");
        }
    }
}
