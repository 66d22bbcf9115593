//! JSON payloads of the client commands: from command-line arguments, and printed to stdout.

use std::borrow::Cow;
use std::io::{self, Write};

use jackfield_wamp::dialect::Codec;
use jackfield_wamp::payload::Payload;
use serde::Serialize;
use serde_json::value::RawValue;

use super::remote::CommandError;

/// The help line for invalid JSON.
pub(super) const JSON_HELP: &str = "put JSON in single quotes, '{\"a\": 1}', to protect it from the shell; --text sends it as a \
     string";

/// Creates the payload of command-line arguments. Valid JSON is sent as JSON, anything else as a
/// string. Invalid JSON that begins with `{`, `[` or `"` is an error, unless `text` makes all of
/// them strings.
pub(super) fn from_args(
    args: &[String],
    kwargs: &str,
    text: bool,
) -> Result<Payload, CommandError> {
    let json = |(number, arg): (usize, &String)| match serde_json::from_str::<&RawValue>(arg) {
        _ if text => Ok(quoted(arg)),
        Ok(value) => Ok(value.get().to_owned()),
        Err(error) if arg.trim_start().starts_with(['{', '[', '"']) => {
            let number = number + 1;
            let message = format!("argument {number} is invalid JSON: {error}: {}", excerpt(arg));
            Err(CommandError::Usage(format!("{message}\n  = help: {JSON_HELP}")))
        }
        Err(_) => Ok(quoted(arg)),
    };
    let args = args.iter().enumerate().map(json).collect::<Result<Vec<_>, _>>()?;
    from_json(&args, kwargs)
}

/// Creates a payload from arguments in JSON.
pub(super) fn from_json(args: &[String], kwargs: &str) -> Result<Payload, CommandError> {
    let args = format!("[{}]", args.join(","));
    Payload::from_json(&args, kwargs).map_err(|error| {
        let help = "--kwargs takes a JSON object: '{\"a\": 1}'";
        CommandError::Usage(format!("{error}\n  = help: {help}"))
    })
}

/// Returns a string as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Returns the beginning of the first line of a text.
fn excerpt(text: &str) -> String {
    const MAX_CHARACTERS: usize = 60;
    let line = text.lines().next().unwrap_or_default();
    let mut excerpt: String = line.chars().take(MAX_CHARACTERS).collect();
    if excerpt.len() < text.len() {
        excerpt.push('…');
    }
    excerpt
}

/// Prints one JSON value and a line end, and flushes it.
pub(super) fn print(value: &impl Serialize, pretty: bool) -> Result<(), CommandError> {
    let text =
        if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    let text = text.map_err(|error| CommandError::Output(error.into()))?;
    // Escapes control characters, which a publisher could send to control the terminal.
    let text: Vec<_> = text.split('\n').map(jackfield_text::json).collect();
    let text = text.join(if pretty { "\n" } else { " " });
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(CommandError::Output)
}

/// Returns the arguments of a payload in JSON; an error if JSON cannot represent them.
pub(super) fn raw(payload: &Payload) -> Result<(Box<RawValue>, Box<RawValue>), CommandError> {
    payload
        .check_translatable(Codec::Json)
        .map_err(|error| CommandError::Output(io::Error::other(error)))?;
    let raw = |text: Cow<'_, str>| {
        RawValue::from_string(text.into_owned()).map_err(|error| CommandError::Output(error.into()))
    };
    Ok((raw(payload.args_json())?, raw(payload.kwargs_json())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_json_arguments() {
        let check = |args: &[&str], text: bool, expect: &str| {
            let args: Vec<_> = args.iter().map(|&it| it.to_owned()).collect();
            let Ok(payload) = from_args(&args, "", text) else { panic!("{args:?}") };
            assert_eq!(payload.args_json(), expect, "{args:?}");
        };
        check(&[], false, "[]");
        check(&["1", "-2.50", "true", "null"], false, "[1,-2.50,true,null]");
        check(&["hello", "\"hello\"", ""], false, r#"["hello","hello",""]"#);
        check(
            &[r#"{"b":1,"a":[]}"#, "18446744073709551615"],
            false,
            r#"[{"b":1,"a":[]},18446744073709551615]"#,
        );
        check(&["1", "{", "say \"hi\""], true, r#"["1","{","say \"hi\""]"#);
        check(&["1 2", "a {", "-", "tru"], false, r#"["1 2","a {","-","tru"]"#);
    }

    #[test]
    fn reports_the_place_of_broken_json() {
        let check = |args: &[&str], expect: &str| {
            let args: Vec<_> = args.iter().map(|&it| it.to_owned()).collect();
            let Err(CommandError::Usage(message)) = from_args(&args, "", false) else {
                panic!("{args:?}")
            };
            assert!(message.starts_with(expect), "{message}\n{expect}");
            assert!(message.contains("\n  = help: put JSON in single quotes"), "{message}");
            assert!(from_args(&args, "", true).is_ok(), "{args:?}");
        };
        check(
            &["{a: 1}"],
            "argument 1 is invalid JSON: key must be a string at line 1 column 2: {a",
        );
        check(
            &["1", "{\"a\": 1"],
            "argument 2 is invalid JSON: EOF while parsing an object at line 1",
        );
        check(&["[1,]"], "argument 1 is invalid JSON: ");
        check(&["\"x"], "argument 1 is invalid JSON: ");
        check(&[" {"], "argument 1 is invalid JSON: ");
        check(&["{\n\"a\"\n"], "argument 1 is invalid JSON: ");
    }

    #[test]
    fn keyword_arguments_must_be_an_object() {
        assert!(from_args(&[], r#"{"a":1}"#, false).is_ok());
        for wrong in ["[1]", "x", "{\"a\":1} 2"] {
            assert!(matches!(from_args(&[], wrong, false), Err(CommandError::Usage(_))), "{wrong}");
        }
    }
}
