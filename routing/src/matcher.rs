//! Matcher: one route's pattern against one topic.
//!
//! A pattern is fully anchored and case-sensitive. With variables, one trailing `/` of the topic is
//! tolerated; without, the text must be equal. In most channels each variable is a whole segment
//! that cannot hold a `/`, so that the topic is compared segment by segment without a regex; other
//! channels are one regex. `index` selects the routes to match.

use std::sync::{Arc, OnceLock};

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{Capture, Hir, Repetition};

use crate::channel::{Channel, Token};
use crate::requirement::{Budget, Requirement, TooLarge, whole};

/// Matcher of one route.
#[derive(Debug, Clone)]
pub(crate) struct Matcher {
    pub(crate) shape: Shape,
    /// The requirement of each variable, in the order of the channel.
    pub(crate) requirements: Vec<Arc<Requirement>>,
    /// Whether the channel of a route with variables ends in `/`. It is matched without, and topics
    /// with and without it fit.
    ends_in_slash: bool,
    /// See [`Matcher::strict`].
    strict: OnceLock<Option<Regex>>,
}

#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Literal(String),
    Segments {
        segments: Vec<Segment>,
        /// Number of required segments.
        required: usize,
    },
    Regex(Regex),
}

#[derive(Debug, Clone)]
pub(crate) enum Segment {
    Text(String),
    /// The next variable.
    Variable(Arc<Requirement>),
}

/// Value of each variable; `None` for a missing optional one.
pub(crate) type Captures<'t> = Vec<Option<&'t str>>;

impl Matcher {
    /// Creates a matcher. `requirements` are in the order of the channel's variables.
    pub(crate) fn new(
        channel: &Channel,
        requirements: Vec<Arc<Requirement>>,
        budget: &mut Budget,
    ) -> Result<Self, TooLarge> {
        if requirements.is_empty() {
            let text = channel.tokens.iter().map(written).collect();
            let shape = Shape::Literal(text);
            return Ok(Self { shape, requirements, ends_in_slash: false, strict: OnceLock::new() });
        }
        let ends_in_slash =
            matches!(channel.tokens.last(), Some(Token::Text(text)) if text.ends_with('/'));
        let shape = if let Some((segments, required)) = segments(channel, &requirements) {
            Shape::Segments { segments, required }
        } else {
            let expression = expression(channel, &requirements, ends_in_slash);
            Shape::Regex(whole(vec![expression, maybe(literal("/"))], budget)?)
        };
        Ok(Self { shape, requirements, ends_in_slash, strict: OnceLock::new() })
    }

    pub(crate) fn matches(&self, topic: &str) -> bool {
        self.exactly(topic) || self.without_slash(topic).is_some_and(|topic| self.exactly(topic))
    }

    /// Returns whether the topic matches without the tolerance for a trailing `/`. It decides
    /// whether an earlier route with variables takes a topic from a later one with exactly its
    /// text.
    pub(crate) fn matches_strictly(&self, channel: &Channel, topic: &str) -> bool {
        let without = topic.strip_suffix('/');
        match &self.shape {
            Shape::Segments { .. } if self.ends_in_slash => {
                without.is_some_and(|topic| self.exactly(topic))
            }
            Shape::Literal(_) | Shape::Segments { .. } => self.exactly(topic),
            // The regex includes the tolerance. A second regex without it decides where it matters,
            // which is rare and only while a table is built.
            Shape::Regex(regex) => {
                regex.is_match(Input::new(topic).anchored(Anchored::Yes))
                    && (without.is_none() && !self.ends_in_slash
                        || self.strict(channel).is_some_and(|strict| strict.is_match(topic)))
            }
        }
    }

    /// Returns the regex without the tolerance, built once on demand.
    fn strict(&self, channel: &Channel) -> Option<&Regex> {
        let made = self.strict.get_or_init(|| {
            let expression = expression(channel, &self.requirements, false);
            whole(vec![expression], &mut Budget::default()).ok()
        });
        made.as_ref()
    }

    pub(crate) fn captures<'t>(&self, topic: &'t str) -> Option<Captures<'t>> {
        let topic = if self.exactly(topic) {
            topic
        } else {
            self.without_slash(topic).filter(|topic| self.exactly(topic))?
        };
        match &self.shape {
            Shape::Literal(_) => Some(Vec::new()),
            Shape::Segments { segments, .. } => {
                let mut values = topic.split('/');
                let mut captures = Vec::with_capacity(self.requirements.len());
                for segment in segments {
                    let value = values.next();
                    match segment {
                        Segment::Text(_) => {}
                        Segment::Variable(_) => captures.push(value),
                    }
                }
                Some(captures)
            }
            Shape::Regex(regex) => {
                let mut found = regex.create_captures();
                regex.captures(Input::new(topic).anchored(Anchored::Yes), &mut found);
                let value = |index| found.get_group(index).and_then(|span| topic.get(span.range()));
                Some((1..=self.requirements.len()).map(value).collect())
            }
        }
    }

    /// Returns the topic without its trailing `/`, where that is tolerated.
    pub(crate) fn without_slash<'t>(&self, topic: &'t str) -> Option<&'t str> {
        match self.shape {
            // The regex includes the tolerance, so that its own rules assign a trailing slash to a
            // variable.
            Shape::Literal(_) | Shape::Regex(_) => None,
            Shape::Segments { .. } => topic.strip_suffix('/'),
        }
    }

    fn exactly(&self, topic: &str) -> bool {
        match &self.shape {
            Shape::Literal(text) => topic == text,
            Shape::Segments { segments, required } => {
                let mut values = topic.split('/');
                let mut count = 0;
                for segment in segments {
                    let Some(value) = values.next() else { break };
                    let fits = match segment {
                        Segment::Text(text) => text == value,
                        Segment::Variable(requirement) => requirement.check.holds(value),
                    };
                    if !fits {
                        return false;
                    }
                    count += 1;
                }
                count >= *required && values.next().is_none()
            }
            Shape::Regex(regex) => regex.is_match(Input::new(topic).anchored(Anchored::Yes)),
        }
    }
}

fn written(token: &Token) -> &str {
    match token {
        Token::Text(text) => text,
        Token::Variable { .. } => "",
    }
}

/// Returns the segments of a channel, if each of its variables is one whole segment.
fn segments(channel: &Channel, requirements: &[Arc<Requirement>]) -> Option<(Vec<Segment>, usize)> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut required = 0;
    let mut variables = requirements.iter();
    for (index, token) in channel.tokens.iter().enumerate() {
        let optional = index >= channel.first_optional;
        match token {
            Token::Text(text) => {
                // The first text begins the first segment. Any other text follows a variable and
                // has to begin a new segment.
                let last = index + 1 == channel.tokens.len();
                let text = if last { text.strip_suffix('/').unwrap_or(text) } else { text };
                if !text.is_empty() {
                    let text = if index == 0 { text } else { text.strip_prefix('/')? };
                    segments.extend(text.split('/').map(|text| Segment::Text(text.to_owned())));
                }
            }
            Token::Variable { separator, .. } => {
                let requirement = variables.next()?;
                let begins = match separator {
                    Some('/') => index > 0,
                    Some(_) => false,
                    None => index == 0 && !optional,
                };
                if !begins || !requirement.is_one_segment() {
                    return None;
                }
                segments.push(Segment::Variable(Arc::clone(requirement)));
            }
        }
        if !optional {
            required = segments.len();
        }
    }
    Some((segments, required))
}

/// Returns the channel as one expression, without its trailing `/`.
fn expression(channel: &Channel, requirements: &[Arc<Requirement>], ends_in_slash: bool) -> Hir {
    let mut parts = Vec::new();
    // Optional variables nest: each is present only if the one before it is.
    let mut optional = Vec::new();
    let mut variables = requirements.iter().zip(1u32..);
    for (index, token) in channel.tokens.iter().enumerate() {
        match token {
            Token::Text(text) => {
                let last = index + 1 == channel.tokens.len();
                let kept = text.strip_suffix('/').filter(|_| last && ends_in_slash);
                parts.push(literal(kept.unwrap_or(text)));
            }
            Token::Variable { separator, .. } => {
                let Some((requirement, index_of_variable)) = variables.next() else { continue };
                let value = Hir::capture(Capture {
                    index: index_of_variable,
                    name: None,
                    sub: Box::new(requirement.hir.clone()),
                });
                let separator = separator.map(|c| literal(&c.to_string()));
                if index == 0 && channel.first_optional == 0 {
                    // The separator before a channel that is all optional stays required, and the
                    // first variable does not enclose the others.
                    parts.extend(separator);
                    parts.push(maybe(value));
                } else if index >= channel.first_optional {
                    optional.push(Hir::concat(separator.into_iter().chain([value]).collect()));
                } else {
                    parts.extend(separator);
                    parts.push(value);
                }
            }
        }
    }
    let tail = optional
        .into_iter()
        .rev()
        .fold(Hir::empty(), |inner, outer| maybe(Hir::concat(vec![outer, inner])));
    parts.push(tail);
    Hir::concat(parts)
}

fn literal(text: &str) -> Hir {
    Hir::literal(text.as_bytes().to_vec())
}

fn maybe(hir: Hir) -> Hir {
    Hir::repetition(Repetition { min: 0, max: Some(1), greedy: true, sub: Box::new(hir) })
}
