//! Ranges of names and addresses: `node-[1-3,7,10-12].site.lan`.

use std::fmt;

/// Names that one range may stand for. The largest sites have some thousand machines.
const MOST: usize = 65_536;

/// Why a range cannot be unfolded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeError {
    /// A bracket without its other half, or a second pair.
    Brackets,
    /// This part of the list is no number and no interval.
    Part(String),
    /// This interval ends before it starts.
    Backwards(String),
    /// More names than one range may stand for.
    TooMany,
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brackets => f.write_str("one pair of brackets is allowed"),
            Self::Part(part) => write!(f, "`{part}` is neither a number nor an interval"),
            Self::Backwards(part) => write!(f, "`{part}` ends before it starts"),
            Self::TooMany => write!(f, "more than {MOST} names"),
        }
    }
}

impl std::error::Error for RangeError {}

/// Unfolds a name with at most one bracket group, in the order it is written; a name
/// without one stands for itself. Bounds of equal length keep their zeros (`[01-10]`).
pub fn expand(text: &str) -> Result<Vec<String>, RangeError> {
    let Some((head, rest)) = text.split_once('[') else {
        return if text.contains(']') { Err(RangeError::Brackets) } else { Ok(vec![text.into()]) };
    };
    let (numbers, tail) = rest.split_once(']').ok_or(RangeError::Brackets)?;
    if numbers.contains('[') || tail.contains(['[', ']']) {
        return Err(RangeError::Brackets);
    }
    let mut names = Vec::new();
    for part in numbers.split(',') {
        let (first, last, width) = interval(part)?;
        let count = last.checked_sub(first).ok_or_else(|| RangeError::Backwards(part.into()))?;
        if usize::try_from(count).map_or(true, |count| count >= MOST - names.len()) {
            return Err(RangeError::TooMany);
        }
        names.extend((first..=last).map(|n| format!("{head}{n:0width$}{tail}")));
    }
    Ok(names)
}

/// Bounds of `a-b` or `a`, and the width to which numbers are filled with zeros.
fn interval(part: &str) -> Result<(u64, u64, usize), RangeError> {
    let wrong = || RangeError::Part(part.to_owned());
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| digits).ok_or_else(wrong)
    };
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let width = if first.len() == last.len() { first.len() } else { 0 };
    Ok((number(first)?, number(last)?, width))
}

#[cfg(test)]
mod tests {
    use super::{RangeError, expand};
    use proptest::prelude::*;

    #[test]
    fn unfolds_in_order() {
        let names = expand("node-[1-3,7,10-12].site.lan").unwrap();
        let numbers: Vec<_> = names.iter().map(|n| &n[5..n.len() - 9]).collect();
        assert_eq!(numbers, ["1", "2", "3", "7", "10", "11", "12"]);
        assert_eq!(expand("n[01-03]").unwrap(), ["n01", "n02", "n03"]);
        assert_eq!(expand("n[9-11]").unwrap(), ["n9", "n10", "n11"]);
        assert_eq!(expand("plain.lan").unwrap(), ["plain.lan"]);
    }

    #[test]
    fn refuses_what_is_no_range() {
        assert_eq!(expand("n[1-2"), Err(RangeError::Brackets));
        assert_eq!(expand("n1]"), Err(RangeError::Brackets));
        assert_eq!(expand("n[1][2]"), Err(RangeError::Brackets));
        assert_eq!(expand("n[a-b]"), Err(RangeError::Part("a-b".into())));
        assert_eq!(expand("n[]"), Err(RangeError::Part(String::new())));
        assert_eq!(expand("n[3-1]"), Err(RangeError::Backwards("3-1".into())));
        assert_eq!(expand("n[0-4000000000]"), Err(RangeError::TooMany));
        assert_eq!(expand("n[0-60000,0-60000]"), Err(RangeError::TooMany));
        assert_eq!(expand("n[0-18446744073709551615]"), Err(RangeError::TooMany));
    }

    proptest! {
        #[test]
        fn never_panics(text in r"[a-z\[\],0-9-]{0,24}") {
            if let Ok(names) = expand(&text) {
                prop_assert!(!names.is_empty());
            }
        }

        #[test]
        fn an_interval_has_all_its_numbers(first in 0_u64..500, count in 0_u64..500) {
            let names = expand(&format!("n[{first}-{}].x", first + count)).unwrap();
            prop_assert_eq!(names.len() as u64, count + 1);
            for (n, name) in (first..).zip(&names) {
                let digits = name.trim_start_matches('n').trim_end_matches(".x");
                prop_assert_eq!(digits.parse::<u64>().unwrap(), n);
            }
        }
    }
}
