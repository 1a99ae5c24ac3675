//! Content on its way into a connection.

use super::reply::Content;
use crate::{Asset, Outcome, assets::read_cached};
use rustix::{
    fs::sendfile,
    io::Errno,
    net::{SendFlags, send},
};
use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc, time::Duration};
use tokio::{io::Interest, net::TcpStream, time::timeout};

/// Bytes that are handed to the kernel at once; others have their turn in between.
const CHUNK: u64 = 512 * 1024;
/// Read at once to have a chunk in memory.
const READ: usize = 64 * 1024;

/// A connection as it is written to: a client that takes nothing for `stall` is cut off.
#[derive(Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) stream: &'a TcpStream,
    pub(super) stall: Duration,
}

impl Writer<'_> {
    /// Writes all of `bytes`; with `more`, what follows comes at once, and both may share a packet.
    pub(super) async fn bytes(self, mut bytes: &[u8], more: bool) -> io::Result<()> {
        let flags = if more { SendFlags::MORE } else { SendFlags::empty() } | SendFlags::NOSIGNAL;
        while !bytes.is_empty() {
            let sent = self.retry(|| send(self.stream, bytes, flags)).await?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Writes `content`, counting in its delivery.
    pub(super) async fn content(self, content: Content) -> io::Result<()> {
        let Content { asset, range, mut delivery } = content;
        let sent = match &asset {
            Asset::File { file, .. } => self.file(file, range, |bytes| delivery.add(bytes)).await,
            Asset::Bytes(_) => {
                let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
                let sent = self.bytes(&asset.read_at(range.start, count).await?, false).await;
                sent.inspect(|()| delivery.add(count as u64))
            }
        };
        match &sent {
            Ok(()) => delivery.finish(Outcome::Sent("all".into())),
            Err(error) if gone(error) => {}
            Err(error) => delivery.finish(Outcome::Failed(error.to_string().into())),
        }
        sent
    }

    /// The kernel copies from its memory of the file: nothing comes through this program.
    async fn file(
        self,
        file: &Arc<File>,
        range: Range<u64>,
        mut count: impl FnMut(u64),
    ) -> io::Result<()> {
        let mut offset = range.start;
        while offset < range.end {
            let end = range.end.min(offset + CHUNK);
            load(file, offset..end).await?;
            while offset < end {
                let want = usize::try_from(end - offset).unwrap_or(READ);
                let sent =
                    self.retry(|| sendfile(self.stream, file, Some(&mut offset), want)).await?;
                if sent == 0 {
                    return Err(io::Error::other("the file became shorter while it was sent"));
                }
                count(sent as u64);
            }
        }
        Ok(())
    }

    async fn retry(self, mut write: impl FnMut() -> Result<usize, Errno>) -> io::Result<usize> {
        let written = self.stream.async_io(Interest::WRITABLE, || Ok(write()?));
        timeout(self.stall, written).await.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing"))
        })
    }
}

/// The client hung up, which is no failure of ours to explain.
fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Has `range` of `file` in the kernel's memory, so that sending it does not wait for a disk: if an end
/// of it is not there, a thread that may wait reads it.
async fn load(file: &Arc<File>, range: Range<u64>) -> io::Result<()> {
    let cached = |offset| read_cached(file, &mut [0], offset).map(|had| had == 1);
    if cached(range.start)? && cached(range.end - 1)? {
        return Ok(());
    }
    let file = Arc::clone(file);
    let read = move || {
        let (mut buffer, mut offset) = (vec![0; READ], range.start);
        while offset < range.end {
            match file.read_at(&mut buffer, offset)? {
                0 => return Err(io::Error::other("the file became shorter while it was sent")),
                had => offset += had as u64,
            }
        }
        Ok(())
    };
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}
