//! Addresses that are longer than the HTTP library can hold.
//!
//! Old clients name nodes one by one in the address of some requests, and their service read up to
//! 100 000 characters. The library ends at 65 534. So the first line of a connection (old clients make
//! one for each request) is looked at before the library does: the end of a long query goes into a
//! header, and [`whole`] puts it back.

use bytes::BytesMut;
use std::io::{self, Cursor};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, join, split};
use warp::http::HeaderMap;

/// Longest address, path and query.
pub(super) const MOST: usize = 100_000;

/// As much of one as goes to the library.
const HELD: usize = 65_000;

/// Longest first line: method, address and version.
const MOST_LINE: usize = MOST + 100;

/// What is read of a request that is refused, so that its client comes to read the answer.
const DISCARDED: u64 = 1 << 20;

/// The header with the end of the query.
const REST: &str = "x-kadence-address-rest";

/// What a connection is read from and written to.
pub(super) trait Line: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// Why a longer one is refused.
pub(super) fn too_long() -> String {
    format!(
        "the address cannot be longer than {MOST} characters: name ranges such as node-[1-100], or \
         ask for fewer nodes at once"
    )
}

/// The connection, whose first request has an address that the library can hold.
///
/// # Errors
/// It broke off, or the address was longer than any may be, and the client was told so.
pub(super) async fn fitted(mut stream: Box<dyn Line>) -> io::Result<Box<dyn Line>> {
    let mut head = BytesMut::new();
    let end = loop {
        let from = head.len();
        if stream.read_buf(&mut head).await? == 0 {
            break None;
        }
        let end = head[from..].iter().position(|byte| *byte == b'\n').map(|at| from + at);
        if end.is_some() || head.len() > MOST_LINE {
            break end;
        }
    };
    // What is too short to be a request is for the library to refuse.
    let fits = end.map_or(head.len() <= MOST_LINE, |end| end <= HELD);
    let head = if fits {
        Some(head.to_vec())
    } else {
        end.and_then(|end| cut(&head[..end]).map(|line| [&line, &head[end + 1..]].concat()))
    };
    match head {
        Some(head) => {
            let (reader, writer) = split(stream);
            Ok(Box::new(join(Cursor::new(head).chain(reader), writer)))
        }
        None => refuse(stream).await,
    }
}

/// The first line with the end of its query in a header after it; none if that cannot be.
fn cut(line: &[u8]) -> Option<Vec<u8>> {
    let line = str::from_utf8(line).ok()?.trim_end_matches('\r');
    let (method, rest) = line.split_once(' ')?;
    let (address, version) = rest.rsplit_once(' ')?;
    if address.len() > MOST {
        return None;
    }
    // Shorter than it seemed: the line has something else that is long.
    let Some((held, rest)) = address.split_at_checked(HELD) else {
        return Some(format!("{line}\r\n").into_bytes());
    };
    let in_query = held.contains('?');
    in_query.then(|| format!("{method} {held} {version}\r\n{REST}: {rest}\r\n").into_bytes())
}

async fn refuse(mut stream: Box<dyn Line>) -> io::Result<Box<dyn Line>> {
    let text = format!("Request-URI Too Long -- {}\n", too_long());
    let answer = format!(
        "HTTP/1.1 414 URI Too Long\r\nContent-Type: text/plain; charset=\"UTF-8\"\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(DISCARDED), &mut tokio::io::sink()).await?;
    Err(io::Error::new(io::ErrorKind::InvalidInput, "its address is too long"))
}

/// The query of a request as its client has sent it.
pub(super) fn whole(query: String, headers: &HeaderMap) -> String {
    let rest = headers.get(REST).and_then(|rest| rest.to_str().ok());
    query + rest.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_query_is_cut_and_put_together_again() {
        let address = format!("/nodes?nodes={}", "a".repeat(MOST - 13));
        let line = format!("GET {address} HTTP/1.1\r");
        let cut = String::from_utf8(cut(line.as_bytes()).unwrap()).unwrap();
        let (first, second) = cut.split_once("\r\n").unwrap();
        assert!(first.len() < 65_534 && first.ends_with("a HTTP/1.1"));
        let (name, value) = second.trim_end().split_once(": ").unwrap();
        let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
        let held = first.split(' ').nth(1).unwrap().to_owned();
        assert_eq!(whole(held, &headers), address);
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        let path = format!("GET /{}?a HTTP/1.1\r", "a".repeat(HELD));
        let long = format!("GET /?{} HTTP/1.1\r", "a".repeat(MOST));
        for line in [path, long, "a".repeat(HELD + 1)] {
            assert_eq!(cut(line.as_bytes()), None);
        }
    }
}
