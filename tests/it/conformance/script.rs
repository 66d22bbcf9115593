//! Dialogue scripts, as far as the conformance scripts use the format of `docs/dialogues.md`: one
//! statement a line, WAMP v2, no `wait` and no `disconnects`.

use serde_json::{Deserializer, Value};

/// The first character of the strings that stand for patterns in a parsed value. `to_json` writes it.
pub(super) const PATTERN: char = '\u{1}';

pub(super) struct Line {
    pub(super) number: usize,
    pub(super) text: String,
    pub(super) client: String,
    pub(super) action: Action,
}

pub(super) enum Action {
    Join { user: Option<String>, roles: Vec<String>, is_raw: bool },
    Send(Message),
    Expect(Message),
    ExpectNothing,
    Leave,
}

pub(super) enum Message {
    /// As it is on the wire.
    Raw(Value),
    Named(Box<Named>),
}

/// A message without its ids.
#[derive(Default)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) uri: Option<String>,
    pub(super) text: Option<String>,
    pub(super) options: Option<Value>,
    pub(super) args: Option<Value>,
    pub(super) kwargs: Option<Value>,
}

/// Parses a script. An error has its line.
pub(super) fn parse(text: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for (number, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (client, action) =
            statement(text).ok_or_else(|| format!("{number}: not understood: {text}"))?;
        lines.push(Line { number, text: text.to_owned(), client: client.to_owned(), action });
    }
    Ok(lines)
}

fn statement(text: &str) -> Option<(&str, Action)> {
    let (name, rest) = text.split_once(' ')?;
    if name == "client" {
        return declaration(rest);
    }
    if rest == "leaves" {
        return Some((name, Action::Leave));
    }
    let (direction, rest) = rest.split_once(' ')?;
    let action = match (direction, rest) {
        ("<", "nothing") => Action::ExpectNothing,
        ("<", rest) => Action::Expect(message(rest)?),
        (">", rest) => Action::Send(message(rest)?),
        _ => return None,
    };
    Some((name, action))
}

fn declaration(text: &str) -> Option<(&str, Action)> {
    let mut words = text.split(' ');
    let name = words.next()?;
    let (mut user, mut roles, mut is_raw) = (None, Vec::new(), false);
    while let Some(word) = words.next() {
        match word {
            "user" => user = Some(words.next()?.to_owned()),
            "roles" => roles = words.next()?.split(',').map(str::to_owned).collect(),
            "raw" => is_raw = true,
            _ => return None,
        }
    }
    Some((name, Action::Join { user, roles, is_raw }))
}

fn message(text: &str) -> Option<Message> {
    if text.starts_with('[') {
        return serde_json::from_str(&to_json(text)).ok().map(Message::Raw);
    }
    let (name, mut rest) = text.split_once(' ').unwrap_or((text, ""));
    let mut named = Named { name: name.to_owned(), ..Named::default() };
    if !rest.is_empty() && !rest.starts_with(['{', '[', '"']) {
        let (uri, after) = rest.split_once(' ').unwrap_or((rest, ""));
        named.uri = Some(uri.to_owned());
        rest = after;
    }
    for value in Deserializer::from_str(&to_json(rest)).into_iter::<Value>() {
        match value.ok()? {
            Value::String(uri) if named.uri.is_none() => named.uri = Some(uri),
            Value::String(text) => named.text = Some(text),
            args @ Value::Array(_) => named.args = Some(args),
            kwargs @ Value::Object(_) if named.args.is_some() => named.kwargs = Some(kwargs),
            options @ Value::Object(_) => named.options = Some(options),
            _ => return None,
        }
    }
    Some(Message::Named(Box::new(named)))
}

/// Replaces the patterns `_`, `$name` and `...` by strings that begin with `PATTERN`.
fn to_json(text: &str) -> String {
    let (mut json, mut brackets, mut rest) = (String::new(), Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '.' => rest.len() - rest.trim_start_matches('.').len(),
            '$' | '_' => {
                let end = |c: char| !c.is_alphanumeric() && c != '_';
                rest[1..].find(end).map_or(rest.len(), |end| end + 1)
            }
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        match first {
            '[' | '{' => brackets.push(first),
            ']' | '}' => drop(brackets.pop()),
            _ => {}
        }
        // A point within a number is no pattern.
        if matches!(first, '$' | '_') || token == "..." {
            json.extend(["\"\\u0001", token, "\""]);
            if token == "..." && brackets.last() == Some(&'{') {
                json += ": null";
            }
        } else {
            json += token;
        }
        rest = after;
    }
    json
}

/// Returns the length of the string at the beginning of a text, with its quotes.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            '"' if !is_escaped => return index + 1,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}
