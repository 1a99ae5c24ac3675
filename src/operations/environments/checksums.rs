//! What the files of an environment are now, to be compared at each deployment.
//!
//! A file of the server is known by its digest, one behind HTTP by the tag that its server
//! gives it.

use crate::{
    environments::{Environment, FileRef},
    files,
    types::{Code, Problem},
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

/// The checksums of the files now, by reference. A file of the client's machine is left out
/// where `client`, the address of his file server, is not known.
///
/// # Errors
/// 5: a file cannot be read, or its server does not tell what it is.
pub(super) async fn now(
    environment: &Environment,
    which: Which,
    client: Option<&str>,
) -> Result<BTreeMap<String, String>, Problem> {
    let mut checksums = BTreeMap::new();
    for reference in which.files(environment) {
        let checksum = match FileRef::parse(reference)? {
            FileRef::Server(path) => files::sha256(reference, path).await?,
            FileRef::Client(_) if client.is_none() => continue,
            file => files::tag(&file, client).await?,
        };
        checksums.insert(reference.to_owned(), checksum);
    }
    Ok(checksums)
}

/// Error 3 where a file of the client's machine is meant and his file server is not known.
pub(super) fn reachable(
    environment: &Environment,
    which: Which,
    client: Option<&str>,
) -> Result<(), Problem> {
    for reference in which.files(environment).into_iter().filter(|_| client.is_none()) {
        if let FileRef::Client(path) = FileRef::parse(reference)? {
            let text = format!(
                "There is no way to retrieve {path} from the Kadeploy server. Consider using a server:// or a http:// URL"
            );
            return Err(Problem::new(Code::InvalidClient, text));
        }
    }
    Ok(())
}
