//! Rows in columns, and lines.

/// Each text on a line of its own.
pub(super) fn lines(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let join = |text: String, line| text + AsRef::as_ref(&line) + "\n";
    texts.into_iter().fold(String::new(), join)
}

/// Columns as wide as they must be, two blanks between them. The first row is the header.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let rows = [["NAME", "X"], ["a", "1"], ["long-name", ""]];
        let rows: Vec<Vec<String>> = rows.map(|row| row.map(str::to_owned).to_vec()).to_vec();
        assert_eq!(table(&rows), "NAME       X\na          1\nlong-name\n");
    }
}
