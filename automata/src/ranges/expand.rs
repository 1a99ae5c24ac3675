//! Ranges to names.

/// A range that cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It would give more names than allowed.
    #[error("`{text}` stands for {found} nodes, at most {limit} are allowed")]
    TooMany {
        /// The range.
        text: String,
        /// How many names it stands for.
        found: u128,
        /// How many are allowed.
        limit: usize,
    },
    /// It is not written as a range is.
    #[error(
        "`{text}`, character {at}: {problem}; write names such as `node-1.site` or \
         `node-[1-3,07-10].site`, separated by commas"
    )]
    Malformed {
        /// The text.
        text: String,
        /// Where, counted in characters from 1.
        at: usize,
        /// What is wrong there.
        problem: &'static str,
    },
}

/// A name or one bracket group with what is around it.
struct Pattern<'a> {
    before: &'a str,
    numbers: Vec<Numbers<'a>>,
    after: &'a str,
}

enum Numbers<'a> {
    One(&'a str),
    Interval { first: u64, last: u64, width: usize },
}

/// The names that `text` stands for, in the order written: names and ranges with one
/// bracket group each, separated by commas. In brackets stand numbers and intervals,
/// separated by commas; an interval keeps its zero padding when both bounds have the same
/// number of characters.
///
/// # Errors
/// Malformed text, with the place; more than `limit` names, before memory is used.
pub fn expand(text: &str, limit: usize) -> Result<Vec<String>, RangeError> {
    let patterns = parse(text)?;
    let found: u128 = patterns.iter().map(Pattern::count).sum();
    if found > limit as u128 {
        return Err(RangeError::TooMany { text: text.to_owned(), found, limit });
    }
    Ok(patterns.iter().flat_map(Pattern::names).collect())
}

impl Pattern<'_> {
    fn count(&self) -> u128 {
        self.numbers.iter().map(Numbers::count).sum()
    }

    fn names(&self) -> Vec<String> {
        let texts = self.numbers.iter().flat_map(Numbers::texts);
        texts.map(|number| format!("{}{number}{}", self.before, self.after)).collect()
    }
}

impl Numbers<'_> {
    fn count(&self) -> u128 {
        match self {
            Self::One(_) => 1,
            Self::Interval { first, last, .. } => u128::from(last - first) + 1,
        }
    }

    fn texts(&self) -> Vec<String> {
        match self {
            Self::One(number) => vec![(*number).to_owned()],
            Self::Interval { first, last, width } => {
                (*first..=*last).map(|number| format!("{number:0width$}")).collect()
            }
        }
    }
}

/// Splits at the commas outside brackets.
fn parse(text: &str) -> Result<Vec<Pattern<'_>>, RangeError> {
    let mut patterns = Vec::new();
    let (mut from, mut inside) = (0, false);
    for (at, character) in text.char_indices() {
        match character {
            '[' => inside = true,
            ']' => inside = false,
            ',' if !inside => {
                patterns.push(pattern(text, from, at)?);
                from = at + 1;
            }
            _ => {}
        }
    }
    patterns.push(pattern(text, from, text.len())?);
    Ok(patterns)
}

/// Reads the pattern between two bytes of `text`.
fn pattern(text: &str, from: usize, to: usize) -> Result<Pattern<'_>, RangeError> {
    let own = &text[from..to];
    let wrong = |at: usize, problem| Err(malformed(text, from + at, problem));
    if own.is_empty() {
        return wrong(0, "a name is missing");
    }
    if let Some(at) = own.find(|c: char| c.is_whitespace() || c.is_control()) {
        return wrong(at, "a name has no blanks");
    }
    let Some(open) = own.find('[') else {
        return match own.find(']') {
            Some(at) => wrong(at, "`]` without `[`"),
            None => Ok(Pattern { before: own, numbers: vec![Numbers::One("")], after: "" }),
        };
    };
    if let Some(at) = own[..open].find(']') {
        return wrong(at, "`]` without `[`");
    }
    let Some(close) = own[open..].find(']').map(|at| open + at) else {
        return wrong(open, "`[` without `]`");
    };
    if let Some(at) = own[open + 1..close].find('[') {
        return wrong(open + 1 + at, "`[` inside brackets");
    }
    if let Some(at) = own[close + 1..].find(['[', ']']) {
        return wrong(close + 1 + at, "one bracket group at most");
    }
    let mut numbers = Vec::new();
    let mut at = from + open + 1;
    for item in own[open + 1..close].split(',') {
        numbers.push(item_of(text, at, item)?);
        at += item.len() + 1;
    }
    Ok(Pattern { before: &own[..open], numbers, after: &own[close + 1..] })
}

fn item_of<'a>(text: &str, at: usize, item: &'a str) -> Result<Numbers<'a>, RangeError> {
    let number = |at: usize, digits: &str| {
        if digits.is_empty() {
            return Err(malformed(text, at, "a number is missing"));
        }
        if let Some(place) = digits.find(|c: char| !c.is_ascii_digit()) {
            return Err(malformed(text, at + place, "only digits, `-` and `,` stand in brackets"));
        }
        digits.parse::<u64>().map_err(|_| malformed(text, at, "the number is too large"))
    };
    let Some((first, last)) = item.split_once('-') else {
        return number(at, item).map(|_| Numbers::One(item));
    };
    let after = at + first.len() + 1;
    let width = if first.len() == last.len() { first.len() } else { 0 };
    let (first, last) = (number(at, first)?, number(after, last)?);
    if first > last {
        return Err(malformed(text, at, "the interval runs backwards"));
    }
    Ok(Numbers::Interval { first, last, width })
}

fn malformed(text: &str, byte: usize, problem: &'static str) -> RangeError {
    let at = text[..byte].chars().count() + 1;
    RangeError::Malformed { text: text.to_owned(), at, problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(text: &str) -> Vec<String> {
        expand(text, 100).unwrap()
    }

    #[test]
    fn numbers_and_intervals_keep_their_padding() {
        assert_eq!(
            names("node-[1-3,07-10].site"),
            [1, 2, 3]
                .map(|n| format!("node-{n}.site"))
                .into_iter()
                .chain(["07", "08", "09", "10"].map(|n| format!("node-{n}.site")))
                .collect::<Vec<_>>()
        );
        assert_eq!(names("n[9-11]"), ["n9", "n10", "n11"]);
        assert_eq!(names("n[09-11]"), ["n09", "n10", "n11"]);
        assert_eq!(names("n[009-11]"), ["n9", "n10", "n11"]);
        assert_eq!(names("a,b[05]c,d"), ["a", "b05c", "d"]);
    }

    #[test]
    fn an_explosion_is_refused_before_memory_is_used() {
        let error = expand("node-[1-99999999]", 10_000).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`node-[1-99999999]` stands for 99999999 nodes, at most 10000 are allowed"
        );
        let error = expand("node-[0-18446744073709551615]", 1).unwrap_err();
        assert!(matches!(error, RangeError::TooMany { found, .. } if found == 1 << 64));
    }

    #[test]
    fn malformed_text_is_refused_with_its_place() {
        for (text, place) in [
            ("", 1),
            ("a,", 3),
            ("a,,b", 3),
            ("node-[1-3", 6),
            ("node-1]", 7),
            ("node-[1-3]-[4-5]", 12),
            ("node-[]", 7),
            ("node-[1,]", 9),
            ("node-[1-]", 9),
            ("node-[-1]", 7),
            ("node-[3-1]", 7),
            ("node-[a]", 7),
            ("é-[1-x]", 6),
            ("node-[1[2]]", 8),
            ("node 1", 5),
            ("n[99999999999999999999]", 3),
        ] {
            match expand(text, 100) {
                Err(RangeError::Malformed { at, .. }) => assert_eq!(at, place, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_go_over_the_limit(text in "[a0-9\\[\\],.é -]{0,20}") {
            if let Ok(names) = expand(&text, 50) {
                prop_assert!(names.len() <= 50);
            }
        }
    }
}
