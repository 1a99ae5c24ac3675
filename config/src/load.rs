//! A configuration directory, read whole: all files, all mistakes.

use crate::inventory::{self, Taken};
use crate::mistake::{Mistake, Mistakes, Notice};
use crate::model::client::Client;
use crate::model::cluster::{Cluster, ClusterFile, Config};
use crate::model::clusters::ClustersKeys;
use crate::model::command::NodeCommands;
use crate::model::server::Server;
use crate::read::{Reader, Value, nearest};
use crate::snippet::Source;
use crate::tree::{Data, Located, parse};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Largest file read: over that it is not a configuration.
const LARGEST: u64 = 64 << 20;

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
    let mut clusters = clusters(&mut cx);
    commands(&mut clusters, &mut cx);
    match (version, server) {
        (Some(version), Some(server)) if cx.mistakes.is_empty() => {
            for cluster in &mut clusters {
                cluster.file.remoteops.connect(&server.external.default_connector);
            }
            let config = Config { dir: dir.to_owned(), version, server, clusters };
            Ok(Loaded { config, notices: cx.notices })
        }
        _ => Err(Mistakes(cx.mistakes)),
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
        _ => Err(Mistakes(cx.mistakes)),
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
    let source = Source { file: old_file.clone(), text: String::new() };
    cx.notice(source.place(crate::tree::Span::default()), "", format!("old name of `{name}`"));
    tree_of(old_file, cx)
}

fn tree_of(file: PathBuf, cx: &mut Reader<'_>) -> Option<Located> {
    let text = read(&file, cx)?;
    parse(&Arc::new(Source { file, text })).map_err(|mistake| cx.mistakes.push(mistake)).ok()
}

fn read(file: &Path, cx: &mut Reader<'_>) -> Option<String> {
    let large = fs::metadata(file).is_ok_and(|meta| meta.len() > LARGEST);
    let text = if large { Err("too large".to_owned()) } else { text_of(file) };
    text.map_err(|reason| {
        cx.mistakes.push(Mistake::file(file.to_owned(), reason, "a text file that can be read"));
    })
    .ok()
}

fn text_of(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| error.to_string())
}

fn clusters(cx: &mut Reader<'_>) -> Vec<Cluster> {
    let Some(tree) = tree("clusters.conf", "clusters.yml", cx) else { return Vec::new() };
    let Some(keys) = ClustersKeys::read(&tree, cx) else { return Vec::new() };
    let entries = match tree.get("clusters").map(|clusters| &clusters.data) {
        Some(Data::List(entries)) => entries.as_slice(),
        _ => &[],
    };
    let mut taken = Taken::default();
    let mut clusters = Vec::new();
    for (keys, at) in keys.clusters.into_iter().zip(entries) {
        let file = tree_of(keys.conf_file.clone(), cx);
        if let Some(file) = file.and_then(|tree| ClusterFile::read(&tree, cx)) {
            clusters.push(inventory::cluster(keys, file, at, &mut taken, cx));
        }
    }
    if entries.is_empty() {
        cx.wrong(tree.get("clusters").unwrap_or(&tree), "at least one cluster");
    }
    clusters
}

/// Gives nodes their own commands.
fn commands(clusters: &mut [Cluster], cx: &mut Reader<'_>) {
    let Some(tree) = tree("command.conf", "cmd.yml", cx) else { return };
    let entries = match &tree.data {
        Data::Null => return,
        Data::Map(entries) => entries,
        _ => return cx.wrong(&tree, "a map of node names to commands"),
    };
    for entry in entries {
        let commands = NodeCommands::read(&entry.value, cx);
        let mut nodes = clusters.iter_mut().flat_map(|cluster| &mut cluster.nodes);
        match (nodes.find(|node| node.name == entry.key), commands) {
            (Some(node), Some(commands)) => node.commands = commands.0,
            (None, _) => unknown_node(&entry.key, &entry.value, clusters, cx),
            _ => (),
        }
    }
}

fn unknown_node(name: &str, at: &Located, clusters: &[Cluster], cx: &mut Reader<'_>) {
    let names = clusters.iter().flat_map(|c| &c.nodes).map(|node| node.name.as_str());
    let hint = nearest(name, names).map(|near| format!("did you mean `{near}`?"));
    let found = format!("the node `{name}`");
    let expected = "the full name of a node in clusters.conf";
    cx.mistakes.push(Mistake::new(at, found, expected).hint(hint));
}
