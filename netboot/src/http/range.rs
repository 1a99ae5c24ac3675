//! Which part of a file a request wants (RFC 9110 sections 13 and 14).

use http_range_header::{EndPosition, StartPosition, parse_range_header};
use std::ops::Range;

/// The part of a file to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// These bytes.
    Bytes(Range<u64>),
    /// None: what was asked begins behind the end.
    Unsatisfiable,
}

/// Reads a `Range` header for a file of `len` bytes. What cannot be read, and
/// several ranges at once, get the whole file, as section 14.2 allows.
pub(super) fn part(header: &str, len: u64) -> Part {
    let Ok(parsed) = parse_range_header(header) else { return Part::Whole };
    let [range] = parsed.ranges.as_slice() else { return Part::Whole };
    let (start, end) = match (range.start, range.end) {
        (StartPosition::FromLast(count), _) => (len.saturating_sub(count), len),
        (StartPosition::Index(start), EndPosition::LastByte) => (start, len),
        (StartPosition::Index(start), EndPosition::Index(last)) if last >= start => {
            (start, last.saturating_add(1).min(len))
        }
        (StartPosition::Index(_), EndPosition::Index(_)) => return Part::Whole,
    };
    if start < end { Part::Bytes(start..end) } else { Part::Unsatisfiable }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_of_ten_bytes() {
        for (header, expected) in [
            ("bytes=0-3", Part::Bytes(0..4)),
            ("bytes=4-", Part::Bytes(4..10)),
            ("bytes=-3", Part::Bytes(7..10)),
            ("bytes=-30", Part::Bytes(0..10)),
            ("bytes=8-99", Part::Bytes(8..10)),
            ("bytes=9-18446744073709551615", Part::Bytes(9..10)),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=5-3", Part::Whole),
            ("bytes=0-1,4-5", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(part(header, 10), expected, "{header}");
        }
        assert_eq!(part("bytes=0-", 0), Part::Unsatisfiable);
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_nor_beyond_the_end(
            header in prop_oneof!["bytes=[0-9]{0,21}-[0-9]{0,21}", "bytes=[-, 0-9]{0,20}", ".{0,40}"],
            len in any::<u64>(),
        ) {
            if let Part::Bytes(range) = part(&header, len) {
                prop_assert!(range.start < range.end && range.end <= len);
            }
        }
    }
}
