//! Tests of readers of recordings.

use std::io::{Cursor, Read};

use super::*;

const HEADER: &str = r#"{"line":"header","format":1,"server":"0.1.0","topic":null,"plugin":null,"redacted":{"payload":true,"claims":true}}
"#;
const VERSION: &str = r#"{"line":"version","number":0,"plugin":"p","digest":"00","version":"1","lanes":1,"routes":[]}
"#;
const END: &str = r#"{"line":"end","reason":"count","calls":0,"dropped":3}
"#;

fn read(text: impl AsRef<[u8]>) -> Result<(usize, u64), String> {
    let mut reader = Reader::new(Path::new("r.ndjson"), Cursor::new(text.as_ref()))?;
    let mut calls = 0;
    while reader.next_call()?.is_some() {
        calls += 1;
    }
    Ok((calls, reader.end().unwrap().dropped))
}

fn refuses(text: impl AsRef<[u8]>, expected: &str) {
    let error = read(text).unwrap_err();
    assert!(error.contains(expected) && error.contains("\n  = help: "), "{error}");
}

#[test]
fn reads_a_recording_without_calls() {
    assert_eq!(read([HEADER, VERSION, END].concat()), Ok((0, 3)));
}

#[test]
fn refuses_files_that_are_no_recordings() {
    refuses("", "r.ndjson:1: error: the file is empty");
    refuses("\n", "r.ndjson:1: error: this is no recording");
    refuses("hello\n", "r.ndjson:1: error: this is no recording");
    refuses("[]\n", "r.ndjson:1: error: this is no recording");
    refuses(b"\x00asm\x0d\x00\x01\x00\n", "r.ndjson:1: error: this is no recording");
    refuses(END, "r.ndjson:1: error: this is no recording");
}

#[test]
fn refuses_a_newer_format() {
    let newer = r#"{"line":"header","format":2,"anything":[]}"#.to_owned() + "\n";
    refuses(newer, "r.ndjson:1: error: the recording has the format 2, and this command reads 1");
}

#[test]
fn names_the_line_where_a_recording_is_cut_off() {
    refuses(HEADER.trim_end(), "r.ndjson:1: error: the recording is cut off in this line");
    refuses(HEADER, "r.ndjson:2: error: the recording is cut off: its last line is missing");
    let part = &VERSION[..40];
    refuses([HEADER, part].concat(), "r.ndjson:2: error: the recording is cut off in this line");
}

#[test]
fn names_the_line_that_is_damaged() {
    let damaged = |line: &str, text: &str| {
        let expected = format!("r.ndjson:3: error: the recording is damaged: {text}");
        refuses([HEADER, VERSION, line, "\n"].concat(), &expected);
    };
    damaged("{}", "missing field `line`");
    damaged("", "EOF while parsing");
    damaged(r#"{"line":"other"}"#, "unknown variant `other`");
    damaged(r#"{"line":"call"}"#, "missing field");
    damaged(HEADER.trim_end(), "there is a second header");
    damaged(VERSION.trim_end(), "the number of the version is out of order");
    // Deep nesting is an error as well, and no overflow of the stack.
    damaged(&"[".repeat(10_000), "");
    damaged(&format!("{{\"line\":\"call\",\"x\":{}", "[".repeat(10_000)), "");
    refuses([HEADER, END, VERSION].concat(), "r.ndjson:3: error: the recording is damaged: there");
    refuses([HEADER.as_bytes(), b"\xff\xfe\n"].concat(), "r.ndjson:2: error");
    // Nothing of the file reaches a terminal as it is.
    let error = read([HEADER, "{\"line\":\"\u{1b}[31m\"}\n"].concat()).unwrap_err();
    assert!(!error.contains('\u{1b}'), "{error}");
}

#[test]
fn refuses_a_line_without_end_in_bounded_memory() {
    let endless = Cursor::new(HEADER).chain(std::io::repeat(b'x'));
    let input = BufReader::new(endless);
    let mut reader = Reader::new(Path::new("r.ndjson"), input).unwrap();
    let error = reader.next_call().err().unwrap();
    assert!(
        error.contains("r.ndjson:2: error: the recording is damaged: the line is longer"),
        "{error}"
    );
}
