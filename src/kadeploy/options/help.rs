//! `--help`.

use super::{Opt, Takes};

/// Where texts begin.
const MARGIN: usize = 37;

/// The help of `program`, at most `columns` wide.
pub(crate) fn help(program: &str, options: &[Opt], columns: usize) -> String {
    let mut text = format!(
        "Usage: {program} [options]\nContact: kadeploy3-users@lists.gforge.inria.fr\n\nOptions:\n"
    );
    for option in options {
        let names = format!("    {}", names(option));
        let mut lines = wrap(option.text, columns.saturating_sub(MARGIN).max(20)).into_iter();
        // A name that reaches into the texts has a line of its own.
        if names.len() < MARGIN {
            text += &format!("{names:MARGIN$}{}\n", lines.next().unwrap_or_default());
        } else {
            text += &format!("{names}\n");
        }
        lines.for_each(|line| text += &format!("{:MARGIN$}{line}\n", ""));
    }
    text
}

fn names(option: &Opt) -> String {
    let short = option.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
    let long = option.long;
    match option.takes {
        Takes::Nothing => format!("{short}--{long}"),
        Takes::Switch => format!("{short}--[no-]{long}"),
        Takes::Value => format!("{short}--{long} {}", option.value),
        Takes::Maybe => format!("{short}--{long} [{}]", option.value),
    }
}

/// Lines of at most `width`, broken between words.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_its_line() {
        let options = [
            Opt::switch("wait", "Wait for the end").short('w'),
            Opt::value("a-name-that-is-far-too-long", "VALUE", "Text"),
        ];
        let text = help("kadeploy3", &options, 80);
        assert!(text.starts_with("Usage: kadeploy3 [options]\n"), "{text}");
        let wait = format!("{:37}Wait for the end\n", "    -w, --[no-]wait");
        assert!(text.contains(&wait), "{text}");
        assert!(text.contains("--a-name-that-is-far-too-long VALUE\n"), "{text}");
        assert_eq!(wrap("a bb ccc", 4), ["a bb", "ccc"]);
    }
}
