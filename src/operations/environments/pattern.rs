//! Names as databases match them: `%` is any text, `_` any letter, whatever their case.

/// Whether `text` fits `pattern`.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.to_lowercase().chars().collect(), text.to_lowercase().chars().collect());
    // The places of the pattern that the letters so far lead to.
    let mut places = after_any(&pattern, vec![0]);
    for letter in text {
        let mut next = Vec::new();
        for place in places {
            match pattern.get(place) {
                Some('%') => next.push(place),
                Some('\\') if pattern.get(place + 1) == Some(&letter) => next.push(place + 2),
                Some('_') => next.push(place + 1),
                Some(wanted) if *wanted == letter => next.push(place + 1),
                _ => {}
            }
        }
        places = after_any(&pattern, next);
    }
    places.contains(&pattern.len())
}

/// The same places, and those behind each `%`, which may stand for nothing.
fn after_any(pattern: &[char], mut places: Vec<usize>) -> Vec<usize> {
    let mut index = 0;
    while let Some(place) = places.get(index).copied() {
        if pattern.get(place) == Some(&'%') {
            places.push(place + 1);
        }
        index += 1;
    }
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_database() {
        for (pattern, text, fit) in [
            ("debian", "debian", true),
            ("debian", "Debian", true),
            ("deb%", "debian", true),
            ("%", "", true),
            ("%ian%", "debian-12", true),
            ("d_b", "dxb", true),
            ("d_b", "db", false),
            ("d\\_b", "dxb", false),
            ("d\\_b", "d_b", true),
            ("deb%12", "debian-12", true),
            ("deb%12", "debian-123", false),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
        // Each letter is looked at once for each place: no pattern is slow.
        assert!(!fits(&"%a".repeat(500), &"a".repeat(499)));
    }
}
