//! Heads of requests and responses (RFC 9112).

use super::reply::Reply;
use bytes::{Buf, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
    header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING},
};
use std::{fmt::Write, time::SystemTime};

/// Most bytes of a request's head.
pub(super) const LONGEST: usize = 16 * 1024;
/// Most headers; boot loaders send three or four.
const HEADERS: usize = 64;

/// The head of a request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    /// The path as it was sent.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    /// HTTP/1.1; what is older has no connections that are kept.
    pub(super) modern: bool,
}

/// What is at the front of what a client sent.
#[derive(Debug)]
pub(super) enum Head {
    /// This request; its bytes are taken.
    Request(Request),
    /// The beginning of one.
    Partial,
    /// Something else, to be answered by this and no more.
    Bad(StatusCode),
}

/// Takes the head of the next request out of `input`.
pub(super) fn take(input: &mut BytesMut) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(input) {
        Ok(httparse::Status::Complete(len)) => {
            let request = request(&parsed);
            input.advance(len);
            request.map_or(Head::Bad(StatusCode::BAD_REQUEST), Head::Request)
        }
        Ok(httparse::Status::Partial) if input.len() < LONGEST => Head::Partial,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            Head::Bad(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        }
        Err(_) => Head::Bad(StatusCode::BAD_REQUEST),
    }
}

fn request(parsed: &httparse::Request<'_, '_>) -> Option<Request> {
    let method = parsed.method?.parse().ok()?;
    let uri: Uri = parsed.path?.parse().ok()?;
    let mut headers = HeaderMap::new();
    for header in parsed.headers.iter() {
        let name: HeaderName = header.name.parse().ok()?;
        headers.append(name, HeaderValue::from_bytes(header.value).ok()?);
    }
    let (path, modern) = (uri.path().to_owned(), parsed.version? >= 1);
    Some(Request { method, path, headers, modern })
}

impl Request {
    /// Whether another request may follow on the connection. What is behind the head of one with a
    /// body is not read, so nothing can follow.
    pub(super) fn keeps(&self) -> bool {
        let close = self.headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
        let mut close = close.flat_map(|value| value.split(','));
        self.modern
            && !self.has_body()
            && !close.any(|word| word.trim().eq_ignore_ascii_case("close"))
    }

    /// Whether a body follows.
    pub(super) fn has_body(&self) -> bool {
        self.headers.contains_key(TRANSFER_ENCODING)
            || self.headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
    }
}

/// The head of a response.
pub(super) fn write(reply: &Reply, modern: bool, keeps: bool) -> Vec<u8> {
    let status = reply.status;
    let (minor, reason) = (u8::from(modern), status.canonical_reason().unwrap_or_default());
    let mut text = String::with_capacity(512);
    // Writing to a string does not fail.
    write!(text, "HTTP/1.{minor} {} {reason}\r\n", status.as_u16()).ok();
    let date = httpdate::fmt_http_date(SystemTime::now());
    write!(text, "{DATE}: {date}\r\n").ok();
    for (name, value) in &reply.headers {
        // Each is made of ASCII here.
        write!(text, "{name}: {}\r\n", value.to_str().unwrap_or_default()).ok();
    }
    if !keeps {
        write!(text, "{CONNECTION}: close\r\n").ok();
    }
    text.push_str("\r\n");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn first(text: &str) -> (Head, usize) {
        let mut input = BytesMut::from(text);
        (take(&mut input), input.len())
    }

    #[test]
    fn requests_follow_one_another() {
        let text = "GET /a?x HTTP/1.1\r\nHost: b\r\n\r\nGET http://b/c HTTP/1.0\r\n\r\nGET /d";
        let mut input = BytesMut::from(text);
        let Head::Request(one) = take(&mut input) else { panic!("a request") };
        assert_eq!((one.method.as_str(), &*one.path, one.keeps()), ("GET", "/a", true));
        let Head::Request(two) = take(&mut input) else { panic!("a request") };
        assert_eq!((&*two.path, two.keeps()), ("/c", false));
        assert!(matches!(take(&mut input), Head::Partial));
        assert_eq!(&*input, b"GET /d");
    }

    #[test]
    fn what_ends_a_connection() {
        for (headers, keeps) in [
            ("", true),
            ("Connection: Close\r\n", false),
            ("Connection: keep-alive, close\r\n", false),
            ("Content-Length: 0\r\n", true),
            ("Content-Length: 5\r\n", false),
            ("Transfer-Encoding: chunked\r\n", false),
        ] {
            let (head, _) = first(&format!("GET / HTTP/1.1\r\n{headers}\r\n"));
            let Head::Request(request) = head else { panic!("{headers}") };
            assert_eq!(request.keeps(), keeps, "{headers}");
        }
    }

    #[test]
    fn what_is_no_request_gets_an_answer() {
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(LONGEST));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS + 1));
        for (text, status) in [
            ("\x01\x02\r\n\r\n", 400),
            ("GET  HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\n\r\n", 400),
            (&long, 431),
            (&many, 431),
        ] {
            let (head, _) = first(text);
            assert!(matches!(head, Head::Bad(bad) if bad.as_u16() == status), "{head:?}");
        }
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic(input in prop::collection::vec(any::<u8>(), 0..200), at in 0..40usize) {
            let mut whole = b"GET /a HTTP/1.1\r\nRange: bytes=0-\r\n\r\n".to_vec();
            let at = at.min(whole.len());
            whole.splice(at..at, input);
            take(&mut BytesMut::from(&*whole));
        }
    }
}
