use super::*;
use std::{collections::VecDeque, pin::pin};
use tokio::task::{JoinSet, yield_now};

const BLOCK: usize = 4;

fn block(number: u64) -> Block {
    Block::new(number * BLOCK as u64, number.to_be_bytes()[4..].to_vec().into())
}

fn end(blocks: u64) -> End {
    End { length: blocks * BLOCK as u64 }
}

/// Is the future still waiting after all that can run has run?
async fn is_waiting<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
    tokio::select! {
        biased;
        _ = future => false,
        () = yield_now() => true,
    }
}

async fn number(reader: &mut Reader) -> u64 {
    match reader.next().await {
        Next::Block(block) => block.offset / BLOCK as u64,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_full_ring_holds_the_writer_until_the_slowest_has_read() {
    let ring = Ring::new(2, BLOCK, 0);
    let (mut slow, mut fast) = (ring.reader(0, true).unwrap(), ring.reader(0, true).unwrap());
    ring.push(block(0)).await;
    ring.push(block(1)).await;
    assert_eq!(number(&mut fast).await, 0);
    let mut third = pin!(ring.push(block(2)));
    assert!(is_waiting(third.as_mut()).await);
    assert_eq!(number(&mut slow).await, 0);
    third.await;
    assert_eq!(number(&mut slow).await, 1);
    assert_eq!(number(&mut slow).await, 2);
}

#[tokio::test]
async fn a_reader_that_goes_away_holds_nothing() {
    let ring = Ring::new(1, BLOCK, 0);
    let reader = ring.reader(0, true).unwrap();
    ring.push(block(0)).await;
    let mut second = pin!(ring.push(block(1)));
    assert!(is_waiting(second.as_mut()).await);
    drop(reader);
    second.await;
}

#[tokio::test]
async fn who_comes_late_begins_where_the_ring_still_has_blocks() {
    let ring = Ring::new(2, BLOCK, 0);
    for number in 0..5 {
        ring.push(block(number)).await;
    }
    assert_eq!(ring.reader(8, true).unwrap_err(), Gone::Before(12));
    assert_eq!(ring.reader(13, true).unwrap_err(), Gone::Nowhere(13), "inside a block");
    let mut ahead = ring.reader(24, true).unwrap();
    assert!(is_waiting(pin!(ahead.next())).await, "for block 6, when 5 comes next");
    let mut at_oldest = ring.reader(12, true).unwrap();
    assert_eq!(number(&mut at_oldest).await, 3);
    let mut at_next = ring.reader(20, true).unwrap();
    ring.close(Ok(end(5)));
    assert!(matches!(at_next.next().await, Next::End(_)));
}

#[tokio::test]
async fn a_loose_reader_holds_nothing_and_learns_that_it_fell_behind() {
    let ring = Ring::new(2, BLOCK, 0);
    let (mut loose, mut tied) = (ring.reader(0, false).unwrap(), ring.reader(0, true).unwrap());
    ring.push(block(0)).await;
    ring.push(block(1)).await;
    let mut third = pin!(ring.push(block(2)));
    assert!(is_waiting(third.as_mut()).await);
    tied.tether().cut();
    third.await;
    for reader in [&mut loose, &mut tied] {
        let next = reader.next().await;
        assert!(matches!(next, Next::Behind(4)), "{next:?}");
    }
}

#[tokio::test]
async fn a_large_ring_keeps_some_blocks_behind_the_slowest_reader() {
    let ring = Ring::new(16, BLOCK, 0);
    let mut reader = ring.reader(0, true).unwrap();
    for number in 0..16 {
        ring.push(block(number)).await;
    }
    for expected in 0..3 {
        let mut next = pin!(ring.push(block(16)));
        assert!(is_waiting(next.as_mut()).await, "{expected}");
        assert_eq!(number(&mut reader).await, expected);
    }
    ring.push(block(16)).await;
    assert!(ring.reader(4, true).is_ok(), "two blocks before the reader's next");
}

/// Readers of random pace, some of which leave: each sees all blocks in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reader_sees_every_block_once() {
    const BLOCKS: u64 = 500;
    let ring = Ring::new(3, BLOCK, 0);
    let mut readers = JoinSet::new();
    for pace in 1..6u64 {
        let mut reader = ring.reader(0, true).unwrap();
        readers.spawn(async move {
            let mut seen = VecDeque::new();
            loop {
                match reader.next().await {
                    Next::Block(block) => seen.push_back(block.offset / BLOCK as u64),
                    Next::End(_) => return seen,
                    other => panic!("{other:?}"),
                }
                if (seen.len() as u64).is_multiple_of(pace) {
                    yield_now().await;
                }
                if pace == 5 && seen.len() == 100 {
                    return seen;
                }
            }
        });
    }
    for number in 0..BLOCKS {
        ring.push(block(number)).await;
    }
    ring.close(Ok(end(BLOCKS)));
    while let Some(seen) = readers.join_next().await {
        let seen = seen.unwrap();
        assert!(seen.len() == 100 || seen.len() as u64 == BLOCKS);
        assert!(seen.iter().copied().eq(0..seen.len() as u64));
    }
}
