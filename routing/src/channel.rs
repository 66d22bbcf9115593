//! Channel parser: splits a pattern into text and variables.
//!
//! `oro/email_event/{user_id}/{organization_id}`: a variable is in braces, anywhere, and may carry
//! its requirement and default, `{page<\d+>?1}`. `compile` adds requirements; `matcher` matches.

use std::ops::Range;

/// Characters that end a variable without a requirement. A separator before an optional variable is
/// optional with it.
const SEPARATORS: &str = "/,;.:-_~+*=@|";

/// Maximum length of a variable's name, in bytes; the limit of the predecessors' regex library.
const MAX_NAME_BYTES: usize = 32;

/// Maximum length of a channel, in bytes; it bounds the work and depth of all code that walks a
/// channel.
const MAX_CHANNEL_BYTES: usize = 4096;

/// Maximum number of braces that are text, not variables: each costs a scan of the rest.
const MAX_TEXT_BRACES: usize = 16;

/// A channel's pattern.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    pub(crate) tokens: Vec<Token>,
    /// Index of the first optional token: all from here on are variables with a default.
    pub(crate) first_optional: usize,
}

/// A piece of a [`Channel`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    Text(String),
    Variable {
        /// The one character before the variable, if it is a separator.
        separator: Option<char>,
        name: String,
        /// The separator, besides `/`, that ends a variable without a requirement.
        next: Option<char>,
    },
}

/// A parsed channel.
#[derive(Debug)]
pub(crate) struct Written {
    /// The pattern without inline requirements and defaults.
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
    pub(crate) inline: Vec<Inline>,
    /// Braces that are text, not variables, as in the predecessors.
    pub(crate) oddities: Vec<ChannelError>,
}

/// A variable's requirement and default inside its braces.
#[derive(Debug)]
pub(crate) struct Inline {
    pub(crate) name: String,
    /// The requirement and its range in the channel's text.
    pub(crate) requirement: Option<(String, Range<usize>)>,
    /// `{x?}` is `Some(None)`.
    pub(crate) default: Option<DefaultValue>,
}

/// Default of a missing variable. A default without a value does not make the variable optional, as
/// in the predecessors, which check `isset()`.
pub(crate) type DefaultValue = Option<String>;

/// Characters removed by PHP's `trim()`, which the predecessors apply to channels.
const TRIMMED: [char; 6] = [' ', '\t', '\n', '\r', '\0', '\u{b}'];

/// An error of a channel and its range in the text.
#[derive(Debug)]
pub(crate) struct ChannelError {
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Channel {
    pub(crate) fn new(tokens: Vec<Token>, has_default: impl Fn(&str) -> bool) -> Self {
        let optional_tail = tokens
            .iter()
            .rev()
            .take_while(|token| match token {
                Token::Text(_) => false,
                Token::Variable { name, .. } => has_default(name),
            })
            .count();
        let first_optional = tokens.len() - optional_tail;
        Self { tokens, first_optional }
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().filter_map(|token| match token {
            Token::Text(_) => None,
            Token::Variable { name, .. } => Some(name.as_str()),
        })
    }
}

impl Written {
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.inline.iter().map(|inline| inline.name.as_str())
    }
}

/// Parses a channel, collecting all errors.
pub(crate) fn parse(written: &str) -> Result<Written, Vec<ChannelError>> {
    let mut errors = Vec::new();
    let mut oddities = Vec::new();
    let mut inline = Vec::new();
    let mut pieces: Vec<Piece> = Vec::new();
    let written = written.trim_end_matches(TRIMMED);
    let mut at = written.len() - written.trim_start_matches(TRIMMED).len();
    if written.is_empty() {
        errors.push(ChannelError::new(
            0..0,
            "the channel is empty",
            "write the topic's text, such as `acme/chat/{room}`",
        ));
    }
    if written.len() > MAX_CHANNEL_BYTES {
        let length = written.len();
        return Err(vec![ChannelError::new(
            0..length,
            format!("the channel is {length} bytes long"),
            format!("use at most {MAX_CHANNEL_BYTES}"),
        )]);
    }
    while let Some(rest) = written.get(at..).filter(|rest| !rest.is_empty()) {
        let text_end = rest.find(['{', '}']).unwrap_or(rest.len());
        if let Some(text) = rest.get(..text_end).filter(|text| !text.is_empty()) {
            pieces.push(Piece::Text(text.to_owned()));
        }
        at += text_end;
        let Some(rest) = written.get(at..).filter(|rest| !rest.is_empty()) else { break };
        if rest.starts_with('}') {
            pieces.push(Piece::Text("}".to_owned()));
            let opened =
                oddities.last().is_some_and(|oddity: &ChannelError| oddity.range.contains(&at));
            if !opened {
                oddities.push(ChannelError::new(
                    at..at + 1,
                    "this `}` closes no variable and stands for itself",
                    "write a variable as `{name}`, or remove the brace",
                ));
            }
            at += 1;
            continue;
        }
        match variable(rest, at) {
            Ok((found, length)) => {
                check_name(&found.name, at + 1, &pieces, &mut errors);
                pieces.push(Piece::Variable(found.name.clone()));
                inline.push(found);
                at += length;
            }
            // Only the brace is text: a variable may begin after it, as in `{a{b}`.
            Err(oddity) if oddities.len() >= MAX_TEXT_BRACES => {
                errors.push(oddity);
                break;
            }
            Err(oddity) => {
                pieces.push(Piece::Text("{".to_owned()));
                oddities.push(oddity);
                at += 1;
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let text = pieces.iter().map(Piece::written).collect();
    Ok(Written { text, tokens: tokens(pieces), inline, oddities })
}

enum Piece {
    Text(String),
    Variable(String),
}

impl Piece {
    fn written(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Variable(name) => format!("{{{name}}}"),
        }
    }
}

impl ChannelError {
    fn new(range: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { range, message: message.into(), help: help.into() }
    }
}

/// Parses `{name}`, `{name<regex>}`, `{name?default}` or `{name<regex>?default}` at the start of
/// `rest`, at `offset` in the channel. Also returns its length in bytes. Other braces are text; the
/// error has the reason.
fn variable(rest: &str, offset: usize) -> Result<(Inline, usize), ChannelError> {
    let name_end = rest
        .char_indices()
        .skip(1)
        .find(|(_, c)| !(c.is_ascii_alphanumeric() || *c == '_'))
        .map_or(rest.len(), |(end, _)| end);
    let name = rest.get(1..name_end).unwrap_or_default().to_owned();
    let mut found = Inline { name, requirement: None, default: None };
    let mut end = name_end;
    if rest.get(end..).is_some_and(|tail| tail.starts_with('<')) {
        let Some(length) = requirement_length(rest.get(end + 1..).unwrap_or_default()) else {
            let range = offset..offset + rest.len();
            let name = found.name;
            return Err(ChannelError::new(
                range,
                format!("the requirement of `{{{name}<` has no end: the brace stands for itself"),
                format!("close it: `{{{name}<regex>}}`"),
            ));
        };
        let pattern = rest.get(end + 1..end + 1 + length).unwrap_or_default().to_owned();
        found.requirement = Some((pattern, offset + end + 1..offset + end + 1 + length));
        end += length + 2;
    }
    let tail = rest.get(end..).unwrap_or_default();
    let Some(close) = tail.find('}') else {
        return Err(ChannelError::new(
            offset..offset + rest.len(),
            "this `{` is never closed and stands for itself",
            "write a variable as `{name}`",
        ));
    };
    let between = tail.get(..close).unwrap_or_default();
    let length = end + close + 1;
    let nameless = between.is_empty() || between.starts_with('?') || found.requirement.is_some();
    if found.name.is_empty() && nameless {
        return Err(ChannelError::new(
            offset..offset + length,
            "a variable has no name: the braces stand for themselves",
            "write a name between the braces: `{room}`",
        ));
    }
    if let Some(default) = between.strip_prefix('?') {
        found.default = Some((!default.is_empty()).then(|| default.to_owned()));
    } else if !between.is_empty() {
        return Err(ChannelError::new(
            offset..offset + length,
            format!(
                "`{}` is not a variable and stands for itself",
                rest.get(..length).unwrap_or_default()
            ),
            "a variable is `{name}`, `{name<regex>}`, `{name?default}` or `{name<regex>?default}`; its name has ASCII letters, digits and `_` only",
        ));
    }
    Ok((found, length))
}

/// Returns the length of an inline requirement: up to the first `>` after which the variable can
/// end.
fn requirement_length(rest: &str) -> Option<usize> {
    rest.match_indices('>').map(|(at, _)| at).find(|at| {
        let after = rest.get(at + 1..).unwrap_or_default();
        after.starts_with('}')
            || after.strip_prefix('?').is_some_and(|default| default.contains('}'))
    })
}

fn check_name(name: &str, offset: usize, before: &[Piece], errors: &mut Vec<ChannelError>) {
    let range = offset..offset + name.len();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        errors.push(ChannelError::new(
            range,
            format!("the variable name `{name}` starts with a digit"),
            "start it with a letter or `_`",
        ));
    } else if name.len() > MAX_NAME_BYTES {
        let length = name.len();
        errors.push(ChannelError::new(
            range,
            format!("the variable name `{name}` has {length} characters"),
            format!("use at most {MAX_NAME_BYTES}"),
        ));
    } else if before
        .iter()
        .any(|piece| matches!(piece, Piece::Variable(earlier) if earlier == name))
    {
        errors.push(ChannelError::new(
            range,
            format!("the variable `{name}` stands twice in the channel"),
            "give each variable a name of its own",
        ));
    }
}

fn tokens(pieces: Vec<Piece>) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(piece) => text.push_str(&piece),
            Piece::Variable(name) => {
                let separator = text.chars().next_back().filter(|last| SEPARATORS.contains(*last));
                if separator.is_some() {
                    text.pop();
                }
                if !text.is_empty() {
                    tokens.push(Token::Text(std::mem::take(&mut text)));
                }
                tokens.push(Token::Variable { separator, name, next: None });
            }
        }
    }
    if !text.is_empty() {
        tokens.push(Token::Text(text));
    }
    set_next(&mut tokens);
    tokens
}

/// Sets the separator after each variable: the next character outside of variables, if it is a
/// separator.
fn set_next(tokens: &mut [Token]) {
    let mut following: Option<char> = None;
    for token in tokens.iter_mut().rev() {
        match token {
            Token::Text(text) => following = text.chars().next(),
            Token::Variable { separator, next, .. } => {
                *next = following.filter(|c| SEPARATORS.contains(*c));
                following = separator.or(following);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(channel: &str, expect: &str) {
        let shown = match parse(channel) {
            Ok(written) => written
                .tokens
                .iter()
                .map(|token| match token {
                    Token::Text(text) => format!("[{text}]"),
                    Token::Variable { separator, name, next } => {
                        let show = |c: &Option<char>| c.map(String::from).unwrap_or_default();
                        format!("({}{name}{})", show(separator), show(next))
                    }
                })
                .collect::<String>(),
            Err(errors) => errors
                .iter()
                .map(|fault| {
                    format!("{}..{} {}", fault.range.start, fault.range.end, fault.message)
                })
                .collect::<Vec<_>>()
                .join("; "),
        };
        assert_eq!(shown, expect, "{channel:?}");
    }

    #[test]
    fn splits_channels_into_tokens() {
        check("oro/ping", "[oro/ping]");
        check("a/{x}", "[a](/x)");
        check("a/{x}/{y}", "[a](/x/)(/y)");
        check("x/{a}-{b}", "[x](/a-)(-b)");
        check("{a}{b}.c", "(a.)(b.)[.c]");
        check("{a}x", "(a)[x]");
        check("/{a}", "(/a)");
        check("a{b}/", "[a](b/)[/]");
        check("a/{x<\\d{2}>?7}/b", "[a](/x/)[/b]");
        check("a/{x<(?>a)>}", "[a](/x)");
        check("é/{x}", "[é](/x)");
    }

    #[test]
    fn treats_other_braces_as_text() {
        let check = |channel: &str, text: &str, expect: &str| {
            let written = parse(channel).unwrap();
            assert_eq!(written.text, text, "{channel:?}");
            let messages = written.oddities.iter().map(|oddity| {
                format!("{}..{} {}", oddity.range.start, oddity.range.end, oddity.message)
            });
            let messages = messages.collect::<Vec<_>>().join("; ");
            assert_eq!(messages, expect, "{channel:?}");
        };
        check("a/{x}", "a/{x}", "");
        check(" a/{x}\n", "a/{x}", "");
        check("a/{}", "a/{}", "2..4 a variable has no name: the braces stand for themselves");
        check("a/{x", "a/{x", "2..4 this `{` is never closed and stands for itself");
        check(
            "a/x}/{",
            "a/x}/{",
            "3..4 this `}` closes no variable and stands for itself; 5..6 this `{` is never closed \
             and stands for itself",
        );
        check("a/{x y}", "a/{x y}", "2..7 `{x y}` is not a variable and stands for itself");
        check(
            "{a{b}}",
            "{a{b}}",
            "0..5 `{a{b}` is not a variable and stands for itself; 5..6 this \
             `}` closes no variable and stands for itself",
        );
        check("a/{?1}", "a/{?1}", "2..6 a variable has no name: the braces stand for themselves");
        check(
            "a/{x<\\d+}",
            "a/{x<\\d+}",
            "2..9 the requirement of `{x<` has no end: the brace stands for itself",
        );
        assert_eq!(parse("{a{b}}").unwrap().inline.len(), 1);
        assert!(parse(&"{".repeat(4096)).is_err());
    }

    #[test]
    fn reports_errors_of_channels() {
        check("", "0..0 the channel is empty");
        check("a/{1x}", "3..5 the variable name `1x` starts with a digit");
        check("{a}/{a}", "5..6 the variable `a` stands twice in the channel");
        let long = "v".repeat(33);
        check(
            &format!("{{{long}}}"),
            &format!("1..34 the variable name `{long}` has 33 characters"),
        );
    }
}
