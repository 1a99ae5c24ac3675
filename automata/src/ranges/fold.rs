//! Names to ranges.

use super::natural_order;
use std::collections::{BTreeMap, BTreeSet};

/// Longest run of digits that is taken for a number; a longer one is part of the name.
const LONGEST_NUMBER: usize = 18;

/// What is around a number.
type Around<'a> = (&'a str, &'a str);

/// The short form of a set of names, such as `node-[1-2].site,other`: what
/// [`expand`](super::expand) reads again as the same set.
///
/// Names with brackets, commas or blanks are no node names; they stay as they are.
pub fn fold<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    let names: Vec<S> = names.into_iter().collect();
    let names: BTreeSet<&str> = names.iter().map(AsRef::as_ref).collect();
    let mut sizes: BTreeMap<Around<'_>, usize> = BTreeMap::new();
    for name in &names {
        for (around, _) in numbers(name) {
            *sizes.entry(around).or_default() += 1;
        }
    }
    let mut groups: BTreeMap<Around<'_>, Vec<&str>> = BTreeMap::new();
    let mut folded: Vec<String> = Vec::new();
    for name in names {
        // Of equal groups the first: the number of the host, not of its site.
        let best = numbers(name).into_iter().rev().max_by_key(|(around, _)| sizes[around]);
        match best {
            Some((around, number)) if sizes[&around] > 1 => {
                groups.entry(around).or_default().push(number);
            }
            _ => folded.push(name.to_owned()),
        }
    }
    folded.extend(groups.into_iter().map(|((before, after), numbers)| match numbers.as_slice() {
        [number] => format!("{before}{number}{after}"),
        _ => format!("{before}[{}]{after}", intervals(numbers)),
    }));
    folded.sort_by(|a, b| natural_order(a, b));
    folded.join(",")
}

/// The numbers in a name, each with what is around it.
fn numbers(name: &str) -> Vec<(Around<'_>, &str)> {
    let mut found = Vec::new();
    if name.contains(['[', ']', ',']) {
        return found;
    }
    let mut from = 0;
    while let Some(start) = name[from..].find(|c: char| c.is_ascii_digit()).map(|at| from + at) {
        let rest = &name[start..];
        let end = rest.find(|c: char| !c.is_ascii_digit()).map_or(name.len(), |at| start + at);
        if end - start <= LONGEST_NUMBER {
            found.push(((&name[..start], &name[end..]), &name[start..end]));
        }
        from = end;
    }
    found
}

/// Distinct numbers as intervals. Numbers of a width in which one is padded stand
/// together and keep that width; the others stand unpadded.
fn intervals(numbers: Vec<&str>) -> String {
    let is_padded = |number: &&&str| number.len() > 1 && number.starts_with('0');
    let padded: BTreeSet<usize> = numbers.iter().filter(is_padded).map(|n| n.len()).collect();
    let mut classes: BTreeMap<usize, Vec<(u64, &str)>> = BTreeMap::new();
    for number in numbers {
        let class = if padded.contains(&number.len()) { number.len() } else { 0 };
        let value = number.parse().unwrap_or_default();
        classes.entry(class).or_default().push((value, number));
    }
    let mut texts = Vec::new();
    for mut class in classes.into_values() {
        class.sort_unstable();
        for run in class.chunk_by(|(a, _), (b, _)| a + 1 == *b) {
            texts.push(match run {
                [(_, first), .., (_, last)] => format!("{first}-{last}"),
                _ => run.iter().map(|(_, only)| *only).collect(),
            });
        }
    }
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranges::expand;
    use proptest::prelude::*;

    #[test]
    fn names_are_folded_to_their_short_form() {
        for (names, folded) in [
            (vec!["node-1.testbed.lan", "node-2.testbed.lan"], "node-[1-2].testbed.lan"),
            (vec!["node-3.a", "node-1.a", "node-2.a", "node-5.a"], "node-[1-3,5].a"),
            (vec!["n9", "n10", "n11"], "n[9-11]"),
            (vec!["n09", "n10", "n9"], "n[9,09-10]"),
            (vec!["n-1.r2", "n-1.r1", "n-2.r1"], "n-[1-2].r1,n-1.r2"),
            (vec!["alone-7", "other"], "alone-7,other"),
            (vec![], ""),
        ] {
            assert_eq!(fold(names), folded);
        }
    }

    proptest! {
        #[test]
        fn expanding_what_was_folded_gives_the_same_set(
            names in prop::collection::btree_set("(n|n-|0)(0|1|9|08|[0-9]{1,3})(\\.s|\\.s[12]|-x)?", 1..40)
        ) {
            let folded = fold(&names);
            let again = expand(&folded, 1000).unwrap();
            prop_assert_eq!(again.len(), names.len(), "{}", folded);
            prop_assert_eq!(again.into_iter().collect::<BTreeSet<_>>(), names, "{}", folded);
        }
    }
}
