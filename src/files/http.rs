//! Files behind HTTP: web servers, and the clients' own file servers.

use cache::{ByteStream, Source, Stamp};
use futures_util::TryStreamExt;
use reqwest::{Client, Response, header};
use std::{io, time::Duration};

/// Bound of connecting and of each silence: a server that says nothing for that long is dead.
const SILENCE: Duration = Duration::from_secs(30);

/// A file behind a URL, as its server described it.
pub(super) struct WebFile {
    client: Client,
    url: String,
    size: u64,
    stamp: Stamp,
}

/// A client for files: bounded, follows a few redirections, and asks no proxy: who names a file names
/// where it is, whatever the environment of the service says. The file server of a client of
/// ours makes its certificate as it starts: there is nobody to verify it with, and it is named by
/// the very request that names the files.
pub(super) fn client(exported: bool) -> io::Result<Client> {
    crate::platform::crypto();
    Client::builder()
        .connect_timeout(SILENCE)
        .read_timeout(SILENCE)
        .tls_danger_accept_invalid_certs(exported)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::limited(5))
        .build()
        .map_err(io::Error::other)
}

impl WebFile {
    /// Asks for the size and the state of the file at `url` (HEAD).
    pub(super) async fn new(client: &Client, url: &str) -> io::Result<Self> {
        let response = checked(client.head(url).header(header::ACCEPT, "*/*").send().await)?;
        let text = |name: header::HeaderName| {
            let value = response.headers().get(name)?;
            value.to_str().ok().filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let size = text(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let size = size.ok_or_else(|| io::Error::other("the server does not tell its size"))?;
        let stamp =
            Stamp { mtime: text(header::LAST_MODIFIED), etag: text(header::ETAG), md5: None };
        Ok(Self { client: client.clone(), url: url.to_owned(), size, stamp })
    }
}

#[async_trait::async_trait]
impl Source for WebFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn stamp(&self) -> Stamp {
        self.stamp.clone()
    }

    async fn open(&self) -> io::Result<ByteStream> {
        let request = self.client.get(&self.url).header(header::ACCEPT, "*/*");
        let response = checked(request.send().await)?;
        Ok(Box::pin(response.bytes_stream().map_err(io::Error::other)))
    }
}

/// The response, if it is a success.
fn checked(response: reqwest::Result<Response>) -> io::Result<Response> {
    let response = response.map_err(|error| {
        // The outer texts only repeat the address; what happened is the innermost one.
        let mut cause: &dyn std::error::Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let refused = cause.downcast_ref::<io::Error>();
        if refused.is_some_and(|why| why.kind() == io::ErrorKind::ConnectionRefused) {
            return io::Error::other("connection refused");
        }
        io::Error::other(cause.to_string())
    })?;
    let status = response.status();
    if status.is_success() {
        Ok(response)
    } else {
        Err(io::Error::other(format!("http error #{}", status.as_u16())))
    }
}
