//! One server, as the old programs spoke to it.
//!
//! Every request has a connection and headers of its own, and a bound. Only 200 with one of four
//! content types is an answer. Certificates are not verified: the service makes its own.

use super::{channels::Channels, failure::Failure};
use crate::client::MOST_ADDRESS;
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};
use reqwest::{
    Method, RequestBuilder, Response, Url,
    header::{self, HeaderMap, HeaderValue},
};
use serde_json::{Map, Value};
use std::{fmt::Write, io::Read, time::Duration};

/// Bound of an answer.
const ANSWER: Duration = Duration::from_secs(120);

/// Bound of what is asked before the work begins.
const QUESTION: Duration = Duration::from_secs(32);

/// Bound of the first answer: whether there is a server at all.
const REACH: Duration = Duration::from_secs(5);

/// Largest body that is unpacked.
const LARGEST: u64 = 256 << 20;

/// What an answer may be.
const KINDS: [&str; 4] = ["application/json", "application/x-yaml", "text/csv", "text/plain"];

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct User {
    /// His name.
    pub(super) name: String,
    /// For HTTP Basic.
    pub(super) password: Option<String>,
}

/// A server and the way to it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// What `client.conf` calls it.
    pub(super) name: String,
    host: String,
    port: u16,
    secure: bool,
    /// What the names of its headers begin with; empty until it is known.
    prefix: String,
    user: User,
    /// Whether everything is only to be checked.
    dry_run: bool,
    http: reqwest::Client,
    /// Where the traffic is told, if anywhere.
    trace: Option<Channels>,
}

/// One request.
#[derive(Clone, Debug)]
struct Ask<'a> {
    method: Method,
    /// With the query, as it goes over the wire.
    path: &'a str,
    body: Option<&'a Value>,
    accept: &'static str,
    named: bool,
    bound: Duration,
}

impl Server {
    /// The server of an entry of `client.conf`.
    ///
    /// # Errors
    /// The system's network library cannot be set up.
    pub(super) fn new(
        entry: &config::model::client::ClientServer,
        user: User,
        dry_run: bool,
        trace: Option<Channels>,
    ) -> Result<Self, Failure> {
        crate::platform::crypto();
        let http = reqwest::Client::builder()
            .http1_only()
            .http1_title_case_headers()
            .pool_max_idle_per_host(0)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tls_danger_accept_invalid_certs(true)
            .build()
            .map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Self {
            name: entry.name.clone(),
            host: entry.hostname.clone(),
            port: entry.port,
            secure: entry.secure,
            prefix: entry.auth_headers_prefix.clone().unwrap_or_default(),
            user,
            dry_run,
            http,
            trace,
        })
    }

    /// Who asks.
    pub(super) fn user(&self) -> &str {
        &self.user.name
    }

    /// Its host.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// It does not, in time and as it should.
    pub(super) async fn reach(&self) -> Result<(), Failure> {
        let ask = Ask { bound: REACH, named: false, ..Ask::get("/version") };
        let unreachable = |_| Failure::usage(format!("The {} server is unreachable", self.name));
        self.ask(ask).await.map(drop).map_err(unreachable)
    }

    /// Finds out what its headers are called, where the configuration does not say it.
    ///
    /// # Errors
    /// It does not tell.
    pub(super) async fn learn_prefix(&mut self) -> Result<(), Failure> {
        if self.prefix.is_empty() {
            self.question("/auth_headers_prefix").await?.trim().clone_into(&mut self.prefix);
        }
        Ok(())
    }

    /// A text that everybody may ask for.
    ///
    /// # Errors
    /// No answer, or an error.
    pub(super) async fn question(&self, path: &str) -> Result<String, Failure> {
        self.ask(Ask { bound: QUESTION, named: false, ..Ask::get(path) }).await
    }

    /// The names of all nodes.
    ///
    /// # Errors
    /// No answer, or an error.
    pub(super) async fn node_names(&self) -> Result<Vec<String>, Failure> {
        let path = query("/nodes", &[("user", &self.user.name), ("list", "true")]);
        let text = self.ask(Ask { bound: QUESTION, ..Ask::get(&path) }).await?;
        serde_json::from_str(&text).map_err(|_| invalid())
    }

    /// A structure.
    ///
    /// # Errors
    /// No answer, or an error.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        let text = self.ask(Ask::get(path)).await?;
        serde_json::from_str(&text).map_err(|_| invalid())
    }

    /// A text.
    ///
    /// # Errors
    /// No answer, or an error.
    pub(super) async fn text(&self, path: &str) -> Result<String, Failure> {
        self.ask(Ask::get(path)).await
    }

    /// A structure as the server's YAML.
    ///
    /// # Errors
    /// No answer, or an error.
    pub(super) async fn yaml(&self, path: &str) -> Result<String, Failure> {
        self.ask(Ask { accept: "application/x-yaml", ..Ask::get(path) }).await
    }

    /// A request with a body: what changes something has one, so that this is the place where a dry
    /// run is told. The answer may be empty.
    ///
    /// # Errors
    /// No answer, or an error.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        fields: Map<String, Value>,
    ) -> Result<Value, Failure> {
        let mut body = Map::new();
        if self.dry_run {
            body.insert("dry_run".into(), true.into());
        }
        body.extend(fields);
        let body = Value::Object(body);
        let text = self.ask(Ask { method, body: Some(&body), ..Ask::get(path) }).await?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|_| invalid())
    }

    async fn ask(&self, ask: Ask<'_>) -> Result<String, Failure> {
        let url = self.url(ask.path)?;
        if url.as_str().len() > MOST_ADDRESS {
            return Err(Failure::usage(format!(
                "Too many nodes for one request: its address would have {} characters, {MOST_ADDRESS} \
                 is the most; name fewer at once",
                url.as_str().len()
            )));
        }
        let request = self.request(&ask, url);
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        let text = self.read(&ask, response).await?;
        self.traced(|| format!("{text}\n"));
        Ok(text)
    }

    /// Paths are of this server; what an answer gives in full is honoured.
    fn url(&self, path: &str) -> Result<Url, Failure> {
        let scheme = if self.secure { "https" } else { "http" };
        // An address has its host in brackets.
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let base = Url::parse(&format!("{scheme}://{host}:{}", self.port));
        let url = base.and_then(|base| base.join(path));
        url.map_err(|error| self.invalid_request(&error))
    }

    fn request(&self, ask: &Ask<'_>, url: Url) -> RequestBuilder {
        let mut headers = HeaderMap::new();
        let mut put = |name, value| headers.insert(name, HeaderValue::from_static(value));
        put(header::ACCEPT_ENCODING, "gzip;q=1.0,deflate;q=0.6,identity;q=0.3");
        put(header::ACCEPT, ask.accept);
        put(header::USER_AGENT, "Ruby");
        put(header::CONNECTION, "close");
        let mut request = self.http.request(ask.method.clone(), url).timeout(ask.bound);
        if ask.named {
            request = request.header(format!("{}User", self.prefix), &self.user.name);
            if let Some(password) = &self.user.password {
                let basic = STANDARD.encode(format!("{}:{password}", self.user.name));
                request = request.header(header::AUTHORIZATION, format!("Basic {basic}"));
            }
        }
        let mut told = format!("{} {}", ask.method, ask.path);
        if let Some(body) = ask.body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let body = body.to_string();
            // Nothing but the names of files and nodes is in a body: it may be told.
            let _ = write!(told, "\n{body}");
            request = request.body(body);
        }
        self.traced(|| told);
        request.headers(headers)
    }

    async fn read(&self, ask: &Ask<'_>, response: Response) -> Result<String, Failure> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        self.traced(|| {
            let lines = headers.iter().map(|(name, value)| {
                format!("\n{name}: {}", String::from_utf8_lossy(value.as_bytes()))
            });
            format!("HTTP {status}{}", lines.collect::<String>())
        });
        let body = response.bytes().await.map_err(|error| self.broken(&error))?;
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let packing = text("content-encoding").unwrap_or_default().trim();
        let body = unpack(packing, &body).ok_or_else(invalid)?;
        if status != 200 {
            let number = text("x-application-error-code").and_then(|code| code.trim().parse().ok());
            let on = (ask.method.as_str(), ask.path);
            return Err(Failure::answered(status, number, &body, on));
        }
        let kind = text("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if KINDS.contains(&kind) { Ok(body) } else { Err(invalid()) }
    }

    fn broken(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let refused = cause.downcast_ref::<std::io::Error>();
        if refused.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return Failure::usage("Connection atempt refused by the server");
        }
        let why =
            if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() };
        self.invalid_request(&why)
    }

    fn invalid_request(&self, why: &impl std::fmt::Display) -> Failure {
        Failure::usage(format!("Invalid request on {}:{} ({why})", self.host, self.port))
    }

    fn traced(&self, text: impl FnOnce() -> String) {
        if let Some(channels) = &self.trace {
            channels.trace(&text());
        }
    }
}

impl<'a> Ask<'a> {
    fn get(path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            body: None,
            accept: "application/json",
            named: true,
            bound: ANSWER,
        }
    }
}

fn invalid() -> Failure {
    Failure::usage("Invalid server response")
}

/// The text of a body. None if it is not what it says it is.
fn unpack(packing: &str, body: &[u8]) -> Option<String> {
    let mut text = Vec::new();
    let read = match packing {
        "" | "identity" => return Some(String::from_utf8_lossy(body).into_owned()),
        "gzip" | "x-gzip" => GzDecoder::new(body).take(LARGEST).read_to_end(&mut text),
        // Some send it with, some without the frame that the standard asks for.
        "deflate" => ZlibDecoder::new(body).take(LARGEST).read_to_end(&mut text).or_else(|_| {
            text.clear();
            DeflateDecoder::new(body).take(LARGEST).read_to_end(&mut text)
        }),
        _ => return None,
    };
    read.ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// `path` with a query. Without parameters the question mark stays: so the old programs did it.
pub(super) fn query(path: &str, parameters: &[(&str, &str)]) -> String {
    let path = path.trim_end_matches('/');
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    format!("{path}?{}", query.finish())
}

/// A name as a path segment, or encoded once more.
pub(super) fn encode(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_query_is_written_as_before() {
        assert_eq!(query("/deployment/", &[]), "/deployment?");
        assert_eq!(
            query("/power", &[("nodes", "a"), ("nodes", "b c")]),
            "/power?nodes=a&nodes=b+c"
        );
        let name = encode("debian test");
        assert_eq!(query("/environments", &[("name", &name)]), "/environments?name=debian%2Btest");
    }

    #[test]
    fn bodies_are_unpacked() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"text").unwrap();
        assert_eq!(unpack("gzip", &packed.finish().unwrap()).as_deref(), Some("text"));
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"text").unwrap();
        assert_eq!(unpack("deflate", &packed.finish().unwrap()).as_deref(), Some("text"));
        assert_eq!(unpack("", b"text").as_deref(), Some("text"));
        assert_eq!(unpack("gzip", b"text"), None);
    }
}
