//! A configuration directory, read whole: all files, all mistakes.

use crate::inventory::{self, Taken};
use crate::mistake::{Mistake, Mistakes, Notice, Place, in_order};
use crate::model::client::Client;
use crate::model::cluster::ClusterFile;
use crate::model::clusters::{ClusterKeys, ClustersKeys, Platform};
use crate::model::command::NodeCommands;
use crate::model::netboot::DhcpMode;
use crate::model::server::Server;
use crate::model::site::{Cluster, Config};
use crate::read::{Reader, Value, nearest};
use crate::snippet::Source;
use crate::tree::{Data, Located, parse};
use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Largest file read: over that it is not a configuration.
const LARGEST: u64 = 64 << 20;

/// What Kadeploy says where there is no node at all.
pub(crate) const NO_NODES: &str = "The nodes list is empty";

/// A configuration without mistakes.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What is worth saying about it.
    pub notices: Vec<Notice>,
}

/// A client's configuration without mistakes.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedClient {
    /// What it says.
    pub client: Client,
    /// What is worth saying about it.
    pub notices: Vec<Notice>,
}

/// Reads the service's files in `dir`: `server.conf`, `clusters.conf` with a file per
/// cluster, `command.conf` and `version`. The machine is looked at (files that must be
/// there), not changed.
///
/// # Errors
/// Every mistake of every file.
pub fn load(dir: &Path) -> Result<Loaded, Mistakes> {
    let mut cx = Reader::new(dir);
    let version = version(&mut cx);
    let server = tree("server.conf", "server_conf.yml", &mut cx)
        .and_then(|tree| Server::read(&tree, &mut cx));
    let (mut clusters, whole) = clusters(&mut cx);
    commands(&mut clusters, whole, &mut cx);
    if let Some(server) = &server {
        unheard(server, &clusters, &mut cx);
        unbootable(server, &clusters, &mut cx);
    }
    match (version, server) {
        (Some(version), Some(server)) if cx.mistakes.is_empty() => {
            for cluster in &mut clusters {
                cluster.file.remoteops.connect(&server.external.default_connector);
            }
            let config = Config { dir: dir.to_owned(), version, server, clusters };
            in_order(&mut cx.notices, |notice| (&notice.place, &notice.key));
            Ok(Loaded { config, notices: cx.notices })
        }
        _ => Err(Mistakes::once_each(cx.mistakes, cx.notices)),
    }
}

/// Reads `client.conf` in `dir`.
///
/// # Errors
/// Every mistake of the file.
pub fn load_client(dir: &Path) -> Result<LoadedClient, Mistakes> {
    let mut cx = Reader::new(dir);
    let client = tree("client.conf", "client_conf.yml", &mut cx)
        .and_then(|tree| Client::read(&tree, &mut cx));
    match client {
        Some(client) if cx.mistakes.is_empty() => Ok(LoadedClient { client, notices: cx.notices }),
        _ => Err(Mistakes::once_each(cx.mistakes, cx.notices)),
    }
}

/// Tells of nodes that our DHCP server cannot know.
fn unheard(server: &Server, clusters: &[Cluster], cx: &mut Reader<'_>) {
    let nodes = clusters.iter().flat_map(|cluster| &cluster.nodes);
    let unknown: Vec<_> = nodes.filter(|n| n.macs.is_empty()).map(|n| n.name.as_str()).collect();
    if let Some(first) = unknown.first().filter(|_| server.netboot.dhcp.mode != DhcpMode::Off) {
        let text = format!(
            "{} nodes have no `mac` (the first is {first}): our DHCP server does not answer them",
            unknown.len()
        );
        cx.notice(Place::whole(cx.dir.join("clusters.conf")), "clusters", text);
    }
}

/// Tells of kernels that nodes could not load. They may be put there later, so that they stop
/// nothing.
fn unbootable(server: &Server, clusters: &[Cluster], cx: &mut Reader<'_>) {
    let repository = &server.pxe.networkboot.repository;
    for cluster in clusters.iter().filter(|cluster| cluster.platform == Platform::Real) {
        let deploy = &cluster.file.boot.kernels.deploy;
        for (key, file) in [("vmlinuz", &deploy.vmlinuz), ("initrd", &deploy.initrd)] {
            let path = repository.join(file.trim_start_matches('/'));
            // A URL is fetched from elsewhere.
            if file.contains("://") || path.is_file() {
                continue;
            }
            let text = format!("{} does not exist: no node could boot it", path.display());
            let place = Place::whole(cluster.conf_file.clone());
            cx.notice(place, &format!("boot/kernels/deploy/{key}"), text);
        }
    }
}

fn version(cx: &mut Reader<'_>) -> Option<String> {
    let text = read(&cx.dir.join("version"), cx)?;
    Some(text.trim().to_owned())
}

/// The tree of a file of the configuration directory, which may have its old name.
fn tree(name: &str, old: &str, cx: &mut Reader<'_>) -> Option<Located> {
    let (file, old_file) = (cx.dir.join(name), cx.dir.join(old));
    if file.exists() || !old_file.exists() {
        return tree_of(file, cx);
    }
    cx.notice(Place::whole(old_file.clone()), "", format!("old name of `{name}`"));
    tree_of(old_file, cx)
}

fn tree_of(file: PathBuf, cx: &mut Reader<'_>) -> Option<Located> {
    let text = read(&file, cx)?;
    parse(&Arc::new(Source::new(file, text))).map_err(|mistake| cx.mistakes.push(*mistake)).ok()
}

fn read(file: &Path, cx: &mut Reader<'_>) -> Option<String> {
    let large = fs::metadata(file).is_ok_and(|meta| meta.len() > LARGEST);
    let text = if large { Err("too large".to_owned()) } else { text_of(file) };
    text.map_err(|reason| {
        let name = file.file_name().unwrap_or_default().display();
        let words = format!("The {name} file cannot be read");
        let (found, expected) = (format!("{words}: {reason}"), "a text file that can be read");
        cx.mistakes.push(Mistake::file(file.to_owned(), "", found, expected).unread(words));
    })
    .ok()
}

fn text_of(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| error.to_string())
}

/// The clusters, and whether all of them could be read.
fn clusters(cx: &mut Reader<'_>) -> (Vec<Cluster>, bool) {
    let Some(tree) = tree("clusters.conf", "clusters.yml", cx) else { return (Vec::new(), false) };
    let entries = tree.get("clusters").map_or(&[][..], Located::items);
    if entries.is_empty() {
        if ClustersKeys::read(&tree, cx).is_some() {
            let at = tree.get("clusters").unwrap_or(&tree);
            let mistake = Mistake::new(at, at.found(), "at least one cluster");
            cx.mistakes.push(mistake.old_text(NO_NODES));
        }
        return (Vec::new(), false);
    }
    cx.section(&tree, ClustersKeys::KEYS);
    let mut taken = Taken::default();
    let entries = last_of_each(entries, cx);
    // One by one, so that a mistake in one does not hide those of the others.
    let clusters: Vec<_> = entries.iter().filter_map(|at| cluster(at, &mut taken, cx)).collect();
    let whole = clusters.len() == entries.len();
    (clusters, whole)
}

/// The entries of clusters; of several with one name the last.
fn last_of_each<'e>(entries: &'e [Located], cx: &mut Reader<'_>) -> Vec<&'e Located> {
    let name = |at: &'e Located| at.get("name").and_then(Located::text);
    let last: HashMap<_, _> = entries.iter().filter_map(|at| Some((name(at)?, at))).collect();
    let mut counted = Vec::new();
    for at in entries {
        match name(at).map(|name| (name, last[name])).filter(|(_, last)| last.path != at.path) {
            None => counted.push(at),
            Some((name, last)) => {
                let text = format!(
                    "the cluster `{name}` is there once more, at {}: this one does not count",
                    last.place()
                );
                cx.notice(at.place(), &at.path, text);
            }
        }
    }
    counted
}

/// A cluster, from its entry in `clusters.conf`. Its file is read even where the entry
/// has mistakes.
fn cluster(at: &Located, taken: &mut Taken, cx: &mut Reader<'_>) -> Option<Cluster> {
    let keys = ClusterKeys::read(at, cx);
    let nodes = keys.as_ref().map(|keys| inventory::nodes(keys, at, taken, cx));
    let conf_file = match at.get("conf_file").map(|file| &file.data) {
        Some(Data::Text(text)) => cx.dir.join(text),
        _ => return None,
    };
    // A file that is not there was told by the check of the key.
    let tree = if conf_file.is_file() { tree_of(conf_file, cx) } else { None };
    let file = ClusterFile::read(&tree?, cx)?;
    let (keys, nodes) = keys.zip(nodes)?;
    Some(Cluster {
        name: keys.name,
        prefix: keys.prefix,
        conf_file: keys.conf_file,
        platform: keys.platform,
        sim: keys.sim,
        require_reboot_proof: keys.require_reboot_proof,
        nodes,
        file,
    })
}

/// Gives nodes their own commands. Where `whole` is not set some nodes are not known,
/// and names without a node are no mistake.
fn commands(clusters: &mut [Cluster], whole: bool, cx: &mut Reader<'_>) {
    let Some(tree) = tree("command.conf", "cmd.yml", cx) else { return };
    let entries = match &tree.data {
        Data::Null => return,
        Data::Map(entries) => entries,
        _ => return cx.mistyped(&tree, "Hash", "a map of node names to commands"),
    };
    cx.repeated(&tree, entries);
    let mut own: HashMap<&str, NodeCommands> = HashMap::new();
    for entry in entries {
        if let Some(commands) = NodeCommands::read(&entry.value, cx) {
            own.insert(&entry.key, commands);
        }
    }
    let names: Vec<String> =
        clusters.iter().flat_map(|c| &c.nodes).map(|node| node.name.clone()).collect();
    let known: HashSet<&str> = names.iter().map(String::as_str).collect();
    for entry in entries.iter().filter(|entry| whole && !known.contains(entry.key.as_str())) {
        unknown_node(&entry.key, &entry.value, &names, cx);
    }
    for node in clusters.iter_mut().flat_map(|cluster| &mut cluster.nodes) {
        if let Some(commands) = own.remove(node.name.as_str()) {
            node.commands = commands.0;
        }
    }
}

fn unknown_node(name: &str, at: &Located, names: &[String], cx: &mut Reader<'_>) {
    let hint = nearest(name, names.iter().map(String::as_str))
        .map(|near| format!("did you mean `{near}`?"));
    let found = format!("the node `{name}`");
    let expected = "the full name of a node in clusters.conf";
    let old = format!("The node {name} does not exist");
    cx.mistakes.push(Mistake::new(at, found, expected).hint(hint).old_text(old));
}
