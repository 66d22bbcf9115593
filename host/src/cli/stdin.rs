//! Standard input as a stream of events: JSON values one after another (a document, or NDJSON), or
//! lines of text. A thread reads them as they arrive, so that a pipe may stay open.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use serde_json::value::RawValue;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::json_payload::{JSON_HELP, quoted};

/// The maximum size of an event: no server accepts more.
const MAX_EVENT_BYTES: usize = 64 << 20;
/// The maximum number of events that are read ahead.
const MAX_QUEUED_EVENTS: usize = 16;

/// Reads the events as JSON. An error message ends the stream.
pub(super) fn events(text: bool) -> Receiver<Result<String, String>> {
    let (sender, receiver) = channel(MAX_QUEUED_EVENTS);
    // Not joined: a read of a terminal cannot be interrupted, so the thread ends with the process.
    std::thread::spawn(move || {
        let input = io::stdin().lock();
        if text { lines(input, &sender) } else { values(input, &sender) }
    });
    receiver
}

/// Sends each JSON value, until the receiver is dropped.
fn values(input: impl Read, into: &Sender<Result<String, String>>) {
    let left = Rc::new(Cell::new(MAX_EVENT_BYTES));
    let input = Bounded { input: BufReader::new(input), left: Rc::clone(&left) };
    let values = serde_json::Deserializer::from_reader(input).into_iter::<Box<RawValue>>();
    for value in values {
        let failed = value.is_err();
        let value = value.map(|value| value.get().to_owned());
        let value = value.map_err(|error| {
            format!("standard input is invalid JSON: {error}\n  = help: {JSON_HELP}")
        });
        if into.blocking_send(value).is_err() || failed {
            return;
        }
        left.set(MAX_EVENT_BYTES);
    }
}

/// Sends each line as a JSON string, until the receiver is dropped.
fn lines(input: impl Read, into: &Sender<Result<String, String>>) {
    let mut input = BufReader::new(input);
    for number in 1u64.. {
        let mut line = Vec::new();
        let limit = u64::try_from(MAX_EVENT_BYTES).unwrap_or(u64::MAX);
        let line = match input.by_ref().take(limit).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(length) if length == MAX_EVENT_BYTES => Err("is longer than 64 MiB".to_owned()),
            Ok(_) => {
                while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                    line.pop();
                }
                String::from_utf8(line).map_err(|_| "is not UTF-8".to_owned())
            }
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        let failed = line.is_err();
        let line = line
            .map(|line| quoted(&line))
            .map_err(|error| format!("line {number} of standard input {error}"));
        if into.blocking_send(line).is_err() || failed {
            return;
        }
    }
}

/// A reader that fails after `left` bytes; [`values`] resets it after each value.
struct Bounded<R> {
    input: R,
    left: Rc<Cell<usize>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(into)?;
        let left = self.left.get().checked_sub(count);
        let left = left.ok_or_else(|| io::Error::other("an event is longer than 64 MiB"))?;
        self.left.set(left);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &'static [u8], text: bool) -> Vec<Result<String, String>> {
        let (sender, mut receiver) = channel(MAX_QUEUED_EVENTS);
        if text {
            lines(input, &sender);
        } else {
            values(input, &sender);
        }
        drop(sender);
        std::iter::from_fn(|| receiver.blocking_recv()).collect()
    }

    #[test]
    fn reads_values_one_after_another() {
        let check = |input: &'static str, expect: &[&str]| {
            let found: Vec<String> =
                read(input.as_bytes(), false).into_iter().map(Result::unwrap).collect();
            assert_eq!(found, expect, "{input:?}");
        };
        check("", &[]);
        check(" \n", &[]);
        check("{\n  \"a\": 1\n}\n", &["{\n  \"a\": 1\n}"]);
        check("{\"a\":1}\n[2]\n\"x\"\n3 4\nnull", &["{\"a\":1}", "[2]", "\"x\"", "3", "4", "null"]);
        check("18446744073709551616 1.50", &["18446744073709551616", "1.50"]);
    }

    #[test]
    fn stops_at_invalid_json() {
        let found = read(b"1\n{\"a\": }\n2", false);
        assert_eq!((found.len(), found[0].as_deref()), (2, Ok("1")));
        let error = found[1].as_ref().unwrap_err();
        assert!(error.starts_with("standard input is invalid JSON: expected value at line 2 col"));
        assert!(error.contains("= help: "), "{error}");
        assert!(read(b"hello", false)[0].is_err());
        assert!(read(b"{\"a\"", false)[0].is_err());
    }

    #[test]
    fn reads_lines_of_text() {
        let found: Vec<String> =
            read(b"a {\r\n\n\"x\"", true).into_iter().map(Result::unwrap).collect();
        assert_eq!(found, ["\"a {\"", "\"\"", "\"\\\"x\\\"\""]);
        let found = read(b"a\n\xff\nb", true);
        assert_eq!(found[1], Err("line 2 of standard input is not UTF-8".to_owned()));
        assert_eq!(found.len(), 2);
    }
}
