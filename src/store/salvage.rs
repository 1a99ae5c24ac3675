//! What can still be read of a damaged file.
//!
//! The engine opens a file whole or not at all. Its format is stable and documented
//! (redb, docs/design.md, file format 3), so the records are looked for page by page here: a
//! page that makes no sense costs what hangs from it and nothing else, and a record counts
//! only if its own checksum is right.

use std::collections::{BTreeMap, HashSet};
use std::io;

use super::disk::DiskFile;
use super::engine::number_key;
use super::frame;

/// Bytes of the smallest page; larger ones are this times a power of two.
const PAGE: u64 = 4096;

/// Bytes of a region, pages are numbered within one. The first begins after the header.
const REGION: u64 = 4 << 30;

/// Greatest power of two a page may have.
const ORDERS: u32 = 20;

/// Levels a tree has at most: with a hundred children to a page, more than fit on a disk.
const DEPTH: usize = 10;

/// The two commit slots in the header: where the last two transactions have their roots.
const SLOTS: [u64; 2] = [64, 192];

/// Offsets in a slot: whether there is a root, the root, the number of the transaction.
const SLOT_HAS_ROOT: usize = 1;
const SLOT_ROOT: usize = 8;
const SLOT_TRANSACTION: usize = 104;
const SLOT_LEN: usize = 112;

/// Offset of the root in the definition of a table.
const TABLE_ROOT: usize = 10;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Records whose checksums are right: frames by key.
    pub(super) records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Where something is missing.
    pub(super) holes: Vec<Hole>,
    /// Records that are as they were before the last transaction.
    pub(super) stale: usize,
}

/// A page or a record that cannot be read, between two records that can.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Hole {
    /// The record before; none at the beginning.
    pub(super) after: Option<Vec<u8>>,
    /// The record behind; none at the end.
    pub(super) before: Option<Vec<u8>>,
}

impl Hole {
    fn holds(&self, key: &[u8]) -> bool {
        self.after.as_ref().is_none_or(|after| after.as_slice() < key)
            && self.before.as_ref().is_none_or(|before| key < before.as_slice())
    }

    /// What is a hole in both.
    fn common(&self, other: &Self) -> Option<Self> {
        let ends = [&self.before, &other.before];
        let after = self.after.clone().max(other.after.clone());
        let before = ends.into_iter().flatten().min().cloned();
        let some = after.is_none() || before.is_none() || after < before;
        some.then_some(Self { after, before })
    }
}

/// Reads all that can be read. Where the last transaction has a hole, the one before it may
/// still know. Where both have lost their roots, the newest root is looked for in all pages.
///
/// Errors: the system cannot read the file. That it makes no sense is no error.
pub(super) fn salvage(file: &dyn DiskFile) -> io::Result<Rest> {
    let pages = Pages { file, len: file.len()? };
    let mut slots = Vec::new();
    for at in SLOTS {
        let slot = pages.bytes(at, SLOT_LEN as u64)?;
        let root = (slot.get(SLOT_HAS_ROOT) == Some(&1)).then(|| number(&slot, SLOT_ROOT));
        slots.push((number(&slot, SLOT_TRANSACTION), root.flatten()));
    }
    slots.sort_unstable();
    let mut rest = pages.records(slots[1].1)?;
    if !rest.holes.is_empty() {
        rest.fill(pages.records(slots[0].1)?);
    }
    if rest.records.is_empty() {
        let found = pages.search()?;
        rest.fill(found);
    }
    Ok(rest)
}

impl Rest {
    /// Takes what is missing from an older state.
    fn fill(&mut self, older: Self) {
        for (key, frame) in older.records {
            if self.holes.iter().any(|hole| hole.holds(&key)) {
                self.records.insert(key, frame);
                self.stale += 1;
            }
        }
        let mut left = Vec::new();
        for hole in std::mem::take(&mut self.holes) {
            left.extend(older.holes.iter().filter_map(|other| hole.common(other)));
        }
        self.holes = left;
    }
}

struct Pages<'f> {
    file: &'f dyn DiskFile,
    len: u64,
}

/// A key and its value; none if they cannot be made out.
type Entry = Option<(Vec<u8>, Vec<u8>)>;

enum Page {
    Leaf(Vec<Entry>),
    Branch(Vec<u64>),
    Nonsense,
}

impl Pages<'_> {
    /// Up to `len` bytes from `at`; fewer at the end of the file.
    fn bytes(&self, at: u64, len: u64) -> io::Result<Vec<u8>> {
        let len = len.min(self.len.saturating_sub(at));
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        if len > 0 {
            self.file.read(at, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// The records of the transaction whose list of tables has this root.
    fn records(&self, root: Option<u64>) -> io::Result<Rest> {
        let mut table = None;
        let mut rest = Rest::default();
        if let Some(root) = root {
            let sound = &|_: &[u8], definition: &[u8]| number(definition, TABLE_ROOT).is_some();
            let tables = self.walk(root, sound)?;
            table = tables.records.values().find_map(|definition| number(definition, TABLE_ROOT));
        }
        match table {
            Some(root) => {
                rest = self.walk(root, &|key, frame| frame::content(key, frame).is_ok())?;
            }
            None => rest.holes.push(Hole::default()),
        }
        Ok(rest)
    }

    /// The records of the newest transaction of which a root is left, wherever it is: each
    /// transaction leaves its number in the first leaf.
    fn search(&self) -> io::Result<Rest> {
        let mut newest = (0, Vec::new());
        // The number of a page of the smallest size is its place in the file.
        for root in 0..self.len / PAGE {
            let number = self.transaction(root)?.unwrap_or(0);
            if number > newest.0 {
                newest = (number, Vec::new());
            }
            if number == newest.0 && number > 0 {
                newest.1.push(root);
            }
        }
        // The pages between that root and its first leaf lead there as well.
        let mut best = Rest { holes: vec![Hole::default()], ..Rest::default() };
        for root in newest.1 {
            let rest = self.walk(root, &|key, frame| frame::content(key, frame).is_ok())?;
            if rest.records.len() > best.records.len() {
                best = rest;
            }
        }
        Ok(best)
    }

    /// The number of the transaction in the first leaf under a page.
    fn transaction(&self, root: u64) -> io::Result<Option<u64>> {
        let wanted = number_key();
        let mut page = root;
        for _ in 0..DEPTH {
            match self.page(page)? {
                Page::Branch(children) => page = children[0],
                Page::Leaf(entries) => {
                    let found = entries.into_iter().flatten().find(|(key, _)| *key == wanted.0);
                    return Ok(found.and_then(|(key, frame)| frame::open(&key, &frame).ok()));
                }
                Page::Nonsense => return Ok(None),
            }
        }
        Ok(None)
    }

    /// What hangs from a page, where it is `sound`, in the order of the keys.
    fn walk(&self, root: u64, sound: &dyn Fn(&[u8], &[u8]) -> bool) -> io::Result<Rest> {
        let mut rest = Rest::default();
        let mut hole = false;
        let mut last: Option<Vec<u8>> = None;
        let mut seen = HashSet::new();
        let mut todo = vec![root];
        while let Some(page) = todo.pop() {
            // Pages have one parent: what comes again is a wrong turn.
            let page = if seen.insert(page) { self.page(page)? } else { Page::Nonsense };
            let entries = match page {
                Page::Branch(children) => {
                    todo.extend(children.into_iter().rev());
                    continue;
                }
                Page::Leaf(entries) => entries,
                Page::Nonsense => vec![None],
            };
            for entry in entries {
                let Some((key, value)) = entry.filter(|(key, value)| sound(key, value)) else {
                    hole = true;
                    continue;
                };
                if std::mem::take(&mut hole) {
                    rest.holes.push(Hole { after: last.clone(), before: Some(key.clone()) });
                }
                last = Some(key.clone());
                rest.records.insert(key, value);
            }
        }
        if hole {
            rest.holes.push(Hole { after: last, before: None });
        }
        Ok(rest)
    }

    fn page(&self, page: u64) -> io::Result<Page> {
        let order = u32::try_from(page >> 59).unwrap_or(ORDERS);
        let index = page & (0xF_FFFF >> order.min(ORDERS));
        let region = (page >> 20) & 0xF_FFFF;
        let size = PAGE << order.min(ORDERS);
        let at = PAGE + region * REGION + index * size;
        if order > ORDERS || at >= self.len {
            return Ok(Page::Nonsense);
        }
        let bytes = self.bytes(at, size)?;
        Ok(match bytes.first() {
            Some(1) => leaf(&bytes).map_or(Page::Nonsense, Page::Leaf),
            Some(2) => branch(&bytes).map_or(Page::Nonsense, Page::Branch),
            _ => Page::Nonsense,
        })
    }
}

/// The entries of a leaf: type, padding, count, ends of the keys, ends of the values, keys,
/// values.
fn leaf(page: &[u8]) -> Option<Vec<Entry>> {
    let count = count(page)?;
    let end = |n: usize| {
        let at = 4 + 4 * n;
        let bytes = page.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    // The values begin where the keys end, the keys where the ends of the values end.
    let entry = |n: usize| {
        let key_start = if n == 0 { Some(4 + 8 * count) } else { end(n - 1) };
        let value_start = if n == 0 { end(count - 1) } else { end(count + n - 1) };
        let key = page.get(key_start?..end(n)?)?;
        let value = page.get(value_start?..end(count + n)?)?;
        Some((key.to_vec(), value.to_vec()))
    };
    (count > 0).then(|| (0..count).map(entry).collect())
}

/// The children of a branch: type, padding, count of the keys between them, padding,
/// checksums, numbers.
fn branch(page: &[u8]) -> Option<Vec<u64>> {
    let children = count(page)? + 1;
    (0..children).map(|n| number(page, 8 + 16 * children + 8 * n)).collect()
}

fn count(page: &[u8]) -> Option<usize> {
    Some(u16::from_le_bytes(page.get(2..4)?.try_into().ok()?).into())
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
