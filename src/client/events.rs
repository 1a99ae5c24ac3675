//! The service's event stream, read (server-sent events: WHATWG HTML, section 9.2).

use crate::types::Event;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use std::pin::Pin;

/// Longest line that is read: an event of a step names all its nodes.
const LONGEST: usize = 16 << 20;

type Pieces = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

/// Events as they come.
pub struct Events {
    pieces: Pieces,
    buffer: BytesMut,
    fields: Fields,
}

/// What came.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Heard {
    /// An event.
    Event(Box<Event>),
    /// The service had to leave events out.
    Lost,
}

/// The fields of the event that is being read.
#[derive(Default)]
struct Fields {
    name: String,
    data: String,
}

impl Events {
    /// Reads `pieces`, the body of the response.
    pub(super) fn new(pieces: impl Stream<Item = reqwest::Result<Bytes>> + Send + 'static) -> Self {
        Self { pieces: Box::pin(pieces), buffer: BytesMut::new(), fields: Fields::default() }
    }

    /// The next event; none when the stream has ended or broken. May be dropped at any
    /// time without losing anything.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                let line = String::from_utf8_lossy(&line);
                if let Some(heard) = self.fields.line(line.trim_end_matches(['\r', '\n'])) {
                    return Some(heard);
                }
            }
            if self.buffer.len() > LONGEST {
                return None;
            }
            self.buffer.extend_from_slice(&self.pieces.next().await?.ok()?);
        }
    }
}

impl Fields {
    /// Takes one line; an empty one completes an event. Events that cannot be understood
    /// are those of a newer service: left out.
    fn line(&mut self, line: &str) -> Option<Heard> {
        if line.is_empty() {
            let Self { name, data } = std::mem::take(self);
            return if name == "lost" {
                Some(Heard::Lost)
            } else {
                serde_json::from_str(&data).ok().map(|event| Heard::Event(Box::new(event)))
            };
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::EventBody;
    use futures_util::stream;
    use proptest::prelude::*;

    const TEXT: &str = ":\n\ndata:{\"id\":1,\"at\":2.5,\"wid\":\"D-1\",\"kind\":\"deploy\",\"cluster\":\"c\",\"event\":\"message\",\"level\":0,\"text\":\"a: b\"}\nid:1\n\nevent:lost\ndata:7\n\ndata: not JSON\n\nevent: lost\r\ndata: 1\r\n\r\n";

    fn read(pieces: Vec<Vec<u8>>) -> Vec<Heard> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let pieces = pieces.into_iter().map(|piece| Ok(Bytes::from(piece)));
            let mut events = Events::new(stream::iter(pieces));
            let mut heard = Vec::new();
            while let Some(next) = events.next().await {
                heard.push(next);
            }
            heard
        })
    }

    #[test]
    fn events_are_read_and_comments_are_not() {
        let heard = read(vec![TEXT.into()]);
        assert_eq!(heard.len(), 3, "{heard:?}");
        let Heard::Event(event) = &heard[0] else { panic!("{heard:?}") };
        assert_eq!((event.id, event.wid.as_str()), (1, "D-1"));
        assert_eq!(event.body, EventBody::Message { level: 0, text: "a: b".into() });
        assert_eq!(heard[1..], [Heard::Lost, Heard::Lost]);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_stream_is_cut(at in 0..TEXT.len(), more in 0..TEXT.len()) {
            let (low, high) = (at.min(more), at.max(more));
            let bytes = TEXT.as_bytes();
            let cut = [&bytes[..low], &bytes[low..high], &bytes[high..]].map(<[u8]>::to_vec);
            prop_assert_eq!(read(cut.to_vec()), read(vec![TEXT.into()]));
        }
    }
}
