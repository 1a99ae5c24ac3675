//! Lists as the old programs printed them.

use super::{channels::say, terminal};

/// Columns of these widths and a last one that is as long as it is.
pub(super) fn table<const N: usize, const M: usize>(
    heads: [&str; N],
    widths: [usize; M],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let under = heads.map(|head| "#".repeat(head.len()));
    let mut lines = vec![line(&heads.map(str::to_owned), &widths), line(&under, &widths)];
    lines.extend(rows.map(|row| line(&row, &widths)));
    lines.join("\n")
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line += &format!("{cell:<width$} ");
    }
    line += cells.last().map(String::as_str).unwrap_or_default();
    line.trim_end().to_owned()
}

/// `text` for the last column, or as much of it as fits behind columns of these widths with dots
/// behind it.
pub(super) fn cut(text: &str, widths: &[usize]) -> String {
    const DOTS: &str = "...";
    let width = terminal::WIDTH.saturating_sub(widths.iter().map(|width| width + 1).sum());
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(DOTS.len())).collect();
    kept + DOTS
}

/// Each line with this in front. Nothing is said of an empty text.
pub(super) fn say_lines(prefix: &str, text: &str) {
    if !text.is_empty() {
        text.split('\n').for_each(|line| say(&format!("{prefix}{line}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_may_be_cut() {
        let row = |last: String| ["a".to_owned(), "1".to_owned(), last];
        let rows = [row(cut(&"d".repeat(80), &[21, 7])), row("d".repeat(80))];
        let text = table(["Name", "Version", "Description"], [21, 7], rows.into_iter());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "Name                  Version Description");
        assert_eq!(lines[1], "####                  ####### ###########");
        assert_eq!(lines[2].len(), 80);
        assert!(lines[2].ends_with("ddd..."), "{text}");
        assert!(lines[3].ends_with(&"d".repeat(80)), "{text}");
        assert_eq!(cut("äöü", &[76]), "äöü");
    }
}
