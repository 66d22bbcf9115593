//! Parser of scripts: one statement a line, longer only within brackets.
//!
//! It knows the clients and the variables so far, so that a misspelt name is an error before
//! anything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use jackfield_yaml::{Duration, suggest};

use super::cursor::{Cursor, SyntaxError, Use, is_name};
use super::script::{Action, Expected, Line, Script, Sent};
use super::symbol::{Symbol, Version};
use super::value::Value;

mod declaration;
mod message;
#[cfg(test)]
mod tests;

/// The maximum size of a script.
pub(super) const MAX_SCRIPT_BYTES: usize = 1 << 20;
/// The maximum number of lines with a statement.
const MAX_LINES: usize = 10_000;
/// The maximum number of clients.
const MAX_CLIENTS: usize = 100;
/// The maximum number of errors that are reported at once.
const MAX_ERRORS: usize = 20;

/// The statements that begin with a word of their own.
const KEYWORDS: &[&str] = &["client", "wait"];
/// The statements of a client without a message.
const ENDINGS: &[&str] = &["leaves", "disconnects"];

/// Parses a script.
///
/// # Errors
/// The first errors, in order; at least one.
pub(super) fn parse(text: &str) -> Result<Script, Vec<SyntaxError>> {
    if text.len() > MAX_SCRIPT_BYTES {
        let message = format!("a script has at most {MAX_SCRIPT_BYTES} bytes");
        return Err(vec![SyntaxError::new(0..0, message)]);
    }
    let mut parser =
        Parser { cursor: Cursor::new(text), clients: BTreeMap::new(), variables: BTreeSet::new() };
    let (mut lines, mut errors) = (Vec::new(), Vec::new());
    let (mut number, mut counted) = (1, 0);
    while !parser.cursor.is_end() && errors.len() < MAX_ERRORS {
        parser.cursor.skip_blanks();
        let start = parser.cursor.offset();
        number += breaks(text, counted..start);
        counted = start;
        if !parser.cursor.is_line_end() {
            match parser.statement() {
                Ok(action) => {
                    let range = start..parser.cursor.offset();
                    lines.push(Line { number, range, action });
                }
                Err(error) => errors.push(error),
            }
            if lines.len() > MAX_LINES {
                let message = format!("a script has at most {MAX_LINES} lines");
                errors.push(SyntaxError::new(start..start, message));
                break;
            }
        }
        parser.cursor.skip_line();
    }
    let expects = |line: &Line| matches!(line.action, Action::Expect(..));
    if errors.is_empty() && !lines.iter().any(expects) {
        let error = SyntaxError::new(0..0, "the script expects nothing, so it cannot fail");
        let help =
            "add a line such as `ann < EVENT acme/shout/kitchen [\"HELLO\"]` or `ann < nothing`";
        errors.push(error.with_help(help));
    }
    if errors.is_empty() { Ok(Script { lines }) } else { Err(errors) }
}

fn breaks(text: &str, range: Range<usize>) -> usize {
    text.get(range).unwrap_or_default().matches('\n').count()
}

struct Parser<'t> {
    cursor: Cursor<'t>,
    /// The version of each client so far.
    clients: BTreeMap<String, Version>,
    /// The variables that have a value at this line.
    variables: BTreeSet<String>,
}

impl Parser<'_> {
    fn statement(&mut self) -> Result<Action, SyntaxError> {
        let (word, range) = self.cursor.word();
        self.cursor.skip_blanks();
        match word {
            "client" => self.declaration().map(Action::Join),
            "wait" => self.wait().map(Action::Wait),
            name => self.message(name, range),
        }
    }

    fn wait(&mut self) -> Result<std::time::Duration, SyntaxError> {
        let (word, range) = self.cursor.word();
        let duration: Duration = word.parse().map_err(|_| {
            let error = SyntaxError::new(range, "`wait` needs a duration");
            error.with_help("write a duration such as 100ms or 1.5s")
        })?;
        self.end()?;
        Ok(duration.get())
    }

    /// Reads the rest of a line that begins with the name of a client.
    fn message(&mut self, name: &str, range: Range<usize>) -> Result<Action, SyntaxError> {
        let Some(version) = self.clients.get(name).copied() else {
            return Err(self.unknown_client(name, range));
        };
        let owner = name.to_owned();
        let (word, range) = self.cursor.word();
        self.cursor.skip_blanks();
        let action = match word {
            ">" => Action::Send(owner, self.sent(version)?),
            "<" => Action::Expect(owner, self.expected(version)?),
            "leaves" => Action::Leave(owner),
            "disconnects" => Action::Disconnect(owner),
            _ => {
                let message = format!("expected `>` or `<` after `{name}`");
                let help = match suggest::nearest(word, ENDINGS.iter().copied()) {
                    Some(meant) if !word.is_empty() => format!("did you mean `{meant}`?"),
                    _ => format!(
                        "`{name} > …` sends a message, `{name} < …` expects one; \
                         `{name} leaves` and `{name} disconnects` end its session"
                    ),
                };
                return Err(SyntaxError::new(range, message).with_help(help));
            }
        };
        self.end()?;
        if let Action::Expect(_, expected) = &action {
            let bind = &mut |name: &str| {
                self.variables.insert(name.to_owned());
            };
            expected.each_variable(bind);
        }
        Ok(action)
    }

    fn unknown_client(&self, name: &str, range: Range<usize>) -> SyntaxError {
        let names = self.clients.keys().map(String::as_str);
        let help = match suggest::nearest(name, names.chain(KEYWORDS.iter().copied())) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "each client is declared before its first line: `client ann`".to_owned(),
        };
        SyntaxError::new(range, format!("there is no client `{name}`")).with_help(help)
    }

    fn end(&mut self) -> Result<(), SyntaxError> {
        self.cursor.skip_blanks();
        if self.cursor.is_line_end() {
            return Ok(());
        }
        let (_, range) = self.cursor.word();
        Err(SyntaxError::new(range, "unexpected text at the end of the line"))
    }
}

impl Expected {
    fn each_variable<'v>(&'v self, visit: &mut dyn FnMut(&'v str)) {
        match self {
            Self::Symbol(Symbol { uri, options, text, args, kwargs, .. }) => {
                for part in [uri, options, text, args, kwargs].into_iter().flatten() {
                    part.each_variable(visit);
                }
            }
            Self::Raw(value) => value.each_variable(visit),
            Self::Nothing | Self::Closed => {}
        }
    }
}
