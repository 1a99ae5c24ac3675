//! The file server that hands local files to the services.
//!
//! A service asks for `<base>/<base64url of the path>`, HEAD for size and state and then GET.
//! Only files that a request names are there.

use super::failure::Failure;
use base64::{Engine, engine::general_purpose::URL_SAFE};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use std::{
    collections::HashMap,
    fs::Metadata,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::io::ReaderStream;
use warp::{
    Filter, Reply,
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header},
};

/// Bytes read at a time.
const PIECE: usize = 256 << 10;

type Files = Arc<Mutex<HashMap<String, PathBuf>>>;

/// Local files that requests name. They are served as long as this lives.
#[derive(Debug, Default)]
pub(super) struct Export {
    secure: bool,
    files: Files,
    serving: tokio::sync::OnceCell<Serving>,
}

#[derive(Debug)]
struct Serving {
    url: String,
    _tasks: JoinSet<()>,
}

impl Export {
    /// Nothing yet; over TLS if `secure`.
    pub(super) fn new(secure: bool) -> Self {
        Self { secure, ..Self::default() }
    }

    /// Adds what `reference` names if it is a file of this machine.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn refer(&self, reference: &str) -> Result<(), Failure> {
        match local(reference) {
            Some(path) => self.add(path).map(drop),
            None => Ok(()),
        }
    }

    /// Adds a file of this machine, or the files of a directory; returns its absolute path.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn add(&self, path: &str) -> Result<String, Failure> {
        let wrong = |why: io::Error| Failure::file(path, why);
        let absolute = std::path::absolute(path).map_err(wrong)?;
        let meta = std::fs::metadata(&absolute).map_err(wrong)?;
        if meta.is_dir() {
            for entry in std::fs::read_dir(&absolute).map_err(wrong)? {
                let entry = entry.map_err(wrong)?.path();
                if entry.is_file() {
                    self.bind(&entry.to_string_lossy(), &entry);
                }
            }
        } else if meta.is_file() {
            std::fs::File::open(&absolute).map_err(wrong)?;
            // As the request names it, too: a description is sent as it is.
            self.bind(path, &absolute);
        } else {
            return Err(wrong(io::Error::other("it is neither a file nor a directory")));
        }
        let name = absolute.to_string_lossy().into_owned();
        if meta.is_file() {
            self.bind(&name, &absolute);
        }
        Ok(name)
    }

    fn bind(&self, name: &str, path: &Path) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(URL_SAFE.encode(name), path.to_owned());
    }

    /// Whether there is nothing to serve.
    pub(super) fn is_empty(&self) -> bool {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What the service is told, if there is something to serve: from then on it is served.
    ///
    /// # Errors
    /// No port can be had, or no certificate made.
    pub(super) async fn url(&self) -> Result<Option<String>, Failure> {
        if self.is_empty() {
            return Ok(None);
        }
        let start = || async {
            let wrong = |why| Failure::usage(format!("Local files cannot be exported: {why}"));
            serve(Arc::clone(&self.files), self.secure).await.map_err(wrong)
        };
        self.serving.get_or_try_init(start).await.map(|serving| Some(serving.url.clone()))
    }
}

/// The path of a reference to a file of this machine.
pub(super) fn local(reference: &str) -> Option<&str> {
    match reference.split_once("://") {
        None => Some(reference).filter(|path| !path.is_empty()),
        Some(("local", path)) => Some(path),
        Some(_) => None,
    }
}

async fn serve(files: Files, secure: bool) -> io::Result<Serving> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let tls = if secure { Some(acceptor(&host)?) } else { None };
    // The service may be anywhere.
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).await?;
    let scheme = if secure { "https" } else { "http" };
    let url = format!("{scheme}://{host}:{}", listener.local_addr()?.port());
    let mut tasks = JoinSet::new();
    tasks.spawn(accept(listener, files, tls));
    Ok(Serving { url, _tasks: tasks })
}

/// TLS with a certificate that nobody will see again.
fn acceptor(host: &str) -> io::Result<TlsAcceptor> {
    crate::platform::crypto();
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).map_err(io::Error::other)?;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, files: Files, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let (files, tls) = (Arc::clone(&files), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => connection(stream, files).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                connection(stream, files).await;
                            }
                        }
                    }
                });
            }
        }
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, files: Files) {
    let reply = move |method: Method, path: warp::path::FullPath, headers: HeaderMap| {
        let files = Arc::clone(&files);
        async move { answer(&files, &method, path.as_str(), &headers).await }
    };
    let filter =
        warp::method().and(warp::path::full()).and(warp::header::headers_cloned()).then(reply);
    let service = TowerToHyperService::new(warp::service(filter));
    let server = Builder::new(TokioExecutor::new());
    // The service asks again where a connection breaks.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    files: &Files,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> warp::reply::Response {
    if !acceptable(headers) {
        return page(StatusCode::NOT_ACCEPTABLE);
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        return page(StatusCode::METHOD_NOT_ALLOWED);
    }
    let name = path.trim_start_matches('/').replace("%3D", "=").replace("%3d", "=");
    let path = files.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
    let Some(path) = path else { return page(StatusCode::NOT_FOUND) };
    let opened = async {
        let file = File::open(path).await?;
        let meta = file.metadata().await?;
        io::Result::Ok((file, meta))
    };
    let Ok((file, meta)) = opened.await else { return page(StatusCode::NOT_FOUND) };
    let mut response = if *method == Method::GET {
        warp::reply::stream(ReaderStream::with_capacity(file, PIECE)).into_response()
    } else {
        StatusCode::OK.into_response()
    };
    describe(response.headers_mut(), &meta);
    response
}

/// What is in these files may be anything.
fn acceptable(headers: &HeaderMap) -> bool {
    let Some(accept) = headers.get(header::ACCEPT) else { return true };
    let accept = String::from_utf8_lossy(accept.as_bytes());
    ["*/*", "application/json", "application/x-yaml"].iter().any(|kind| accept.contains(kind))
}

fn describe(headers: &mut HeaderMap, meta: &Metadata) {
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(meta.len()));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    let tag = format!("\"{:x}-{:x}-{:x}\"", meta.ino(), meta.size(), meta.mtime());
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    let modified =
        meta.modified().map(|time| HeaderValue::from_str(&httpdate::fmt_http_date(time)));
    if let Ok(Ok(modified)) = modified {
        headers.insert(header::LAST_MODIFIED, modified);
    }
}

fn page(status: StatusCode) -> warp::reply::Response {
    let text = format!("<html><body><h1>{status}</h1></body></html>\n");
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(url: &str, method: Method, accept: Option<&str>) -> reqwest::Response {
        crate::platform::crypto();
        let client =
            reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().build();
        let request = client.unwrap().request(method, url);
        let accept = accept.unwrap_or("*/*");
        request.header("accept", accept).send().await.unwrap()
    }

    #[tokio::test]
    async fn what_was_named_is_served() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image.tgz");
        std::fs::write(&path, "an image").unwrap();
        for secure in [false, true] {
            let export = Export::new(secure);
            assert_eq!(export.url().await.unwrap(), None);
            let name = export.add(path.to_str().unwrap()).unwrap();
            let base = export.url().await.unwrap().unwrap();
            assert!(base.starts_with(if secure { "https://" } else { "http://" }), "{base}");
            let url = format!("{base}/{}", URL_SAFE.encode(&name));
            let head = ask(&url, Method::HEAD, None).await;
            assert_eq!(head.headers()["content-length"], "8");
            let meta = std::fs::metadata(&path).unwrap();
            let tag = format!("\"{:x}-8-{:x}\"", meta.ino(), meta.mtime());
            assert_eq!(head.headers()["etag"], tag);
            assert!(head.headers().contains_key("last-modified"));
            let got = ask(&url, Method::GET, Some("application/json")).await;
            assert_eq!(got.headers()["content-type"], "application/octet-stream");
            assert_eq!(got.text().await.unwrap(), "an image");
            assert_eq!(ask(&url, Method::GET, Some("text/html")).await.status(), 406);
            assert_eq!(ask(&url, Method::POST, None).await.status(), 405);
            let other = format!("{base}/{}", URL_SAFE.encode("/etc/passwd"));
            assert_eq!(ask(&other, Method::GET, None).await.status(), 404);
        }
    }

    #[test]
    fn a_directory_stands_for_its_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "").unwrap();
        let export = Export::new(false);
        export.add(dir.path().to_str().unwrap()).unwrap();
        assert_eq!(export.files.lock().unwrap().len(), 1);
        assert_eq!(export.refer("/nowhere").unwrap_err().code, 1);
        export.refer("http://x/y").unwrap();
    }
}
