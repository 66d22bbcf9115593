//! Tables of text with a head.

use std::fmt::Write as _;

/// Formats columns as wide as their widest cell; nothing for no rows.
pub(super) fn table<const COLUMNS: usize>(
    head: [&str; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
) -> String {
    let mut text = String::new();
    if rows.is_empty() {
        return text;
    }
    let width = |cell: &str| cell.chars().count();
    let mut widths = head.map(width);
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = width(cell).max(*widest);
        }
    }
    for row in std::iter::once(head.map(str::to_owned)).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _written = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
