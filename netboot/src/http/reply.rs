//! One request, one response.

use super::{
    head::Request,
    range::{Part, part},
};
use crate::{Asset, BootService, Delivery, Outcome, Refusal, Server};
use http::{
    HeaderMap, Method, StatusCode,
    header::{
        ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
    },
};
use std::{
    net::IpAddr,
    ops::Range,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The answer to a request.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: Option<Content>,
}

/// What follows the head. Its end is reported when the connection lets go of it.
pub(super) struct Content {
    pub(super) asset: Asset,
    pub(super) range: Range<u64>,
    pub(super) delivery: Delivery,
}

/// Answers `request` of `client`.
pub(super) async fn reply(request: &Request, service: &BootService, client: IpAddr) -> Reply {
    let raw = &request.path;
    let head = match request.method {
        Method::GET => false,
        Method::HEAD => true,
        _ => {
            service.refused(Server::Http, raw, client, "only GET and HEAD are answered");
            let mut reply = Reply::new(StatusCode::METHOD_NOT_ALLOWED);
            reply.headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return reply;
        }
    };
    let Ok(path) = percent_encoding::percent_decode_str(raw).decode_utf8() else {
        service.refused(Server::Http, raw, client, "the path is not UTF-8");
        return Reply::new(StatusCode::BAD_REQUEST);
    };
    match service.open(Server::Http, &path, client).await {
        Ok((asset, delivery)) => send(&request.headers, head, asset, delivery),
        Err(Refusal::NotFound) => Reply::new(StatusCode::NOT_FOUND),
        Err(Refusal::BadPath(_) | Refusal::Stranger) => Reply::new(StatusCode::FORBIDDEN),
        Err(Refusal::Unreadable(_)) => Reply::new(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn send(asked: &HeaderMap, head: bool, asset: Asset, mut delivery: Delivery) -> Reply {
    let validators = Validators::of(&asset);
    let len = asset.len();
    if validators.unchanged(asked) {
        delivery.finish(Outcome::Sent("not modified".into()));
        let mut reply = Reply::new(StatusCode::NOT_MODIFIED);
        validators.write(&mut reply);
        return reply;
    }
    let wanted = asked.get(RANGE).and_then(|value| value.to_str().ok());
    let wanted = wanted.filter(|_| !head && validators.range_applies(asked));
    let (status, range) = match wanted.map_or(Part::Whole, |header| part(header, len)) {
        Part::Whole => (StatusCode::OK, 0..len),
        Part::Bytes(range) => (StatusCode::PARTIAL_CONTENT, range),
        Part::Unsatisfiable => {
            delivery.finish(Outcome::Refused("the range is behind the end of the file".into()));
            let mut reply = Reply::new(StatusCode::RANGE_NOT_SATISFIABLE);
            reply.put(CONTENT_RANGE, &format!("bytes */{len}"));
            return reply;
        }
    };
    let mut reply = Reply::new(status);
    if status == StatusCode::PARTIAL_CONTENT {
        let Range { start, end } = range;
        reply.put(CONTENT_RANGE, &format!("bytes {start}-{}/{len}", end - 1));
    }
    reply.put(CONTENT_LENGTH, &(range.end - range.start).to_string());
    reply.put(CONTENT_TYPE, "application/octet-stream");
    reply.put(ACCEPT_RANGES, "bytes");
    validators.write(&mut reply);
    if head {
        delivery.finish(Outcome::Sent("headers only".into()));
    } else if range.is_empty() {
        delivery.finish(Outcome::Sent("empty".into()));
    } else {
        reply.content = Some(Content { asset, range, delivery });
    }
    reply
}

impl Reply {
    /// One without content.
    pub(super) fn new(status: StatusCode) -> Self {
        let mut reply = Self { status, headers: HeaderMap::new(), content: None };
        if !status.is_success() && status != StatusCode::NOT_MODIFIED {
            reply.put(CONTENT_LENGTH, "0");
        }
        reply
    }

    fn put(&mut self, name: HeaderName, value: &str) {
        // Every value here is made of digits, dates and fixed text.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }
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

    fn write(&self, reply: &mut Reply) {
        match (&self.tag, self.modified) {
            (Some(tag), Some(modified)) => {
                reply.put(ETAG, tag);
                reply.put(LAST_MODIFIED, &httpdate::fmt_http_date(modified));
            }
            _ => reply.put(CACHE_CONTROL, "no-store"),
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
