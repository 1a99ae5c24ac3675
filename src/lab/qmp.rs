//! The monitor of a running node: the QEMU Machine Protocol.
//!
//! The node connects to us and greets; after `qmp_capabilities` it tells its
//! events (RESET, SHUTDOWN, …) unasked.
//! <https://www.qemu.org/docs/master/interop/qmp-spec.html>

use serde::Deserialize;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    net::{UnixListener, UnixStream},
    time::timeout,
};

/// A node that does not take a command of 40 bytes for this long is stuck.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// The connection to a node's monitor.
pub(super) struct Qmp {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
}

#[derive(Deserialize)]
struct Message {
    event: Option<String>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    desc: String,
}

/// What the monitor said of its own accord.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The machine was reset, from inside or by its firmware.
    Reset,
    /// A command was refused.
    Error(String),
    /// Anything else, by its name.
    Other(String),
}

impl Qmp {
    /// Waits for the node to connect to `listener` and greets it.
    pub(super) async fn accept(listener: &UnixListener) -> io::Result<Self> {
        let (stream, _) = listener.accept().await?;
        Self::greet(stream).await
    }

    async fn greet(stream: UnixStream) -> io::Result<Self> {
        let (read, write) = stream.into_split();
        let mut qmp = Self { lines: BufReader::new(read).lines(), write };
        let greeting = qmp.lines.next_line().await?.unwrap_or_default();
        if !greeting.contains("\"QMP\"") {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a QMP greeting"));
        }
        qmp.execute("qmp_capabilities").await?;
        Ok(qmp)
    }

    /// Sends a command without arguments; its result is not waited for.
    pub(super) async fn execute(&mut self, command: &str) -> io::Result<()> {
        let line = format!("{{\"execute\":\"{command}\"}}\n");
        timeout(WRITE_LIMIT, self.write.write_all(line.as_bytes())).await?
    }

    /// The next event; `None` when the node is gone.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            let line = self.lines.next_line().await.ok()??;
            let Ok(message) = serde_json::from_str::<Message>(&line) else { continue };
            match (message.event, message.error) {
                (Some(event), _) if event == "RESET" => return Some(Event::Reset),
                (Some(event), _) => return Some(Event::Other(event)),
                (_, Some(error)) => return Some(Event::Error(error.desc)),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn the_monitor_is_greeted_and_its_events_are_told() {
        let (mut node, us) = UnixStream::pair().unwrap();
        node.write_all(b"{\"QMP\": {\"version\": {}}}\n{\"return\": {}}\n{\"event\": \"RESET\", \"data\": {}}\n{\"error\": {\"class\": \"X\", \"desc\": \"no\"}}\n").await.unwrap();
        let mut qmp = Qmp::greet(us).await.unwrap();
        assert_eq!(qmp.next().await, Some(Event::Reset));
        assert_eq!(qmp.next().await, Some(Event::Error("no".into())));
        qmp.execute("system_powerdown").await.unwrap();
        let mut sent = vec![0; 64];
        let count = node.read(&mut sent).await.unwrap();
        assert!(
            String::from_utf8_lossy(&sent[..count])
                .starts_with("{\"execute\":\"qmp_capabilities\"}\n")
        );
        drop(node);
        assert_eq!(qmp.next().await, None);
    }
}
