//! Tail of stderr of a failed call, quoted in the fault's line.

/// Bytes of stderr quoted by a fault.
const MAX_QUOTED_BYTES: usize = 1 << 10;
/// Parts of a Rust panic message: `thread 'main' panicked at src/lib.rs:5:9:`, a line break, the
/// text, and a note.
const PANICKED: &str = " panicked at ";
const THREAD: &str = "thread '";
const NOTE: &str = "note: run with `RUST_BACKTRACE";
/// Parts of an error of JavaScript within a panic of its engine.
const SCRIPT_MESSAGE: &str = "Exception { message: Some(\"";
const SCRIPT_STACK: &str = ", stack: Some(\"";

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

/// `panicked at src/lib.rs:5:9: a bid of 666`; for a plugin in JavaScript `TypeError: x is undefined /
/// at onCall (/plugin.js:4:5)`; or `stderr: the last / lines`; none of nothing.
pub(crate) fn in_one_line(last: &str) -> Option<String> {
    let lines: Vec<_> = last.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut text = match lines.split_first() {
        None => return None,
        Some((first, rest)) if first.starts_with(THREAD) && first.contains(PANICKED) => {
            let place = first.split_once(PANICKED).map_or("", |(_, place)| place);
            let message: Vec<_> =
                rest.iter().take_while(|line| !line.starts_with(NOTE)).copied().collect();
            let message = message.join(" / ");
            script_error(&message).unwrap_or_else(|| format!("panicked at {place} {message}"))
        }
        Some(_) => format!("stderr: {}", lines.join(" / ")),
    };
    text.truncate(text.floor_char_boundary(MAX_QUOTED_BYTES));
    Some(text)
}

/// Message and stack of an error of JavaScript, which a panic of its engine quotes.
fn script_error(panic: &str) -> Option<String> {
    let (_, message) = panic.split_once(SCRIPT_MESSAGE)?;
    let (message, rest) = unquoted(message)?;
    let stack = rest.strip_prefix(')').and_then(|rest| rest.strip_prefix(SCRIPT_STACK));
    let stack = stack.and_then(unquoted).map(|(stack, _)| stack).unwrap_or_default();
    let lines = message.lines().chain(stack.lines()).map(str::trim);
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    Some(lines.join(" / "))
}

/// Reads a text up to its closing quote, with the escapes of `Debug`. Returns it with the rest after
/// the quote; none if it is cut off.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some((text, chars.as_str())),
            '\\' => text.push(match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '0' => '\0',
                'u' => {
                    let digits = chars.by_ref().skip(1).take_while(|digit| *digit != '}');
                    let number = u32::from_str_radix(&digits.collect::<String>(), 16).ok();
                    number.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
                other => other,
            }),
            other => text.push(other),
        }
    }
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
    fn reads_message_and_stack_of_an_error_in_javascript() {
        let panic = |value: &str| {
            format!(
                "\nthread 'main' (1) panicked at crates/runtime/src/interpreter.rs:51:31:\n\
                 Failed to call 'onCall': Value(Exception(\n{value}\n))\n{NOTE}=1`\n"
            )
        };
        let error = r#"Exception { message: Some("TypeError: no \"y\" in \u{1f600}"), stack: Some("    at inner (/plugin.js:2:28)\n    at onCall (/plugin.js:4:57)\n") }"#;
        let line = "TypeError: no \"y\" in \u{1f600} / at inner (/plugin.js:2:28) / at onCall (/plugin.js:4:57)";
        check(&panic(error), "\n", Some(line));
        let thrown = r#"Exception { message: Some("thrown: 7"), stack: None }"#;
        check(&panic(thrown), "\n", Some("thrown: 7"));
        // One that is cut off is quoted as it is.
        let cut = r#"Exception { message: Some("TypeErr"#;
        let line = in_one_line(split(&panic(cut)).1).unwrap();
        assert!(
            line.starts_with("panicked at crates/runtime/") && line.contains("TypeErr"),
            "{line}"
        );
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
