//! One recording: a file that is bounded.

use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use tokio::sync::watch;

/// What stands where the beginning was.
const CUT: &[u8] = b"[the beginning was left out]\r\n";

/// What a recording is about: its first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::consoles) struct Head {
    /// The operation.
    pub(in crate::consoles) wid: String,
    /// Whose it is.
    pub(in crate::consoles) user: String,
    /// When it began, Unix time.
    pub(in crate::consoles) begun: u64,
    /// How much was left out at the beginning, less what says so.
    #[serde(default)]
    pub(in crate::consoles) cut: u64,
}

/// A file that is written.
pub(in crate::consoles) struct Recording {
    path: PathBuf,
    file: File,
    head: Head,
    /// Bytes of the content.
    length: u64,
    limit: u64,
    /// Where the next letter will be.
    end: watch::Sender<u64>,
}

impl Recording {
    /// Goes on with the file at `path` if it has this `head`, else begins it.
    pub(super) fn open(
        path: &Path,
        head: Head,
        limit: u64,
        end: watch::Sender<u64>,
    ) -> io::Result<Self> {
        let (head, length) = match read(path) {
            Ok((there, body)) if there.wid == head.wid => (there, body.len() as u64),
            _ => {
                write_new(path, &[&head.line()?])?;
                (head, 0)
            }
        };
        let file = OpenOptions::new().append(true).open(path)?;
        end.send_replace(head.cut + length);
        Ok(Self { path: path.to_owned(), file, head, length, limit, end })
    }

    /// Adds `piece`. It is small, and goes to the system's memory: no thread of its own is
    /// worth it.
    pub(in crate::consoles) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.length += piece.len() as u64;
        if self.length > self.limit {
            self.cut()?;
        }
        self.end.send_replace(self.head.cut + self.length);
        Ok(())
    }

    /// Leaves the older half out. Places stay what they are.
    fn cut(&mut self) -> io::Result<()> {
        let keep = i64::try_from(self.limit / 2).map_err(io::Error::other)?;
        let mut rest = Vec::new();
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::End(-keep))?;
        file.read_to_end(&mut rest)?;
        let length = (CUT.len() + rest.len()) as u64;
        let cut = (self.head.cut + self.length).saturating_sub(length);
        let head = Head { cut, ..self.head.clone() };
        let new = self.path.with_extension("new");
        write_new(&new, &[&head.line()?, CUT, &rest])?;
        fs::rename(&new, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        (self.head, self.length) = (head, length);
        Ok(())
    }
}

impl Head {
    fn line(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// A file that nobody else may read: consoles show what they show.
fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))
}

/// Head and content of the recording at `path`.
pub(super) fn read(path: &Path) -> io::Result<(Head, Vec<u8>)> {
    let mut bytes = fs::read(path)?;
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let head = serde_json::from_slice(&bytes[..end])?;
    Ok((head, bytes.split_off(bytes.len().min(end + 1))))
}
