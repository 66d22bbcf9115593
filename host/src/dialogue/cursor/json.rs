//! Reader of values: JSON, and in scripts also patterns. It also reads received messages.
//!
//! It is no reader of serde, because each error needs its place in the script.

use std::ops::Range;

use super::{Cursor, SyntaxError, Use, is_name};
use crate::dialogue::value::Value;

/// The maximum nesting of values: that of a message with the highest `limits.depth`.
const MAX_DEPTH: usize = 600;

impl<'t> Cursor<'t> {
    /// Reads a value.
    pub(in crate::dialogue) fn value(&mut self, allowed: Use) -> Result<Value, SyntaxError> {
        self.value_within(allowed, MAX_DEPTH)
    }

    fn value_within(&mut self, allowed: Use, depth: usize) -> Result<Value, SyntaxError> {
        let Some(first) = self.peek() else { return Err(self.error("a value is missing")) };
        if matches!(first, '[' | '{') && depth == 0 {
            let message = format!("lists and dictionaries are nested more than {MAX_DEPTH} deep");
            return Err(self.error(message));
        }
        match first {
            '[' => self.list(allowed, depth - 1),
            '{' => self.map(allowed, depth - 1),
            '"' => self.string().map(Value::Text),
            '$' => self.variable(allowed),
            '-' | '0'..='9' => self.number(),
            _ => self.name(allowed),
        }
    }

    fn list(&mut self, allowed: Use, depth: usize) -> Result<Value, SyntaxError> {
        let begin = self.at;
        self.at += 1;
        let (mut items, mut open) = (Vec::new(), false);
        loop {
            self.skip_space();
            match self.peek() {
                None => return Err(unclosed(begin, "[", "]")),
                Some(']') if items.is_empty() => break,
                Some('.') => open = self.ellipsis(allowed)?,
                Some(_) => items.push(self.value_within(allowed, depth)?),
            }
            if self.is_list_over(']', begin, open)? {
                break;
            }
        }
        self.at += 1;
        Ok(Value::List { items, open })
    }

    fn map(&mut self, allowed: Use, depth: usize) -> Result<Value, SyntaxError> {
        let begin = self.at;
        self.at += 1;
        let (mut entries, mut open) = (Vec::<(String, Value)>::new(), false);
        loop {
            self.skip_space();
            match self.peek() {
                None => return Err(unclosed(begin, "{", "}")),
                Some('}') if entries.is_empty() => break,
                Some('.') => open = self.ellipsis(allowed)?,
                Some('"') => {
                    let start = self.at;
                    let key = self.string()?;
                    // Each expected key is compared once. A raw message may repeat keys.
                    if allowed == Use::Expect && entries.iter().any(|(name, _)| *name == key) {
                        return Err(SyntaxError::new(start..self.at, "the key is there twice"));
                    }
                    self.skip_space();
                    if self.peek() != Some(':') {
                        return Err(self.error("expected `:` after the key"));
                    }
                    self.at += 1;
                    self.skip_space();
                    entries.push((key, self.value_within(allowed, depth)?));
                }
                Some(_) => {
                    let help = "keys are texts in double quotes";
                    return Err(self.error("expected a key").with_help(help));
                }
            }
            if self.is_list_over('}', begin, open)? {
                break;
            }
        }
        self.at += 1;
        Ok(Value::Map { entries, open })
    }

    /// Reads the comma after an element. Returns whether the list or dictionary ends instead.
    fn is_list_over(&mut self, close: char, begin: usize, open: bool) -> Result<bool, SyntaxError> {
        self.skip_space();
        match self.peek() {
            Some(c) if c == close => Ok(true),
            Some(',') if open => Err(self.error("`...` stands at the end")),
            Some(',') => {
                self.at += 1;
                self.skip_space();
                if self.peek() == Some(close) {
                    return Err(self.error("a value is missing after the comma"));
                }
                Ok(false)
            }
            None if close == ']' => Err(unclosed(begin, "[", "]")),
            None => Err(unclosed(begin, "{", "}")),
            Some(_) => Err(self.error(format!("expected `,` or `{close}`"))),
        }
    }

    fn ellipsis(&mut self, allowed: Use) -> Result<bool, SyntaxError> {
        if !self.rest().starts_with("...") {
            return Err(self.error("expected a value"));
        }
        let range = self.at..self.at + 3;
        self.at = range.end;
        match allowed {
            Use::Expect => Ok(true),
            Use::Send => Err(only_expected(range, "...")),
            Use::Message => Err(SyntaxError::new(range, "not JSON")),
        }
    }

    /// Reads a text in double quotes.
    pub(in crate::dialogue) fn string(&mut self) -> Result<String, SyntaxError> {
        let begin = self.at;
        let mut escaped = false;
        let body = self.rest().get(1..).unwrap_or_default();
        let end = body.char_indices().find(|&(_, c)| {
            let ends = c == '\n' || (c == '"' && !escaped);
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some((end, '"')) = end else {
            let stop = end.map_or(self.text.len(), |(at, _)| begin + 1 + at);
            let error = SyntaxError::new(begin..stop, "the text has no closing `\"`");
            return Err(error.with_help("a line break within a text is written `\\n`"));
        };
        self.at = begin + end + 2;
        let quoted = self.text.get(begin..self.at).unwrap_or_default();
        serde_json::from_str(quoted).map_err(|error| {
            let error = error.to_string();
            let reason = error.split(" at line ").next().unwrap_or_default();
            SyntaxError::new(begin..self.at, format!("invalid text: {reason}"))
        })
    }

    fn number(&mut self) -> Result<Value, SyntaxError> {
        let (number, range) = self.token();
        if is_number(number) {
            return Ok(Value::Number(number.to_owned()));
        }
        Err(SyntaxError::new(range, "invalid number"))
    }

    fn variable(&mut self, allowed: Use) -> Result<Value, SyntaxError> {
        let (token, range) = self.token();
        let name = token.strip_prefix('$').unwrap_or_default();
        if allowed == Use::Message {
            return Err(SyntaxError::new(range, "not JSON"));
        }
        if !is_name(name) {
            let error = SyntaxError::new(range, "invalid name of a variable");
            return Err(error.with_help("names have letters, digits, `_` and `-`"));
        }
        Ok(Value::Variable(name.to_owned()))
    }

    fn name(&mut self, allowed: Use) -> Result<Value, SyntaxError> {
        let (token, range) = self.token();
        match token {
            "null" => Ok(Value::Null),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "_" if allowed == Use::Expect => Ok(Value::Any),
            "_" if allowed == Use::Send => Err(only_expected(range, "_")),
            _ => {
                let end = range.end.max(range.start + self.peek().map_or(0, char::len_utf8));
                let error = SyntaxError::new(range.start..end, "expected a value in JSON");
                Err(error.with_help("texts are in double quotes"))
            }
        }
    }

    /// Reads the characters up to a delimiter of JSON.
    fn token(&mut self) -> (&'t str, Range<usize>) {
        let rest = self.rest();
        let is_end = |c: char| c.is_ascii_whitespace() || ",:[]{}\"".contains(c);
        let end = rest.find(is_end).unwrap_or(rest.len());
        let range = self.at..self.at + end;
        self.at = range.end;
        (rest.get(..end).unwrap_or_default(), range)
    }
}

/// Returns whether a text is a number of JSON. RFC 8259, section 6.
fn is_number(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let mantissa = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    are_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(are_digits)
        && exponent.is_none_or(|it| are_digits(it.strip_prefix(['+', '-']).unwrap_or(it)))
}

fn only_expected(range: Range<usize>, pattern: &str) -> SyntaxError {
    let error = SyntaxError::new(range, format!("`{pattern}` cannot be sent"));
    error.with_help(format!("`{pattern}` stands for something received, in lines with `<`"))
}

fn unclosed(begin: usize, open: &str, close: &str) -> SyntaxError {
    SyntaxError::new(begin..begin + 1, format!("`{open}` has no closing `{close}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, allowed: Use, expect: &str) {
        let mut cursor = Cursor::new(text);
        let found = match cursor.value(allowed) {
            Ok(value) => value.to_string(),
            Err(error) => format!("{} at {:?}", error.message, error.range),
        };
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn reads_json() {
        for text in ["null", "true", "-1.5e+3", "0", "\"a\\u00e9\\n\"", "[]", "{}"] {
            let json: serde_json::Value = serde_json::from_str(text).unwrap();
            let read = Cursor::new(text).value(Use::Message).unwrap().to_string();
            assert_eq!(serde_json::from_str::<serde_json::Value>(&read).unwrap(), json);
        }
        check("[1,\n 2, # two\n {\"a\": []}]", Use::Send, "[1, 2, {\"a\": []}]");
        check("1e400", Use::Send, "1e400");
        check("[01]", Use::Send, "invalid number at 1..3");
        check("[1,]", Use::Send, "a value is missing after the comma at 3..4");
        check("[1", Use::Send, "`[` has no closing `]` at 0..1");
        check("{\"a\": 1", Use::Send, "`{` has no closing `}` at 0..1");
        check("{a: 1}", Use::Send, "expected a key at 1..2");
        check("\"a\n\"", Use::Send, "the text has no closing `\"` at 0..2");
        check("\"\\x\"", Use::Send, "invalid text: invalid escape at 0..4");
        check("hello", Use::Send, "expected a value in JSON at 0..5");
        check(
            &"[".repeat(700),
            Use::Send,
            "lists and dictionaries are nested more than 600 deep at 600..601",
        );
    }

    #[test]
    fn patterns_are_for_expectations() {
        check("[_, $a, {\"k\": _, ...}, ...]", Use::Expect, "[_, $a, {\"k\": _, ...}, ...]");
        check("[$a]", Use::Send, "[$a]");
        check("[_]", Use::Send, "`_` cannot be sent at 1..2");
        check("[...]", Use::Send, "`...` cannot be sent at 1..4");
        check("[..., 1]", Use::Expect, "`...` stands at the end at 4..5");
        check("[_]", Use::Message, "expected a value in JSON at 1..2");
        check("[$a]", Use::Message, "not JSON at 1..3");
        check("$1", Use::Expect, "invalid name of a variable at 0..2");
    }
}
