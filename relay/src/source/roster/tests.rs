use super::*;
use crate::{
    forward::{Blocks, Next},
    message::Timing,
    source::{Member, Shape},
};
use std::time::Duration;

/// The file of `job`, all of it read.
pub(super) async fn feed_of(job: &Broadcast) -> Arc<Feed> {
    let feed = Arc::new(Feed::open(&job.file, job.block).await.unwrap());
    let mut blocks = feed.blocks(0, None);
    while let Next::Block(_) = blocks.next().await {}
    feed
}

/// A member's command ended well and took as many bytes as the file has: what counts
/// is which.
#[tokio::test]
async fn only_the_digest_of_the_file_is_success() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [7; 2500]).unwrap();
    let address = std::net::Ipv4Addr::LOCALHOST.into();
    let member = |name: &str| Member {
        name: name.into(),
        address,
        command: "cat".into(),
        group: String::new(),
        resumes: false,
    };
    let members = ["a", "b", "c"].map(member);
    let job = Broadcast {
        file: file.path().to_owned(),
        members: members.into(),
        server: (address, 1).into(),
        deadline: Duration::from_secs(60),
        timing: Timing::default(),
        block: 1000,
        ring: 1,
        shape: Shape::default(),
        rate: None,
        total_rate: None,
        run: None,
        leaving: Arc::default(),
    };
    let feed = Arc::new(Feed::open(&job.file, job.block).await.unwrap());
    let pass = Arc::new(Mutex::new(Secret::random().unwrap()));
    let mut roster = Roster::new(&job, pass, feed.clone(), &|_, _| {});
    let done = |digest: &str| {
        let (stderr, digest) = (String::new(), digest.to_owned());
        Message::Done(Done { status: 0, stderr, taken: 2500, digest })
    };
    roster.apply(Event::Said(0, done("")));

    let mut blocks = feed.blocks(0, None);
    while let Next::Block(_) = blocks.next().await {}
    let whole = feed.digest().unwrap().to_owned();
    roster.apply(Event::Said(1, done(&whole)));
    let other = blake3::hash(b"another file").to_hex().to_string();
    roster.apply(Event::Said(2, done(&other)));

    let early = Failure::Digest { expected: "a file not yet read".into(), got: String::new() };
    let wrong = Failure::Digest { expected: whole, got: other };
    assert_eq!(roster.outcomes(), [Err(early), Ok(()), Err(wrong)]);
}
