//! What a file is now, to be compared later.

use super::{
    grab::{exported, unreadable},
    http,
};
use crate::{environments::FileRef, types::Problem};
use cache::Source;
use futures_util::StreamExt;
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

/// What a tag begins with, where a digest may stand as well.
pub(crate) const TAG: &str = "etag:";

/// What the checksum begins with of a file that Kadeploy knew and that is not this one any more.
pub(crate) const OLD: &str = "md5:";

/// What a file is now: behind [`TAG`] the tag that its server gives it; of one without a tag, and of one
/// of this machine, its SHA-256. `client` is the address of the client's file server.
///
/// # Errors
/// 3: the file is on the client's machine, which is not known. 5: it cannot be had.
pub async fn checksum(file: &FileRef, client: Option<&str>) -> Result<String, Problem> {
    let url = match file {
        FileRef::Web(url) => url.clone(),
        FileRef::Client(path) => exported(client, path)?,
        FileRef::Server(path) => return sha256(&file.to_string(), path.clone()).await,
    };
    let told = async {
        let client = http::client(matches!(file, FileRef::Client(_)))?;
        let file = http::WebFile::new(&client, &url).await?;
        match file.stamp().etag {
            Some(etag) => Ok(format!("{TAG}{etag}")),
            None => content(&file).await,
        }
    };
    told.await.map_err(|why| unreadable(file, &why))
}

/// SHA-256 of all that comes.
async fn content(file: &http::WebFile) -> io::Result<String> {
    let (mut digest, mut length) = (Sha256::new(), 0);
    let mut pieces = file.open().await?;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        length += piece.len() as u64;
        digest.update(&piece);
    }
    // A part of it would be another file.
    if length == file.size() {
        Ok(format!("{:x}", digest.finalize()))
    } else {
        Err(io::Error::other(format!("of {} bytes {length} came", file.size())))
    }
}
