//! Bytes of a file in memory; where nobody has written, there is nothing but zeros, and no memory.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// As a store writes them.
const PAGE: usize = 4096;

/// Pages that there are, of all files in memory.
static PAGES: AtomicUsize = AtomicUsize::new(0);

/// Bytes of memory that all files in memory take now: who measures the memory of a program that
/// simulates a disk takes them off.
pub(super) fn held() -> usize {
    PAGES.load(Relaxed) * PAGE
}

/// A page that was written to.
#[derive(Debug)]
struct Page(Box<[u8]>);

impl Page {
    fn of(bytes: Box<[u8]>) -> Self {
        PAGES.fetch_add(1, Relaxed);
        Self(bytes)
    }
}

impl Clone for Page {
    fn clone(&self) -> Self {
        Self::of(self.0.clone())
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        PAGES.fetch_sub(1, Relaxed);
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    len: usize,
    pages: Vec<Option<Page>>,
}

impl Pages {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut pages = Self::default();
        pages.set_len(bytes.len());
        pages.write(0, bytes);
        pages
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The bytes from `at` on, at most so many.
    pub(super) fn get(&self, at: usize, len: usize) -> Vec<u8> {
        let mut out = vec![0; self.len.saturating_sub(at).min(len)];
        self.read(at, &mut out);
        out
    }

    /// Reads as much as is there; whether that is all that was asked for.
    pub(super) fn read(&self, at: usize, out: &mut [u8]) -> bool {
        let there = self.len.saturating_sub(at).min(out.len());
        for (index, from, part) in parts(at, there) {
            let place = &mut out[part.clone()];
            match &self.pages[index] {
                Some(page) => place.copy_from_slice(&page.0[from..from + part.len()]),
                None => place.fill(0),
            }
        }
        there == out.len()
    }

    /// Writes what fits: bytes past the end are lost.
    pub(super) fn write(&mut self, at: usize, data: &[u8]) {
        let there = self.len.saturating_sub(at).min(data.len());
        for (index, from, part) in parts(at, there) {
            let page = self.pages[index].get_or_insert_with(|| Page::of(vec![0; PAGE].into()));
            page.0[from..from + part.len()].copy_from_slice(&data[part]);
        }
    }

    /// Cuts the end off, or adds zeros.
    pub(super) fn set_len(&mut self, len: usize) {
        self.pages.resize_with(len.div_ceil(PAGE), || None);
        if len < self.len
            && let Some(Some(last)) = self.pages.get_mut(len / PAGE)
        {
            last.0[len % PAGE..].fill(0);
        }
        self.len = len;
    }
}

/// The pages of `len` bytes from `at` on: which page, where in it, and which of the bytes.
fn parts(at: usize, len: usize) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
    let end = at + len;
    (at / PAGE..end.div_ceil(PAGE)).filter_map(move |index| {
        let first = at.max(index * PAGE);
        let last = end.min((index + 1) * PAGE);
        (first < last).then(|| (index, first - index * PAGE, first - at..last - at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Act {
        Write(usize, Vec<u8>),
        Len(usize),
    }

    fn act() -> impl Strategy<Value = Act> {
        let data = prop::collection::vec(any::<u8>(), 0..9000);
        prop_oneof![
            (0_usize..20_000, data).prop_map(|(at, data)| Act::Write(at, data)),
            (0_usize..20_000).prop_map(Act::Len),
        ]
    }

    proptest! {
        #[test]
        fn pages_are_what_one_piece_would_be(
            acts in prop::collection::vec(act(), 1..20),
            (at, len) in (0_usize..21_000, 0_usize..9000),
        ) {
            let (mut pages, mut bytes) = (Pages::default(), Vec::new());
            for act in acts {
                match act {
                    Act::Len(len) => {
                        pages.set_len(len);
                        bytes.resize(len, 0);
                    }
                    Act::Write(at, data) => {
                        pages.write(at, &data);
                        for (place, byte) in bytes.iter_mut().skip(at).zip(data) {
                            *place = byte;
                        }
                    }
                }
                prop_assert_eq!(pages.len(), bytes.len());
                prop_assert_eq!(pages.get(0, usize::MAX), bytes.clone());
            }
            let there: Vec<u8> = bytes.iter().copied().skip(at).take(len).collect();
            prop_assert_eq!(pages.get(at, len), there);
            let mut out = vec![7; len];
            prop_assert_eq!(pages.read(at, &mut out), at + len <= bytes.len() || len == 0);
        }
    }
}
