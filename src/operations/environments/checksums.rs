//! What the files of an environment are now, to be compared at each deployment.
//!
//! A file of the server is known by its digest, one behind HTTP by the tag that its server
//! gives it, or by its digest where it gives none.

use crate::{
    environments::{Environment, FileRef},
    files,
    types::Problem,
};
use std::collections::BTreeMap;

/// Which files of an environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// The image.
    pub image: bool,
    /// The archive of the pre-installation.
    pub preinstall: bool,
    /// The archives of the post-installations.
    pub postinstalls: bool,
}

impl Which {
    pub(super) const ALL: Self = Self { image: true, preinstall: true, postinstalls: true };

    /// Whether none is meant.
    pub fn none(self) -> bool {
        self == Self::default()
    }

    fn files(self, environment: &Environment) -> Vec<&str> {
        let mut files = Vec::new();
        if self.image {
            files.push(environment.image.file.as_str());
        }
        if self.preinstall {
            files.extend(environment.preinstall.iter().map(|one| one.file.as_str()));
        }
        if self.postinstalls {
            let archives = environment.postinstalls.iter().flatten();
            files.extend(archives.map(|one| one.file.as_str()));
        }
        files
    }
}

/// The checksums of the files now, by reference. `client` is the address of the client's file server.
///
/// # Errors
/// 3: a file is on the client's machine, and his file server is not known. 5: it cannot be read.
pub(super) async fn now(
    environment: &Environment,
    which: Which,
    client: Option<&str>,
) -> Result<BTreeMap<String, String>, Problem> {
    let mut checksums = BTreeMap::new();
    for reference in which.files(environment) {
        let checksum = match FileRef::parse(reference)? {
            FileRef::Server(path) => files::sha256(reference, path).await?,
            file => files::checksum(&file, client).await?,
        };
        checksums.insert(reference.to_owned(), checksum);
    }
    Ok(checksums)
}
