//! What goes back, errors too.

use super::yaml::{self, Keys};
use crate::types::{Code, Problem};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use serde::Serialize;
use serde_json::Value;
use std::io::Write;
use warp::{
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    hyper::body::Body as _,
};

/// An answer before it is encoded.
pub(super) enum Reply {
    /// Text; a newline is added.
    Text(String),
    /// Text with the cursor of what follows it.
    Cursor(usize, String),
    /// A hash or a list: JSON, or YAML for those who want it.
    Structure(Value, Keys),
    /// Comma-separated values, compressed whatever the client says.
    Csv(Vec<u8>),
    /// Anything else, with its content type.
    Raw(&'static str, String),
    /// A stream of events.
    Events(warp::reply::Response),
}

impl Reply {
    /// A structure.
    pub(super) fn of(value: &impl Serialize) -> Result<Self, Problem> {
        serde_json::to_value(value).map(Self::plain).map_err(Problem::internal)
    }

    /// A structure whose fields are symbols where it is written as YAML.
    pub(super) fn fields(value: &impl Serialize) -> Result<Self, Problem> {
        let value = serde_json::to_value(value).map_err(Problem::internal)?;
        Ok(Self::Structure(value, Keys::Fields))
    }

    /// A structure whose keys are texts.
    pub(super) fn plain(value: Value) -> Self {
        Self::Structure(value, Keys::Plain)
    }

    /// The HTTP response. Everything but events has a length and must not be stored.
    pub(super) fn into_response(self, wanted: &HeaderMap) -> warp::reply::Response {
        match self {
            Self::Events(response) => response,
            Self::Text(text) => respond("text/plain; charset=\"UTF-8\"", text + "\n"),
            Self::Cursor(next, text) => {
                let mut response = respond("text/plain; charset=\"UTF-8\"", text);
                response.headers_mut().insert("x-kadence-cursor", HeaderValue::from(next));
                response
            }
            Self::Raw(kind, text) => respond(kind, text),
            Self::Csv(bytes) if !takes_gzip(wanted, true) => {
                drop(bytes);
                refuse(&Problem::NotAcceptable("Content-Encoding: gzip".into()))
            }
            Self::Csv(bytes) => compressed("text/csv", &bytes),
            Self::Structure(value, keys) => structure(&value, keys, wanted),
        }
    }
}

fn structure(value: &Value, keys: Keys, wanted: &HeaderMap) -> warp::reply::Response {
    let (kind, text) = match Format::wanted(wanted) {
        Ok(Format::Json) => match serde_json::to_string_pretty(value) {
            Ok(text) => ("application/json; charset=\"UTF-8\"", text),
            Err(error) => return refuse(&Problem::internal(error)),
        },
        Ok(Format::Yaml) => ("application/x-yaml; charset=\"UTF-8\"", yaml::document(value, keys)),
        Err(problem) => return refuse(&problem),
    };
    if takes_gzip(wanted, false) { compressed(kind, text.as_bytes()) } else { respond(kind, text) }
}

/// Whether the client reads compressed answers; `unsaid` where it does not say it.
fn takes_gzip(headers: &HeaderMap, unsaid: bool) -> bool {
    let Some(accept) = headers.get(header::ACCEPT_ENCODING) else { return unsaid };
    let accept = accept.to_str().unwrap_or_default().to_lowercase();
    accept.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let named = matches!(parts.next(), Some("gzip" | "x-gzip" | "*"));
        let refused = |part: &str| {
            let weight =
                part.strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
            weight.is_some_and(|weight| weight <= 0.0)
        };
        named && !parts.any(refused)
    })
}

fn compressed(kind: &'static str, bytes: &[u8]) -> warp::reply::Response {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Into memory: neither can fail.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    match written {
        Ok(bytes) => {
            let mut response = Response::new(Bytes::from(bytes).into());
            finish(&mut response, kind);
            let gzip = HeaderValue::from_static("gzip");
            response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
            response
        }
        Err(error) => refuse(&Problem::internal(error)),
    }
}

/// How a structure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Yaml,
}

impl Format {
    /// The first of the two that the client names; JSON if it takes anything.
    pub(super) fn wanted(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(accept) = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()) else {
            return Ok(Self::Json);
        };
        let kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or(kind).trim());
        for kind in kinds {
            match kind {
                "application/json" | "*/*" | "application/*" => return Ok(Self::Json),
                "application/x-yaml" => return Ok(Self::Yaml),
                _ => {}
            }
        }
        Err(Problem::NotAcceptable("application/json or application/x-yaml".into()))
    }
}

fn respond(kind: &'static str, text: String) -> warp::reply::Response {
    let mut response = Response::new(Bytes::from(text).into());
    finish(&mut response, kind);
    // Old clients find the header there, and nothing in it.
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(""));
    response
}

fn finish(response: &mut warp::reply::Response, kind: &'static str) {
    let length = response.body().size_hint().exact();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::ETAG, HeaderValue::from_static(""));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// An error as a response: the texts and headers of Kadeploy.
pub(super) fn refuse(problem: &Problem) -> warp::reply::Response {
    let mut response = Response::new(Bytes::from(format!("{problem}\n")).into());
    finish(&mut response, "text/plain; charset=\"UTF-8\"");
    *response.status_mut() =
        StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    match problem {
        Problem::Application { code, hint, .. } => {
            headers.insert("x-application-error-code", HeaderValue::from(code_number(*code)));
            insert_text(headers, "x-application-error-info", &problem.to_string());
            if let Some(hint) = hint {
                insert_text(headers, "x-application-error-hint", hint);
            }
        }
        Problem::MethodNotAllowed(allowed) => {
            if let Ok(allowed) = HeaderValue::from_str(allowed) {
                headers.insert(header::ALLOW, allowed);
            }
        }
        _ => {}
    }
    response
}

fn code_number(code: Code) -> u16 {
    code.number().into()
}

/// Most bytes of a text in a header: clients have limits for those. The body has all of it.
const MOST_IN_HEADER: usize = 4096;

fn insert_text(headers: &mut HeaderMap, name: &'static str, text: &str) {
    let end = (0..=text.len().min(MOST_IN_HEADER)).rev().find(|at| text.is_char_boundary(*at));
    let text = &text[..end.unwrap_or_default()];
    if let Ok(value) = HeaderValue::from_str(&STANDARD.encode(text)) {
        headers.insert(name, value);
    }
}
