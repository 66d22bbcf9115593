//! Tail of stderr of a failed call, quoted in the fault's line.

/// Bytes of stderr quoted by a fault.
const MAX_QUOTED_BYTES: usize = 1 << 10;
/// Parts of a Rust panic message: `thread 'main' panicked at src/lib.rs:5:9:`, a line break, the
/// text, and a note.
const PANICKED: &str = " panicked at ";
const THREAD: &str = "thread '";
const NOTE: &str = "note: run with `RUST_BACKTRACE";

/// Splits the text into lines for the log and the quotation of the fault: the last panic, or else
/// the last lines.
pub(crate) fn split(text: &str) -> (&str, &str) {
    let panic = text.rfind(PANICKED).and_then(|at| {
        let start = text.get(..at)?.rfind('\n').map_or(0, |line_break| line_break + 1);
        text.get(start..)?.starts_with(THREAD).then_some(start)
    });
    let start = panic.unwrap_or_else(|| {
        let room = text.ceil_char_boundary(text.len().saturating_sub(MAX_QUOTED_BYTES));
        // From the beginning of a line, unless the last line is longer than the quotation.
        let line = text.get(room..).and_then(|rest| rest.trim_end().find('\n'));
        if room == 0 { 0 } else { line.map_or(room, |line_break| room + line_break + 1) }
    });
    text.split_at(start)
}

/// `panicked at src/lib.rs:5:9: a bid of 666`, or `stderr: the last / lines`; none of nothing.
pub(crate) fn in_one_line(last: &str) -> Option<String> {
    let lines: Vec<_> = last.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut text = match lines.split_first() {
        None => return None,
        Some((first, rest)) if first.starts_with(THREAD) && first.contains(PANICKED) => {
            let place = first.split_once(PANICKED).map_or("", |(_, place)| place);
            let message: Vec<_> =
                rest.iter().take_while(|line| !line.starts_with(NOTE)).copied().collect();
            format!("panicked at {place} {}", message.join(" / "))
        }
        Some(_) => format!("stderr: {}", lines.join(" / ")),
    };
    text.truncate(text.floor_char_boundary(MAX_QUOTED_BYTES));
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, before: &str, line: Option<&str>) {
        let (logged, last) = split(text);
        assert_eq!((logged, in_one_line(last).as_deref()), (before, line));
    }

    #[test]
    fn reads_location_and_message_of_a_panic() {
        let panic = "\nthread '<unnamed>' panicked at src/lib.rs:5:9:\na bid\nof 666\nnote: run with \
                     `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        let line = Some("panicked at src/lib.rs:5:9: a bid / of 666");
        check(panic, "\n", line);
        check(&format!("about to fail{panic}"), "about to fail\n", line);
        check(&format!("{panic}{panic}"), &format!("{panic}\n"), line);
        check("thread 'main' (1) panicked at x.rs:1:1:\nno", "", Some("panicked at x.rs:1:1: no"));
    }

    #[test]
    fn quotes_the_end_of_other_output() {
        check("", "", None);
        check(" \n\n", "", None);
        check(
            "Traceback:\n  File x\nKeyError\n",
            "",
            Some("stderr: Traceback: / File x / KeyError"),
        );
        let lines = "é 23456789\n".repeat(200);
        let (before, last) = split(&lines);
        assert_eq!(before.len() % 12, 0);
        assert!(last.len() <= MAX_QUOTED_BYTES && last.len() > MAX_QUOTED_BYTES - 12);
        let long = "é".repeat(2_000);
        let (before, last) = split(&long);
        assert_eq!((before.len() + last.len(), last.len()), (4_000, MAX_QUOTED_BYTES));
        assert!(in_one_line(last).unwrap().len() <= MAX_QUOTED_BYTES);
    }
}
