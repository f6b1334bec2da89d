//! Tables of Markdown that also read well in a terminal, and numbers in them. Called by `report` and `compare`.

use std::fmt::Write as _;

/// Lays out a table; every row has as many cells as the head.
pub fn layout(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    let mut push = |cells: &[String]| {
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(text, "| {cell}{} ", " ".repeat(width - cell.chars().count()));
        }
        text.push_str("|\n");
    };
    push(&head.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
    push(&widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>());
    rows.iter().for_each(|row| push(row));
    text
}

/// The rows of all tables in a text, as cells.
pub fn parse(text: &str) -> impl Iterator<Item = Vec<String>> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    text.lines().filter(|line| line.starts_with('|')).map(cells)
}

/// A number with about three significant digits.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 || size == size.trunc() => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// The same with a unit, which may be empty.
pub fn quantity(value: f64, unit: &str) -> String {
    format!("{} {unit}", number(value)).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_reads_what_layout_wrote() {
        let row = vec!["drain, 4 in flight".to_owned(), String::new()];
        let text = layout(&["case", "range"], std::slice::from_ref(&row));
        assert_eq!(parse(&text).last(), Some(row));
    }

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!([0.123, 12.34, 1234.5, 7.0].map(number), ["0.12", "12.3", "1234", "7"]);
    }
}
