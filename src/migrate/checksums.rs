//! The checksums of Kadeploy as ours.

use super::environment::Found;
use crate::{
    environments::FileRef,
    files::{self, TAG},
};
use md5::{Digest, Md5};
use std::{collections::BTreeMap, fs::File, io, path::Path};

/// The checksums of an environment by file, and the files that are not what was recorded.
///
/// A tag of a web server is kept. A file of this machine was known by its MD5: where it still is
/// that file, it is known by its SHA-256 from now on. Where it is not, or is not here, its MD5 is
/// kept: no deployment takes the file until somebody says that it is right.
pub(super) async fn ours(found: &Found) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut checksums, mut others) = (BTreeMap::new(), Vec::new());
    for (reference, known) in found.checksums.iter().filter(|(_, known)| !known.is_empty()) {
        let checksum = match FileRef::parse(reference) {
            Ok(FileRef::Server(path)) => match same(&path, known).await {
                Ok(sha256) => sha256,
                Err(why) => {
                    others.push(format!("{reference} {why}"));
                    format!("{}{known}", files::OLD)
                }
            },
            _ => format!("{TAG}{known}"),
        };
        checksums.insert(reference.clone(), checksum);
    }
    (checksums, others)
}

/// The SHA-256 of the file at `path` if its MD5 is `known`.
async fn same(path: &Path, known: &str) -> Result<String, String> {
    let (reference, md5_of) = (path.display().to_string(), path.to_owned());
    let unreadable = |why: &dyn std::fmt::Display| format!("cannot be read here: {why}");
    let sha256 = files::sha256(&reference, path.to_owned()).await;
    let sha256 = sha256.map_err(|why| unreadable(&why))?;
    let md5 = tokio::task::spawn_blocking(move || md5(&md5_of)).await;
    let md5 = md5.map_err(|why| unreadable(&why))?.map_err(|why| unreadable(&why))?;
    if md5.eq_ignore_ascii_case(known) {
        Ok(sha256)
    } else {
        Err("is not the file that was recorded".to_owned())
    }
}

fn md5(path: &Path) -> io::Result<String> {
    let mut digest = Md5::new();
    io::copy(&mut File::open(path)?, &mut digest)?;
    Ok(format!("{:x}", digest.finalize()))
}
