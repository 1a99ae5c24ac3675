//! One request, one response.

use super::range::{Part, part};
use crate::{Asset, BootService, Delivery, Outcome, Refusal, Server};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Frame,
    header::{
        self, ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
        ETAG, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED,
        RANGE,
    },
};
use std::{
    io,
    net::IpAddr,
    ops::Range,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Bytes read and handed on at once; larger ones gain nothing.
const PIECE: usize = 256 * 1024;

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Answers `request` of `client`.
pub(super) async fn reply<B>(
    request: Request<B>,
    service: BootService,
    client: IpAddr,
) -> Response<Body> {
    let raw = request.uri().path();
    let head = match *request.method() {
        Method::GET => false,
        Method::HEAD => true,
        _ => {
            service.refused(Server::Http, raw, client, "only GET and HEAD are answered");
            let mut response = status(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
    };
    let Ok(path) = percent_encoding::percent_decode_str(raw).decode_utf8() else {
        service.refused(Server::Http, raw, client, "the path is not UTF-8");
        return status(StatusCode::BAD_REQUEST);
    };
    match service.open(Server::Http, &path, client).await {
        Ok((asset, delivery)) => send(request.headers(), head, asset, delivery),
        Err(Refusal::NotFound) => status(StatusCode::NOT_FOUND),
        Err(Refusal::BadPath(_) | Refusal::Stranger) => status(StatusCode::FORBIDDEN),
        Err(Refusal::Unreadable(_)) => status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn send(asked: &HeaderMap, head: bool, asset: Asset, mut delivery: Delivery) -> Response<Body> {
    let validators = Validators::of(&asset);
    let len = asset.len();
    if validators.unchanged(asked) {
        delivery.finish(Outcome::Sent("not modified".into()));
        let mut response = status(StatusCode::NOT_MODIFIED);
        validators.write(&mut response);
        return response;
    }
    let wanted = asked.get(RANGE).and_then(|value| value.to_str().ok());
    let wanted = wanted.filter(|_| !head && validators.range_applies(asked));
    let (code, range) = match wanted.map_or(Part::Whole, |header| part(header, len)) {
        Part::Whole => (StatusCode::OK, 0..len),
        Part::Bytes(range) => (StatusCode::PARTIAL_CONTENT, range),
        Part::Unsatisfiable => {
            delivery.finish(Outcome::Refused("the range is behind the end of the file".into()));
            let mut response = status(StatusCode::RANGE_NOT_SATISFIABLE);
            put(&mut response, CONTENT_RANGE, &format!("bytes */{len}"));
            return response;
        }
    };
    let mut response = status(code);
    if code == StatusCode::PARTIAL_CONTENT {
        let Range { start, end } = range;
        put(&mut response, CONTENT_RANGE, &format!("bytes {start}-{}/{len}", end - 1));
    }
    put(&mut response, CONTENT_LENGTH, &(range.end - range.start).to_string());
    put(&mut response, CONTENT_TYPE, "application/octet-stream");
    put(&mut response, ACCEPT_RANGES, "bytes");
    validators.write(&mut response);
    if head {
        delivery.finish(Outcome::Sent("headers only".into()));
    } else {
        *response.body_mut() = body(asset, range, delivery);
    }
    response
}

/// The content of `range`. Its end is reported when the connection lets go of it.
fn body(asset: Asset, range: Range<u64>, mut delivery: Delivery) -> Body {
    if range.is_empty() {
        delivery.finish(Outcome::Sent("empty".into()));
    }
    let pieces = stream::unfold((asset, range, delivery), async |(asset, range, mut delivery)| {
        let left = range.end - range.start;
        if left == 0 {
            return None;
        }
        let count = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let piece = asset.read_at(range.start, count).await;
        let mut rest = range.end..range.end;
        match &piece {
            Ok(bytes) => {
                delivery.add(bytes.len() as u64);
                rest.start = range.start + bytes.len() as u64;
                if rest.is_empty() {
                    delivery.finish(Outcome::Sent("all".into()));
                }
            }
            Err(error) => delivery.finish(Outcome::Failed(error.to_string().into())),
        }
        Some((piece.map(Frame::data), (asset, rest, delivery)))
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// What tells one state of a file from another. Texts made for a request have none.
struct Validators {
    tag: Option<String>,
    modified: Option<SystemTime>,
}

impl Validators {
    fn of(asset: &Asset) -> Self {
        let Asset::File { len, modified: Some(modified), .. } = asset else {
            return Self { tag: None, modified: None };
        };
        let stamp = modified.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos();
        Self { tag: Some(format!("\"{len:x}-{stamp:x}\"")), modified: Some(*modified) }
    }

    fn write(&self, response: &mut Response<Body>) {
        match (&self.tag, self.modified) {
            (Some(tag), Some(modified)) => {
                put(response, ETAG, tag);
                put(response, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
            }
            _ => put(response, CACHE_CONTROL, "no-store"),
        }
    }

    /// RFC 9110 section 13.2.2: the date counts only where no tag is given.
    fn unchanged(&self, asked: &HeaderMap) -> bool {
        let (Some(tag), Some(modified)) = (&self.tag, self.modified) else { return false };
        if let Some(tags) = text(asked, IF_NONE_MATCH) {
            let mut tags = tags.split(',').map(|given| given.trim().trim_start_matches("W/"));
            return tags.any(|given| given == "*" || given == tag);
        }
        let since =
            text(asked, IF_MODIFIED_SINCE).and_then(|date| httpdate::parse_http_date(date).ok());
        since.is_some_and(|since| seconds(modified) <= seconds(since))
    }

    /// Whether the file is still the one that the client has a part of (section 13.1.5).
    fn range_applies(&self, asked: &HeaderMap) -> bool {
        let Some(condition) = text(asked, IF_RANGE) else { return true };
        if self.tag.as_deref() == Some(condition) {
            return true;
        }
        match (self.modified, httpdate::parse_http_date(condition)) {
            (Some(modified), Ok(date)) => seconds(modified) == seconds(date),
            _ => false,
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Dates in headers have no fractions.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn put(response: &mut Response<Body>, name: HeaderName, value: &str) {
    // Every value here is made of digits, dates and fixed text.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn status(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = code;
    if !code.is_success() && code != StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}
