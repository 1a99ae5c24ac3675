//! What deployments and reboots have in common: a boot profile of the user's own, a network.

use super::Failure;
use crate::{
    client::{ClientError, Export},
    environments::FileRef,
    types::PxeChoice,
};
use clap::Args;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A boot profile and a network.
#[derive(Debug, Args)]
pub(super) struct ProfileArgs {
    /// A boot profile of your own, instead of ours.
    #[arg(short = 'w', long, value_name = "FILE")]
    set_pxe_profile: Option<PathBuf>,
    /// A file with `HOSTNAME,VALUE` on each line: what `NODE_SINGULARITY` in the profile stands for.
    #[arg(long, value_name = "FILE", requires = "set_pxe_profile")]
    set_pxe_pattern: Option<PathBuf>,
    /// Files that the profile needs.
    #[arg(
        short = 'x',
        long,
        value_name = "FILE",
        value_delimiter = ',',
        requires = "set_pxe_profile"
    )]
    upload_pxe_files: Vec<String>,
    /// Put the nodes in this network.
    #[arg(long, value_name = "VLAN")]
    pub(super) vlan: Option<String>,
}

impl ProfileArgs {
    /// As the request says it. Local files that it names are added to `export`.
    pub(super) fn choice(&self, export: &mut Export) -> Result<Option<PxeChoice>, Failure> {
        let Some(path) = &self.set_pxe_profile else { return Ok(None) };
        let mut files = Vec::new();
        for file in &self.upload_pxe_files {
            files.push(match FileRef::parse(file)? {
                FileRef::Client(path) => export.add(Path::new(&path))?,
                other => String::from(other),
            });
        }
        let singularities = match &self.set_pxe_pattern {
            Some(path) => singularities(&read(path)?)?,
            None => BTreeMap::new(),
        };
        Ok(Some(PxeChoice { profile: read(path)?, singularities, files }))
    }
}

fn read(path: &Path) -> Result<String, ClientError> {
    fs::read_to_string(path).map_err(|source| ClientError::File { path: path.to_owned(), source })
}

fn singularities(text: &str) -> Result<BTreeMap<String, String>, Failure> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pair = |line: &str| match line.split_once(',') {
        Some((node, value)) => Ok((node.trim().to_owned(), value.trim().to_owned())),
        None => Err(Failure::usage(
            format!("'{line}' is not HOSTNAME,VALUE"),
            "write one node on each line of the file",
        )),
    };
    lines.map(pair).collect()
}
