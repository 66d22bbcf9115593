//! Tables of text with a head, and the place of their next page.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use jackfield_text::{Untrusted, shell_word};

/// The maximum size of a cell: one long topic would make every line as long.
const MAX_CELL_BYTES: usize = 200;
/// The width to which a column can be cut on a terminal: that of an id of a session.
const MIN_COLUMN: usize = 16;
/// The blanks between two columns.
const SEPARATOR: usize = 2;

/// Formats columns as wide as their widest cell; nothing for no rows. Each row is one line, whatever
/// its cells contain: names of clients are among them.
pub(super) fn table<const COLUMNS: usize>(
    head: [&str; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
) -> String {
    let mut text = String::new();
    if rows.is_empty() {
        return text;
    }
    let rows: Vec<_> = rows.into_iter().map(|row| row.map(|cell| shown(&cell))).collect();
    let rows = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let rows = fit(rows, terminal_columns());
    let widths = widths(&rows);
    for row in rows {
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

/// The number of columns of the terminal; `None` if the output is none.
pub(super) fn terminal_columns() -> Option<usize> {
    let stdout = std::io::stdout();
    let columns =
        stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).ok())??.ws_col;
    (columns > 0).then_some(usize::from(columns))
}

/// Cuts cells of the widest columns until each row fits into `columns` of a terminal: one long name
/// would break all rows into several lines. Columns of [`MIN_COLUMN`] are not cut, so that ids stay whole.
pub(super) fn fit<const COLUMNS: usize>(
    mut rows: Vec<[String; COLUMNS]>,
    columns: Option<usize>,
) -> Vec<[String; COLUMNS]> {
    let Some(columns) = columns else { return rows };
    let mut widths = widths(&rows);
    let separators = SEPARATOR * COLUMNS.saturating_sub(1);
    while widths.iter().sum::<usize>() + separators > columns {
        let Some(widest) = widths.iter_mut().max().filter(|it| **it > MIN_COLUMN) else { break };
        *widest -= 1;
    }
    for row in &mut rows {
        for (cell, width) in row.iter_mut().zip(widths) {
            if cell.chars().count() > width {
                let kept: String = cell.chars().take(width.saturating_sub(1)).collect();
                *cell = kept + "…";
            }
        }
    }
    rows
}

fn widths<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> [usize; COLUMNS] {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = cell.chars().count().max(*widest);
        }
    }
    widths
}

fn shown(cell: &str) -> String {
    Untrusted::new(cell).at_most(MAX_CELL_BYTES).to_string()
}

/// The option that asks for the page behind `next`, as a shell reads it. A client may have chosen
/// the text.
pub(super) fn after(next: &str) -> String {
    let otherwise = "with the last entry of --json, which has characters that are not printable";
    format!("--after {}", shell_word(next, otherwise))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_line() {
        let forged = "a\nroot  7\u{1b}[2J".to_owned();
        let text =
            table(["NAME", "N"], vec![[forged, "1".to_owned()], ["b".repeat(300), "2".to_owned()]]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[1].starts_with(r"a\nroot  7\u{1b}[2J  "), "{text}");
        assert!(lines[2].contains("… (100 more bytes left out)"), "{text}");
    }

    #[test]
    fn a_terminal_gets_lines_that_fit() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let id = "1234567890123456";
        let rows = || vec![row(["SESSION", "USER", "N"]), row([id, &"u".repeat(200), "7"])];
        let fitted = fit(rows(), Some(60));
        assert_eq!(fitted[1], row([id, &format!("{}…", "u".repeat(38)), "7"]));
        assert_eq!(fit(rows(), None), rows(), "a pipe gets whole cells");
        assert_eq!(fit(rows(), Some(300)), rows());
        // Ids are never cut.
        assert_eq!(fit(rows(), Some(10))[1], row([id, &format!("{}…", "u".repeat(15)), "7"]));
    }

    #[test]
    fn a_shell_reads_the_place_of_the_next_page_as_one_word() {
        for next in ["exact:a", "exact:a'; touch owned; '", "$(x) `y` \\ \"z\"", "ä b"] {
            let command = format!("printf %s {}", after(next).trim_start_matches("--after "));
            let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), next);
            assert!(output.stderr.is_empty(), "{output:?}");
        }
        assert!(after("a\nb").contains("--json"));
    }
}
