//! Messages of scripts: symbolic ones, raw ones and frames.

use std::ops::Range;

use super::{Expected, Parser, Sent, SyntaxError, Use, Value, Version, suggest};
use crate::dialogue::symbol::{Need, Symbol, Verb};

impl Parser<'_> {
    pub(super) fn sent(&mut self, version: Version) -> Result<Sent, SyntaxError> {
        match self.cursor.peek() {
            Some('[') => Ok(Sent::Raw(self.value(Use::Send)?)),
            Some('"') => Ok(Sent::Frame(self.cursor.string()?)),
            _ => {
                let (verb, range) = self.verb(version.sent(), &[])?;
                let symbol = self.symbol(verb, Use::Send)?;
                if version == Version::V1 {
                    check_v1(&symbol, range)?;
                }
                Ok(Sent::Symbol(symbol))
            }
        }
    }

    pub(super) fn expected(&mut self, version: Version) -> Result<Expected, SyntaxError> {
        if self.cursor.peek() == Some('[') {
            return Ok(Expected::Raw(self.value(Use::Expect)?));
        }
        let mut ahead = self.cursor.clone();
        let keyword = match ahead.word().0 {
            "nothing" => Expected::Nothing,
            "closed" => Expected::Closed,
            _ => {
                let (verb, _) = self.verb(version.received(), &["nothing", "closed"])?;
                return Ok(Expected::Symbol(self.symbol(verb, Use::Expect)?));
            }
        };
        self.cursor = ahead;
        Ok(keyword)
    }

    /// Reads the name of a message.
    fn verb(
        &mut self,
        known: &[Verb],
        keywords: &[&str],
    ) -> Result<(Verb, Range<usize>), SyntaxError> {
        let (word, range) = self.cursor.word();
        self.cursor.skip_blanks();
        if let Some(verb) = known.iter().find(|verb| verb.name() == word) {
            return Ok((*verb, range));
        }
        if word.is_empty() {
            return Err(SyntaxError::new(range, "a message is missing"));
        }
        let names: Vec<&str> =
            known.iter().map(|verb| verb.name()).chain(keywords.iter().copied()).collect();
        let all = Version::V2.sent().iter().chain(Version::V2.received());
        let message = if all.into_iter().any(|verb| verb.name() == word) {
            format!("this client cannot have `{word}` here")
        } else {
            format!("unknown message `{word}`")
        };
        Err(SyntaxError::new(range, message).with_help(suggest::advice(word, &names)))
    }

    /// Reads the parts of a message.
    fn symbol(&mut self, verb: Verb, allowed: Use) -> Result<Symbol, SyntaxError> {
        let shape = verb.shape();
        let mut symbol = Symbol::new(verb);
        if shape.uri != Need::No {
            symbol.uri = self.uri(verb, allowed)?;
            if symbol.uri.is_none() && shape.uri == Need::Must {
                let error = self.cursor.error(format!("`{}` needs a URI", verb.name()));
                return Err(error.with_help("the URI is the topic, procedure, error or reason"));
            }
        }
        if shape.text && !matches!(self.cursor.peek(), None | Some('{' | '[' | '\n')) {
            symbol.text = Some(self.value(allowed)?);
            return Ok(symbol);
        }
        let start = self.cursor.offset();
        if shape.options && self.cursor.peek() == Some('{') {
            symbol.options = Some(self.value(allowed)?);
        }
        if shape.arguments && self.cursor.peek() == Some('[') {
            symbol.args = Some(self.value(allowed)?);
            if self.cursor.peek() == Some('{') {
                symbol.kwargs = Some(self.value(allowed)?);
            }
        } else if shape.arguments && !shape.text && symbol.options.is_some() {
            let range = start..self.cursor.offset();
            let error = SyntaxError::new(range, "a dictionary needs a list beside it");
            let help = "keyword arguments stand after the list of arguments: `[] {…}`; \
                        options and details stand before it: `{…} []`";
            return Err(error.with_help(help));
        }
        Ok(symbol)
    }

    /// Reads a URI: a word, or a text in quotes; in expectations also `_` and `$name`.
    fn uri(&mut self, verb: Verb, allowed: Use) -> Result<Option<Value>, SyntaxError> {
        let value = match self.cursor.peek() {
            None | Some('\n' | '[' | '{') => return Ok(None),
            Some('"') => Value::Text(self.cursor.string()?),
            Some('$') => return self.value(allowed).map(Some),
            Some(_) => {
                let (word, range) = self.cursor.word();
                if word == "_" && allowed == Use::Expect {
                    Value::Any
                } else if word.contains(['[', '{']) {
                    let message = format!("`{}` needs a space after its URI", verb.name());
                    return Err(SyntaxError::new(range, message));
                } else {
                    Value::text(word)
                }
            }
        };
        self.cursor.skip_blanks();
        Ok(Some(value))
    }

    /// Reads a value and the spaces after it. Variables that are sent have a value by then.
    fn value(&mut self, allowed: Use) -> Result<Value, SyntaxError> {
        let start = self.cursor.offset();
        let value = self.cursor.value(allowed)?;
        let range = start..self.cursor.offset();
        self.cursor.skip_blanks();
        if allowed == Use::Send {
            let mut unbound = None;
            value.each_variable(&mut |name| {
                if !self.variables.contains(name) {
                    unbound.get_or_insert(name);
                }
            });
            if let Some(name) = unbound {
                let error = SyntaxError::new(range, format!("`${name}` has no value here"));
                let known = self.variables.iter().map(String::as_str);
                return Err(error.with_help(match suggest::nearest(name, known) {
                    Some(meant) => format!("did you mean `${meant}`?"),
                    None => "a line with `<` gives a variable its value".to_owned(),
                }));
            }
        }
        Ok(value)
    }
}

/// Refuses the parts that messages of version 1 do not have.
fn check_v1(symbol: &Symbol, range: Range<usize>) -> Result<(), SyntaxError> {
    let name = symbol.verb.name();
    let help = "write the message as a list, such as `[7, \"topic\", \"event\", true]`";
    if symbol.options.is_some() {
        let error = SyntaxError::new(range, format!("`{name}` of WAMP v1 has no options"));
        return Err(error.with_help(help));
    }
    let values = symbol.args.as_ref().map_or(0, |args| args.items().len());
    if symbol.verb == Verb::Publish && (values > 1 || symbol.kwargs.is_some()) {
        let error = SyntaxError::new(range, "an event of WAMP v1 is one value");
        return Err(error.with_help("write a list with one value, such as `[\"hello\"]`"));
    }
    if symbol.kwargs.is_some() {
        return Err(SyntaxError::new(range, "WAMP v1 has no keyword arguments"));
    }
    Ok(())
}
