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
    let ring = Ring::new(2, BLOCK);
    let (mut slow, mut fast) = (ring.reader(0).unwrap(), ring.reader(0).unwrap());
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
    let ring = Ring::new(1, BLOCK);
    let reader = ring.reader(0).unwrap();
    ring.push(block(0)).await;
    let mut second = pin!(ring.push(block(1)));
    assert!(is_waiting(second.as_mut()).await);
    drop(reader);
    second.await;
}

#[tokio::test]
async fn who_comes_late_begins_where_the_ring_still_has_blocks() {
    let ring = Ring::new(2, BLOCK);
    for number in 0..5 {
        ring.push(block(number)).await;
    }
    let gone = ring.reader(8).unwrap_err().to_string();
    assert_eq!(gone, "offset 8 is not to be had: the ring begins at 12, in blocks of 4 bytes");
    assert!(ring.reader(13).is_err(), "inside a block");
    assert!(ring.reader(24).is_err(), "beyond the next block");
    let mut at_oldest = ring.reader(12).unwrap();
    assert_eq!(number(&mut at_oldest).await, 3);
    let mut at_next = ring.reader(20).unwrap();
    ring.close(Ok(end(5)));
    assert!(matches!(at_next.next().await, Next::End(_)));
}

/// Readers of random pace, some of which leave: each sees all blocks in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reader_sees_every_block_once() {
    const BLOCKS: u64 = 500;
    let ring = Ring::new(3, BLOCK);
    let mut readers = JoinSet::new();
    for pace in 1..6u64 {
        let mut reader = ring.reader(0).unwrap();
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
