//! The order in which people expect node names.

use std::cmp::Ordering;

/// Compares names label by label from the last dot backwards. In a label, each run of digits and
/// each run of letters is a number to the base 36, and nothing else counts: `node-2.a` comes before
/// `node-10.a`, and both before `node-1.b`; `sol-1` comes before `azur-1`, as a shorter word is a
/// smaller number.
///
/// Names that differ in nothing that counts are ordered as text, so that only equal names compare
/// equal.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.rsplit('.'), b.rsplit('.'));
    loop {
        match (left.next(), right.next()) {
            (Some(one), Some(other)) => match runs(one).cmp(runs(other)) {
                Ordering::Equal => {}
                unequal => return unequal,
            },
            (None, None) => return a.cmp(b),
            (one, other) => return one.is_some().cmp(&other.is_some()),
        }
    }
}

/// The runs of a label as numbers of any length: how long they are without leading zeros, then
/// their digits, of which letters are the greater ones.
fn runs(label: &str) -> impl Iterator<Item = (usize, String)> {
    let kind = |c: char| (c.is_ascii_digit(), c.is_ascii_alphabetic());
    let mut rest = label;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let first = rest.chars().next()?;
        let end = rest.find(|c| kind(c) != kind(first)).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        rest = behind;
        let digits = run.trim_start_matches('0').to_ascii_lowercase();
        Some((digits.len(), digits))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_count_from_the_last_dot_and_digits_as_numbers() {
        let mut names =
            ["node-10.b", "node-2.b", "x-1.c10", "node-1.c2", "node-11.a", "b", "node-02.b"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(
            names,
            ["node-11.a", "b", "node-02.b", "node-2.b", "node-10.b", "node-1.c2", "x-1.c10"]
        );
    }

    #[test]
    fn a_shorter_word_comes_first_whatever_its_letters() {
        let mut names =
            ["azur-2.s", "sol-1.s", "azur-1.s", "sol-2.s", "c10.s", "azur.s", "Sol-1.s"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(
            names,
            ["c10.s", "Sol-1.s", "sol-1.s", "sol-2.s", "azur.s", "azur-1.s", "azur-2.s"]
        );
        // A letter is more than a digit, and a number may be longer than any integer.
        assert_eq!(natural_order("9", "a"), Ordering::Less);
        assert_eq!(natural_order("99999999999999999999999999", "b"), Ordering::Greater);
    }

    proptest! {
        #[test]
        fn it_is_a_total_order(
            a in "[aB0.1-]{0,5}", b in "[aB0.1-]{0,5}", c in "[aB0.1-]{0,5}"
        ) {
            prop_assert_eq!(natural_order(&a, &b), natural_order(&b, &a).reverse());
            prop_assert_eq!(natural_order(&a, &b) == Ordering::Equal, a == b);
            if natural_order(&a, &b).is_le() && natural_order(&b, &c).is_le() {
                prop_assert!(natural_order(&a, &c).is_le());
            }
        }
    }
}
