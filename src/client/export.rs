//! The file server that hands local files to the service.
//!
//! The service asks for `<base>/<base64url of the path>`: HEAD for size and state, then GET.
//! Only the files that were named are there, and only for this machine.

use super::ClientError;
use crate::environments::FileRef;
use base64::{Engine, engine::general_purpose::URL_SAFE};
use serde_json::{Map, Value};
use std::{
    collections::HashMap,
    fs::Metadata,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{fs::File, net::TcpListener, task::JoinSet};
use tokio_util::io::ReaderStream;
use warp::{
    Filter, Reply,
    http::{HeaderValue, Method, StatusCode, header},
    reply::Response,
};

/// Bytes read at a time.
const PIECE: usize = 256 << 10;

/// Local files that a request names, collected and then served.
#[derive(Debug, Default)]
pub struct Export {
    files: HashMap<String, PathBuf>,
}

/// Serves while it lives.
#[derive(Debug)]
pub struct Serving {
    /// What the service is told.
    pub url: String,
    _tasks: JoinSet<()>,
}

impl Export {
    /// Adds a file of this machine; returns its absolute path, as the request names it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn add(&mut self, path: &Path) -> Result<String, ClientError> {
        let wrong = |source| ClientError::File { path: path.to_owned(), source };
        let absolute = std::path::absolute(path).map_err(wrong)?;
        let file = std::fs::File::open(&absolute).map_err(wrong)?;
        if !file.metadata().map_err(wrong)?.is_file() {
            return Err(wrong(io::Error::other("it is not a regular file")));
        }
        let text =
            absolute.to_str().ok_or_else(|| wrong(io::Error::other("its name is no text")))?;
        self.files.insert(URL_SAFE.encode(text), absolute.clone());
        Ok(text.to_owned())
    }

    /// Adds the local files that a description names, and makes their paths absolute.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn add_all(&mut self, description: &mut Map<String, Value>) -> Result<(), ClientError> {
        for reference in references(description) {
            if let Value::String(text) = reference {
                self.refer(text)?;
            }
        }
        Ok(())
    }

    /// Adds the local files that custom operations send, and makes their paths absolute.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn add_operations(&mut self, operations: &mut Value) -> Result<(), ClientError> {
        match operations {
            Value::Array(list) => list.iter_mut().try_for_each(|one| self.add_operations(one)),
            Value::Object(map) => map.iter_mut().try_for_each(|(name, value)| match value {
                Value::String(text) if name == "file" => self.refer(text),
                inner => self.add_operations(inner),
            }),
            _ => Ok(()),
        }
    }

    /// Adds the file that a reference names, if it is one of this machine.
    fn refer(&mut self, text: &mut String) -> Result<(), ClientError> {
        // A scheme that nobody knows is the service's to refuse.
        if let Ok(FileRef::Client(path)) = FileRef::parse(text) {
            *text = self.add(Path::new(&path))?;
        }
        Ok(())
    }

    /// Whether there is nothing to serve.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Starts to serve.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn serve(self) -> io::Result<Serving> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let files = Arc::new(self.files);
        let answer = move |method: Method, path: warp::path::FullPath| {
            let files = Arc::clone(&files);
            async move { answer(&files, &method, path.as_str()).await }
        };
        let filter = warp::method().and(warp::path::full()).then(answer);
        let mut tasks = JoinSet::new();
        tasks.spawn(warp::serve(filter).incoming(listener).run());
        Ok(Serving { url, _tasks: tasks })
    }
}

/// Every place of a description that names a file.
fn references(description: &mut Map<String, Value>) -> Vec<&mut Value> {
    let mut found = Vec::new();
    for (name, part) in description {
        let field = if name == "image" { "file" } else { "archive" };
        match (name.as_str(), part) {
            ("image" | "preinstall", Value::Object(part)) => found.extend(part.get_mut(field)),
            ("postinstalls", Value::Array(list)) => {
                found.extend(list.iter_mut().filter_map(|part| part.get_mut(field)));
            }
            _ => {}
        }
    }
    found
}

async fn answer(files: &HashMap<String, PathBuf>, method: &Method, path: &str) -> Response {
    let name = path.trim_start_matches('/').replace("%3D", "=");
    let Some(path) = files.get(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let opened = async {
        let file = File::open(path).await?;
        let meta = file.metadata().await?;
        io::Result::Ok((file, meta))
    };
    let Ok((file, meta)) = opened.await else { return StatusCode::NOT_FOUND.into_response() };
    let mut response = match *method {
        Method::GET => {
            warp::reply::stream(ReaderStream::with_capacity(file, PIECE)).into_response()
        }
        Method::HEAD => StatusCode::OK.into_response(),
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(meta.len()));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Ok(tag) = HeaderValue::from_str(&etag(&meta)) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// Inode, size and time of modification, as the old programs tell them: what was recorded by one of
/// them is deployed by the other.
fn etag(meta: &Metadata) -> String {
    format!("\"{:x}-{:x}-{:x}\"", meta.ino(), meta.size(), meta.mtime())
}
