//! Words put into a command of the site's.

/// `text` with each name of `places` replaced by its value. What was put in is not looked at
/// again.
pub(crate) fn fill(text: &str, places: &[(&str, &str)]) -> String {
    let (mut filled, mut rest) = (String::new(), text);
    loop {
        let next = places.iter().filter_map(|(name, value)| Some((rest.find(name)?, name, value)));
        let Some((at, name, value)) = next.min_by_key(|(at, ..)| *at) else {
            return filled + rest;
        };
        filled.push_str(&rest[..at]);
        filled.push_str(value);
        rest = &rest[at + name.len()..];
    }
}

/// Whether a path may stand in a command of the site's as it is: it has no character that means
/// something to a shell, nor one that ends a word.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._@%+=:,-".contains(c))
}
