//! The serial port of a node: recorded by QEMU itself, shared by the keeper.
//!
//! The node connects to the keeper, which passes what it says to everybody who
//! listens (a terminal, IPMI's serial over LAN) and what they type to the node.
//! They stay connected while the node is off.

use bytes::Bytes;
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixListener},
    sync::{broadcast, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Pieces of output that wait for a slow listener before it misses some: a screen or two.
const OUTPUT_QUEUE: usize = 256;
/// Keystrokes that wait for the node.
const INPUT_QUEUE: usize = 64;
/// A node that does not take what was typed for this long loses it.
const TYPE_LIMIT: Duration = Duration::from_secs(2);
/// Console logs of earlier boots that are kept.
const OLD_LOGS: u32 = 9;

/// The console log of the boot `age` power actions ago.
fn aged(log: &Path, age: u32) -> PathBuf {
    if age == 0 { log.to_owned() } else { log.with_extension(format!("log.{age}")) }
}

/// The console logs that there are, the newest first.
pub(super) fn kept(log: &Path) -> Vec<PathBuf> {
    (0..=OLD_LOGS).map(|age| aged(log, age)).filter(|log| log.is_file()).collect()
}

/// Makes room for a new console log: `console.log` becomes `console.log.1`, and so on.
pub(super) fn rotate(log: &Path) -> io::Result<()> {
    for n in (0..OLD_LOGS).rev() {
        match std::fs::rename(aged(log, n), aged(log, n + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Where a node's serial port is offered.
pub(super) struct Console {
    /// The node connects here.
    pub(super) serial: UnixListener,
    /// Terminals connect here.
    pub(super) terminals: UnixListener,
    /// The BMC connects here for serial over LAN.
    pub(super) sol: Option<TcpListener>,
}

impl Console {
    /// Passes bytes until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let (output, _) = broadcast::channel(OUTPUT_QUEUE);
        let (input, mut typed) = mpsc::channel(INPUT_QUEUE);
        let mut listeners = JoinSet::new();
        let machine = machine(self.serial, output.clone(), &mut typed);
        tokio::pin!(machine);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = &mut machine => break,
                Ok((stream, _)) = self.terminals.accept() => {
                    let (read, write) = stream.into_split();
                    listeners.spawn(listen(read, write, output.subscribe(), input.clone()));
                }
                Ok((stream, _)) = accept(self.sol.as_ref()) => {
                    let (read, write) = stream.into_split();
                    listeners.spawn(listen(read, write, output.subscribe(), input.clone()));
                }
                Some(_) = listeners.join_next() => {}
            }
        }
    }
}

async fn accept(
    listener: Option<&TcpListener>,
) -> io::Result<(tokio::net::TcpStream, std::net::SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// The node's side: one connection after the other, one for each time it has power.
async fn machine(
    serial: UnixListener,
    output: broadcast::Sender<Bytes>,
    typed: &mut mpsc::Receiver<Bytes>,
) {
    loop {
        let mut stream = tokio::select! {
            accepted = serial.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => return,
            },
            // Nobody hears what is typed to a node that is off.
            Some(_) = typed.recv() => continue,
        };
        let (mut read, mut write) = stream.split();
        let mut buffer = [0; 4096];
        loop {
            tokio::select! {
                got = read.read(&mut buffer) => match got {
                    Ok(count) if count > 0 => {
                        // Without listeners there is nobody to tell.
                        let _ = output.send(Bytes::copy_from_slice(&buffer[..count]));
                    }
                    _ => break,
                },
                Some(text) = typed.recv() => {
                    let _ = timeout(TYPE_LIMIT, write.write_all(&text)).await;
                }
            }
        }
    }
}

/// A listener's side, until it leaves.
async fn listen(
    mut read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    mut output: broadcast::Receiver<Bytes>,
    input: mpsc::Sender<Bytes>,
) {
    let mut buffer = [0; 1024];
    loop {
        tokio::select! {
            said = output.recv() => match said {
                Ok(bytes) => if write.write_all(&bytes).await.is_err() { return },
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            },
            got = read.read(&mut buffer) => match got {
                Ok(count) if count > 0 => {
                    let text = Bytes::copy_from_slice(&buffer[..count]);
                    if input.send(text).await.is_err() { return }
                }
                _ => return,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixStream;

    #[test]
    fn earlier_logs_are_kept_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("console.log");
        rotate(&log).unwrap();
        for boot in 0..12 {
            std::fs::write(&log, boot.to_string()).unwrap();
            rotate(&log).unwrap();
        }
        let read = |n: u32| std::fs::read_to_string(dir.path().join(format!("console.log.{n}")));
        assert_eq!((read(1).unwrap().as_str(), read(9).unwrap().as_str()), ("11", "3"));
        assert!(read(10).is_err());
        assert_eq!(kept(&log).len(), 9, "the newest has been moved away");
    }

    /// What is typed while the node is off is lost: types until it comes through.
    async fn type_until_heard(who: &mut (impl AsyncWrite + Unpin), node: &mut UnixStream) {
        let mut heard = [0];
        while timeout(Duration::from_millis(100), node.read(&mut heard)).await.is_err() {
            who.write_all(b"x").await.unwrap();
        }
        assert_eq!(&heard, b"x");
    }

    #[tokio::test]
    async fn listeners_share_a_node_and_outlive_its_reboot() {
        let dir = tempfile::tempdir().unwrap();
        let [serial, console] = ["serial", "console"].map(|name| dir.path().join(name));
        let sol = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sol_address = sol.local_addr().unwrap();
        let port = Console {
            serial: UnixListener::bind(&serial).unwrap(),
            terminals: UnixListener::bind(&console).unwrap(),
            sol: Some(sol),
        };
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(port.run(stop.clone()));

        let mut terminal = UnixStream::connect(&console).await.unwrap();
        let mut lan = tokio::net::TcpStream::connect(sol_address).await.unwrap();
        for _ in 0..2 {
            let mut node = UnixStream::connect(&serial).await.unwrap();
            type_until_heard(&mut terminal, &mut node).await;
            type_until_heard(&mut lan, &mut node).await;
            let mut said = [0; 4];
            node.write_all(b"boot").await.unwrap();
            terminal.read_exact(&mut said).await.unwrap();
            assert_eq!(&said, b"boot");
            lan.read_exact(&mut said).await.unwrap();
            assert_eq!(&said, b"boot");
        }
        stop.cancel();
        tasks.join_all().await;
    }
}
