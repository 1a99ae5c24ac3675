//! The order in which people expect node names.

use std::{cmp::Ordering, iter::Peekable, str::Chars};

/// Compares names label by label from the last dot backwards, runs of digits as numbers:
/// `node-2.a` comes before `node-10.a`, and both come before `node-1.b`.
///
/// Names that differ only in leading zeros are ordered as text, so that only equal names
/// compare equal.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.rsplit('.'), b.rsplit('.'));
    loop {
        match (left.next(), right.next()) {
            (Some(one), Some(other)) => match labels(one, other) {
                Ordering::Equal => {}
                unequal => return unequal,
            },
            (None, None) => return a.cmp(b),
            (one, other) => return one.is_some().cmp(&other.is_some()),
        }
    }
}

fn labels(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.chars().peekable(), b.chars().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(one), Some(other)) if one.is_ascii_digit() && other.is_ascii_digit() => {
                numbers(&digits(&mut left), &digits(&mut right))
            }
            (None, None) => return Ordering::Equal,
            _ => left.next().cmp(&right.next()),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn digits(text: &mut Peekable<Chars<'_>>) -> String {
    std::iter::from_fn(|| text.next_if(char::is_ascii_digit)).collect()
}

/// Of any length: no number is too long for it.
fn numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
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

    proptest! {
        #[test]
        fn it_is_a_total_order(a in "[a0.1]{0,5}", b in "[a0.1]{0,5}", c in "[a0.1]{0,5}") {
            prop_assert_eq!(natural_order(&a, &b), natural_order(&b, &a).reverse());
            prop_assert_eq!(natural_order(&a, &b) == Ordering::Equal, a == b);
            if natural_order(&a, &b).is_le() && natural_order(&b, &c).is_le() {
                prop_assert!(natural_order(&a, &c).is_le());
            }
        }
    }
}
