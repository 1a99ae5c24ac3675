//! What a file is now, to be compared later.

use super::grab::unreadable;
use crate::types::Problem;
use sha2::{Digest, Sha256};
use std::{fs, io, path::PathBuf};

/// SHA-256 of the file at `path` on this machine, 64 hexadecimal digits. Error 5, with the
/// `reference` by which users know it, where it cannot be read.
pub async fn sha256(reference: &str, path: PathBuf) -> Result<String, Problem> {
    let read = move || {
        // Before it is opened: a pipe would wait for a writer.
        if !fs::metadata(&path)?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut file = fs::File::open(path)?;
        let mut digest = Sha256::new();
        io::copy(&mut file, &mut digest)?;
        Ok(format!("{:x}", digest.finalize()))
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(Problem::internal)?;
    read.map_err(|why| unreadable(reference, &why))
}
