//! Accepts connections, in the clear or with TLS.

use super::{
    Api,
    address::{self, Line},
    patient::Patient,
    reply::refuse,
    request::{MOST_BODY, Raw, too_large},
    room::{Place, Room},
    routes,
};
use crate::{access::Peer, types::Problem};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use warp::{
    Filter,
    http::{HeaderMap, Method, header},
    path::FullPath,
};

/// Connections at once; further ones wait in the kernel.
const CONNECTIONS: usize = 1000;

/// How long a client may take to send its headers, and then the body: a megabyte at most, so
/// that only one who holds connections on purpose takes longer. And how long it may read nothing of an
/// answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Largest body that is read and thrown away. A client that still sends does not read: it would
/// see its connection reset in place of our answer.
const MOST_DISCARDED: u64 = 16 * MOST_BODY;

/// How long open requests may take to end when the service stops.
const DRAIN: Duration = Duration::from_secs(2);

/// How long a client may take to agree on the encryption.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Answers on `listener` until `stop`; only with `tls`, where it is given.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    api: Arc<Api>,
    stop: CancellationToken,
) -> io::Result<()> {
    let port = listener.local_addr()?.port();
    let filter = filter(api);
    let mut server = Builder::new(TokioExecutor::new());
    // Names of headers as the original writes them: there are scripts that look at the text.
    let (timer, titles) = (TokioTimer::new(), true);
    server.http1().timer(timer).title_case_headers(titles).header_read_timeout(PATIENCE);
    let (graceful, slots) = (GracefulShutdown::new(), Arc::new(Semaphore::new(CONNECTIONS)));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        let Ok((stream, address, slot)) = accepted else { continue };
        let (tls, filter, server) = (tls.clone(), filter.clone(), server.clone());
        let watcher = graceful.watcher();
        connections.spawn(async move {
            let _slot = slot;
            let opened = open(stream, tls).await;
            let Ok((stream, certificate)) = opened.inspect_err(|error| {
                tracing::debug!(%address, %error, "no connection came about");
            }) else {
                return;
            };
            let peer = Peer { address, port, certificate };
            let with_peer = warp::any().map(move || peer.clone()).and(filter);
            let service = TowerToHyperService::new(warp::service(with_peer.then(reply)));
            let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%address, %error, "connection broke off");
            }
        });
    }
    drop(listener);
    tokio::time::timeout(DRAIN, graceful.shutdown()).await.ok();
    connections.shutdown().await;
    Ok(())
}

/// The connection, and the certificate of the client if it has shown one.
async fn open(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
) -> io::Result<(Box<dyn Line>, Option<Arc<[u8]>>)> {
    let fitted = |stream| tokio::time::timeout(PATIENCE, address::fitted(stream));
    let stream = Patient::new(stream, PATIENCE);
    let Some(tls) = tls else { return Ok((fitted(Box::new(stream)).await??, None)) };
    let stream = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await??;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = shown.map(|certificate| Arc::from(certificate.as_ref()));
    Ok((fitted(Box::new(stream)).await??, certificate))
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            stream.set_nodelay(true)?;
            Ok((stream, peer, slot))
        }
        Err(error) => {
            // Out of descriptors, for example: others must close first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err(error)
        }
    }
}

type Body = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send>>;
type Parts = (Arc<Api>, Arc<Room>, Method, FullPath, String, HeaderMap, Body);

fn filter(api: Arc<Api>) -> impl Filter<Extract = (Parts,), Error = warp::Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let body = warp::body::stream().map(|stream: _| -> Body { boxed(stream) });
    let room = Room::new();
    warp::any()
        .map(move || (Arc::clone(&api), Arc::clone(&room)))
        .untuple_one()
        .and(warp::method())
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(body)
        .map(|api, room, method, path, query, headers, body| {
            (api, room, method, path, query, headers, body)
        })
}

fn boxed<B: Buf>(stream: impl Stream<Item = Result<B, warp::Error>> + Send + 'static) -> Body {
    Box::pin(stream.map(|piece| piece.map(|mut piece| piece.copy_to_bytes(piece.remaining()))))
}

async fn reply(peer: Peer, parts: Parts) -> warp::reply::Response {
    let (api, room, method, path, query, headers, body) = parts;
    // Held until the answer is there.
    let (body, _place) = match read(&room, &headers, body).await {
        Ok(read) => read,
        Err(problem) => return refuse(&problem),
    };
    let (path, query) = (path.as_str().to_owned(), address::whole(query, &headers));
    routes::answer(api, Raw { room, method, path, query, headers, body, peer }).await
}

/// The body, if its length is announced and not too large, and all of it arrives in time.
async fn read(room: &Room, headers: &HeaderMap, stream: Body) -> Result<(Bytes, Place), Problem> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        let text = "send Content-Length, a body in chunks is not read";
        return Err(Problem::LengthRequired(text.into()));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length: u64 = length.and_then(|text| text.parse().ok()).unwrap_or_default();
    if length > MOST_BODY {
        if length <= MOST_DISCARDED {
            tokio::time::timeout(PATIENCE, discard(stream)).await.ok();
        }
        return Err(too_large());
    }
    let place = room.body(length).await?;
    let body = tokio::time::timeout(PATIENCE, collect(stream, length)).await;
    let body = body.unwrap_or_default();
    // Half a request must not be taken for a whole one.
    if body.len() as u64 == length {
        Ok((body.freeze(), place))
    } else {
        let text = format!("of {length} bytes that were announced {} arrived", body.len());
        Err(Problem::LengthRequired(text))
    }
}

async fn discard(mut stream: Body) {
    while let Some(Ok(_)) = stream.next().await {}
}

async fn collect(mut stream: Body, length: u64) -> BytesMut {
    let mut body = BytesMut::new();
    while (body.len() as u64) < length {
        let Some(Ok(piece)) = stream.next().await else { break };
        body.extend_from_slice(&piece);
    }
    body
}
