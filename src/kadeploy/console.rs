//! `kaconsole3`: the serial console of a node.

use super::{
    channels::{say, say_raw},
    failure::Failure,
    http::{Server, query},
    options::Line,
    session::Session,
    terminal::Changed,
};
use reqwest::Method;
use serde_json::{Map, Value};
use std::{
    io::{IsTerminal, Read, Write, stdin, stdout},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::sleep,
};

/// The key that ends the program when it is pressed so often without another one between.
const ESCAPE: u8 = 0x1b;
const ESCAPES: usize = 4;

/// Between two questions whether the console is still there.
const BEAT: Duration = Duration::from_secs(1);

/// What can be said without a server.
pub(super) fn check(line: &Line) -> Result<(), Failure> {
    if !stdin().is_terminal() {
        return Err(Failure::usage("Kaconsole output must be a TTY."));
    }
    let nodes = super::nodes::named(line)?;
    if nodes.len() == 1 { Ok(()) } else { Err(Failure::usage("You must choose exactly one node")) }
}

/// Connects the terminal to the console, until one of them has enough.
pub(super) async fn run(session: Session) -> Result<(), Failure> {
    let dealt = session.dealt().await?;
    let Some((server, nodes)) = dealt.into_iter().next() else { return Ok(()) };
    let node = nodes.first().map(String::as_str).unwrap_or_default();
    let mut body = Map::new();
    body.insert("node".into(), node.into());
    let created = server.send(Method::POST, "/console/", body).await?;
    if session.line.on("dry-run") {
        return Ok(());
    }
    let console = Console::new(&server, node, &created)?;
    let ended = console.attach().await;
    let closed = console.close().await;
    ended.and(closed)
}

/// A console that was opened.
struct Console<'a> {
    server: &'a Server,
    node: &'a str,
    wid: &'a str,
    /// Its paths.
    resource: &'a str,
    error: &'a str,
    /// Where it is, `host:port`.
    address: &'a str,
}

impl<'a> Console<'a> {
    fn new(server: &'a Server, node: &'a str, created: &'a Value) -> Result<Self, Failure> {
        let text = |value: &'a Value| {
            value.as_str().ok_or_else(|| Failure::usage("Invalid server response"))
        };
        let resources = &created["resources"];
        let uri = text(&resources["console"])?;
        Ok(Self {
            server,
            node,
            wid: text(&created["wid"])?,
            resource: text(&resources["resource"])?,
            error: text(&resources["error"])?,
            address: uri.strip_prefix("tcp://").unwrap_or(uri).trim_end_matches('/'),
        })
    }

    /// Lets the person talk to the node.
    async fn attach(&self) -> Result<(), Failure> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| {
            Failure::usage(format!("The console at {} cannot be reached: {error}", self.address))
        })?;
        say("[Kaconsole] kill sequence: ^[^[^[^[");
        let raw = Changed::raw().map_err(|error| Failure::usage(error.to_string()))?;
        let (from, to) = stream.into_split();
        let ended = tokio::select! {
            () = show(from) => Ok(()),
            () = typed(to) => Ok(()),
            watched = self.watch() => watched,
        };
        drop(raw);
        say("");
        ended
    }

    /// Ends when the service says that the console has.
    async fn watch(&self) -> Result<(), Failure> {
        let path = query(self.resource, &[("node", self.node)]);
        loop {
            sleep(BEAT).await;
            if self.server.get(&path).await?["error"].as_bool().unwrap_or_default() {
                return Ok(());
            }
        }
    }

    /// Tells why it ended, if that was an error, and deletes it.
    async fn close(&self) -> Result<(), Failure> {
        let list = self.server.get(&query("/console", &[("node", self.node)])).await?;
        let ours = |console: &Value| console["id"] == self.wid;
        if !list.as_array().is_some_and(|list| list.iter().any(ours)) {
            // It was closed for us, with the rights on its node.
            say("[Kaconsole] the console was closed by the server");
            return Ok(());
        }
        let state = self.server.get(&query(self.resource, &[("node", self.node)])).await?;
        if state["error"].as_bool().unwrap_or_default() {
            self.server.text(self.error).await?;
        }
        self.server.send(Method::DELETE, self.resource, Map::new()).await.map(drop)
    }
}

/// What the node prints, as it comes.
async fn show(mut from: OwnedReadHalf) {
    let mut piece = vec![0; 4096];
    while let Ok(length) = from.read(&mut piece).await {
        let mut out = stdout().lock();
        // The terminal may have gone.
        if length == 0 || out.write_all(&piece[..length]).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

/// What the person types, as it comes, until he has enough.
async fn typed(mut to: OwnedWriteHalf) {
    let mut keys = keys();
    let mut escapes = Escapes::default();
    while let Some(key) = keys.recv().await {
        if escapes.ends(key) || to.write_all(&[key]).await.is_err() {
            break;
        }
    }
    say_raw("\r\n[Kaconsole] killed\r\n");
}

/// Counts the keys of the kill sequence.
#[derive(Debug, Default)]
struct Escapes(usize);

impl Escapes {
    /// Whether this key is the last one of the sequence.
    fn ends(&mut self, key: u8) -> bool {
        self.0 = if key == ESCAPE { self.0 + 1 } else { 0 };
        self.0 == ESCAPES
    }
}

fn keys() -> mpsc::Receiver<u8> {
    let (sender, keys) = mpsc::channel(1024);
    // A thread of its own: a read of standard input cannot be taken back.
    std::thread::spawn(move || {
        stdin().lock().bytes().map_while(Result::ok).all(|key| sender.blocking_send(key).is_ok())
    });
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_escapes_in_a_row_are_the_end() {
        let mut escapes = Escapes::default();
        let keys = b"\x1b\x1b\x1ba\x1b\x1b\x1b\x1b";
        let ends: Vec<_> = keys.iter().map(|key| escapes.ends(*key)).collect();
        assert_eq!(ends, [false, false, false, false, false, false, false, true]);
    }
}
