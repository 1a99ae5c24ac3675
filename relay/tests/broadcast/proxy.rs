//! A wire that flips a byte: between one relay and the node behind it.

use relay::{frame, message::Message};
use std::{net::SocketAddr, sync::Mutex, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const SILENCE: Duration = Duration::from_secs(60);

/// Owns the proxy's tasks.
pub(crate) struct Proxy(Mutex<JoinSet<()>>);

impl Proxy {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(JoinSet::new()))
    }

    /// An address that stands for `server` to one relay. The relay's `Join` is passed on
    /// with another address, behind which the byte `at` of what the relay sends is
    /// flipped. Its own data connection passes untouched.
    pub(crate) async fn before(&self, server: SocketAddr, at: u64) -> SocketAddr {
        let control = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let data = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = control.local_addr().unwrap();
        self.0.lock().unwrap().spawn(async move {
            let (relay, _) = control.accept().await.unwrap();
            let (first, (mut from_relay, mut to_relay)) =
                frame::accept(relay, SILENCE).await.unwrap();
            let server = TcpStream::connect(server).await.unwrap();
            let (mut from_server, mut to_server) = frame::open(server, SILENCE).await.unwrap();
            let Message::Join { token, address: real, back, have } = first else {
                panic!("{first:?}")
            };
            let join = Message::Join { token, address: data.local_addr().unwrap(), back, have };
            to_server.message(&join).await.unwrap();
            let up = async {
                while let Ok(message) = from_relay.message("report").await {
                    if to_server.message(&message).await.is_err() {
                        break;
                    }
                }
            };
            let down = async {
                while let Ok(message) = from_server.message("order").await {
                    if to_relay.message(&message).await.is_err() {
                        break;
                    }
                }
            };
            // Either way ending ends the connection; the data goes on until then.
            tokio::select! {
                () = up => {}
                () = down => {}
                () = flip(data, real, at) => {}
            }
        });
        address
    }

    /// An address that stands for `server` to one relay: all of its connections are passed on,
    /// with the byte `at` of the answers flipped on the second of them, which is the first that
    /// asks for blocks.
    pub(crate) async fn instead_of(&self, server: SocketAddr, at: u64) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        self.0.lock().unwrap().spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (client, _) = listener.accept().await.unwrap();
                let at = if number == 1 { at } else { u64::MAX };
                connections.spawn(pass(client, server, at));
            }
        });
        address
    }
}

/// Passes one connection on to `real`, with the byte `at` of the answers flipped.
async fn flip(data: TcpListener, real: SocketAddr, at: u64) {
    let (client, _) = data.accept().await.unwrap();
    pass(client, real, at).await;
    std::future::pending::<()>().await;
}

/// The same, until either side ends it.
async fn pass(mut client: TcpStream, real: SocketAddr, at: u64) {
    let mut relay = TcpStream::connect(real).await.unwrap();
    let (mut from_client, mut to_client) = client.split();
    let (mut from_relay, mut to_relay) = relay.split();
    let answers = async {
        copy(&mut (&mut from_relay).take(at), &mut to_client).await?;
        let byte = from_relay.read_u8().await?;
        to_client.write_u8(!byte).await?;
        copy(&mut from_relay, &mut to_client).await
    };
    let requests = copy(&mut from_client, &mut to_relay);
    tokio::select! {
        _ = answers => {}
        _ = requests => {}
    }
}
