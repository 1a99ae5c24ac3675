use super::*;
use crate::message::{Cause, Done, Loss, Progress, Secret};
use proptest::prelude::*;
use std::future::Future;

const SILENCE: Duration = Duration::from_secs(60);

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// All frames in `bytes`, and how reading ended.
async fn read_all(bytes: &[u8]) -> (Vec<Frame>, FrameError) {
    let mut reader = FrameReader::new(bytes, SILENCE);
    let mut frames = Vec::new();
    loop {
        match reader.next().await {
            Ok(frame) => frames.push(frame),
            Err(error) => return (frames, error),
        }
    }
}

async fn write_all(frames: &[Frame]) -> Vec<u8> {
    let mut writer = FrameWriter::new(Vec::new());
    for frame in frames {
        match frame {
            Frame::Message(message) => writer.message(message).await.unwrap(),
            Frame::Block(block) => drop(writer.block(block).await.unwrap()),
        }
    }
    writer.stream
}

fn message() -> impl Strategy<Value = Message> {
    let loss = (any::<String>(), any::<String>(), any::<u64>()).prop_map(|(node, why, offset)| {
        let (peer, address, cause) = ("n".into(), "a".into(), Cause::Silent);
        Loss { node, peer, address, block: offset / 2, offset, cause, why }
    });
    let done = (any::<i32>(), any::<String>(), any::<u64>())
        .prop_map(|(status, stderr, taken)| Done { status, stderr, taken, digest: String::new() });
    let address = (any::<[u8; 4]>(), any::<u16>());
    prop_oneof![
        Just(Message::Alive),
        Just(Message::Welcome),
        any::<u64>().prop_map(|taken| Message::Progress(Progress { taken, ..Progress::default() })),
        any::<String>().prop_map(|why| Message::Refused { why }),
        address.prop_map(|address| Message::Join {
            token: Secret::random().unwrap(),
            address: address.into(),
            back: false,
            have: None,
        }),
        loss.prop_map(Message::Lost),
        done.prop_map(Message::Done),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    let block = (any::<u64>(), prop::collection::vec(any::<u8>(), 1..3000))
        .prop_map(|(offset, bytes)| Frame::Block(Block::new(offset, bytes.into())));
    prop_oneof![message().prop_map(Frame::Message), block]
}

proptest! {
    #[test]
    fn what_is_written_is_read(frames in prop::collection::vec(frame(), 0..8)) {
        let (read, end) = run(async { read_all(&write_all(&frames).await).await });
        prop_assert_eq!(read, frames);
        prop_assert!(matches!(end, FrameError::Closed), "{end}");
    }

    #[test]
    fn random_bytes_end_in_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        run(read_all(&bytes));
    }

    /// Random bodies behind a header that is right.
    #[test]
    fn random_bodies_end_in_an_error(
        kind in 1u8..=2,
        body in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut bytes = header(kind, body.len()).unwrap();
        bytes.extend(&body);
        let (frames, _) = run(read_all(&bytes));
        prop_assert_eq!(frames.len(), usize::from(kind == KIND_BLOCK && body.len() > BLOCK_HEADER));
    }

    /// A flipped bit in a block's bytes or digest is seen, one in its offset is not the
    /// digest's matter but the order's.
    #[test]
    fn a_flipped_bit_is_seen(
        bytes in prop::collection::vec(any::<u8>(), 1..3000),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut wire = run(write_all(&[Frame::Block(Block::new(7, bytes.into()))]));
        let start = HEADER + 8;
        let index = start + at.index(wire.len() - start);
        wire[index] ^= 1 << bit;
        let (frames, _) = run(read_all(&wire));
        let Frame::Block(block) = &frames[0] else { panic!("not a block") };
        prop_assert!(!block.is_intact());
    }

    /// A stream that is cut gives the whole frames before the cut and no other.
    #[test]
    fn a_cut_is_seen(frames in prop::collection::vec(frame(), 1..4), at in any::<prop::sample::Index>()) {
        let wire = run(write_all(&frames));
        let cut = at.index(wire.len());
        let (read, _) = run(read_all(&wire[..cut]));
        prop_assert!(read.len() < frames.len());
        prop_assert_eq!(&read[..], &frames[..read.len()]);
    }
}

#[test]
fn lengths_beyond_the_protocol_are_refused_before_their_bytes() {
    for (kind, length) in [
        (KIND_MESSAGE, MAX_MESSAGE + 1),
        (KIND_BLOCK, BLOCK_HEADER + MAX_BLOCK + 1),
        (KIND_BLOCK, BLOCK_HEADER),
        (9, 0),
    ] {
        let (frames, end) = run(read_all(&header(kind, length).unwrap()));
        assert!(frames.is_empty());
        let refused =
            matches!(end, FrameError::Header { kind: k, length: l } if (k, l) == (kind, length));
        assert!(refused, "{end}");
    }
}

#[test]
fn a_secret_is_not_shown() {
    let secret = Secret::random().unwrap();
    let written = serde_json::to_string(&secret).unwrap();
    let shown = format!(
        "{:?}",
        Message::Join { token: secret, address: ([0; 4], 0).into(), back: false, have: None }
    );
    assert!(!shown.contains(written.trim_matches('"')), "{shown}");
}
