//! Route index: a trie over the literal parts of channels that selects the candidates for a topic.
//!
//! It has one level per segment. A topic follows every branch whose literal text agrees, and only
//! the routes found there are matched in full, so that the cost of a lookup does not grow with
//! routes that differ in their literal text. `table` builds and queries it. All texts in it are of routing
//! files, so that a fast hash is safe: no client can choose them to collide.

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxBuildHasher;

use crate::channel::{Channel, Token};
use crate::requirement::Requirement;

/// Map by a literal text.
type TextMap<T> = HashMap<Box<str>, T, FxBuildHasher>;

/// Routes with variables, by literal text.
#[derive(Debug)]
pub(crate) struct Index {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    /// The earliest route at or below this node, to skip the node once an earlier route has
    /// matched.
    earliest: usize,
    text: TextMap<usize>,
    prefix: ByLength<usize>,
    suffix: ByLength<usize>,
    any: Option<usize>,
    /// The routes whose channel ends here, in file order.
    ends: Vec<usize>,
    /// The routes with no literal text known after the beginning of the next segment.
    open: ByLength<Vec<usize>>,
}

/// Map per text length, so that all prefixes (or suffixes) of a segment take one lookup per length.
#[derive(Debug)]
struct ByLength<T>(Vec<(usize, TextMap<T>)>);

/// Known literal parts of a segment.
#[derive(Debug, Default)]
struct Segment {
    prefix: String,
    suffix: String,
    has_variable: bool,
}

/// Known literal parts of a channel.
#[derive(Debug)]
struct Outline {
    segments: Vec<Segment>,
    /// Number of required segments.
    required: usize,
    /// Whether a variable can hold `/`, so that the last of `segments` is only the beginning of the
    /// rest.
    open: bool,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { nodes: vec![Node::new(usize::MAX)] }
    }

    /// Adds a route by its number, in file order.
    pub(crate) fn add(
        &mut self,
        route: usize,
        channel: &Channel,
        requirements: &[Arc<Requirement>],
    ) {
        let outline = Outline::new(channel, requirements);
        let mut at = 0;
        let closed = outline.segments.len() - usize::from(outline.open);
        for (depth, segment) in outline.segments.iter().take(closed).enumerate() {
            self.reach(at, route);
            if depth >= outline.required {
                self.end(at, route);
            }
            at = self.child(at, segment);
        }
        self.reach(at, route);
        match outline.segments.last().filter(|_| outline.open) {
            Some(segment) => {
                if let Some(node) = self.nodes.get_mut(at) {
                    node.open.entry(&segment.prefix).push(route);
                }
            }
            None => self.end(at, route),
        }
    }

    /// Returns the earliest route before `limit` whose literal parts agree and for which `matches`
    /// is true.
    pub(crate) fn earliest(
        &self,
        topic: &str,
        limit: usize,
        matches: &impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut best = limit;
        self.walk(0, Some(topic), &mut best, matches);
        // One `/` at the end is tolerated.
        if let Some(topic) = topic.strip_suffix('/') {
            self.walk(0, Some(topic), &mut best, matches);
        }
        (best < limit).then_some(best)
    }

    fn walk(
        &self,
        at: usize,
        rest: Option<&str>,
        best: &mut usize,
        matches: &impl Fn(usize) -> bool,
    ) {
        let Some(node) = self.nodes.get(at) else { return };
        if node.earliest >= *best {
            return;
        }
        let mut consider = |routes: &[usize]| {
            let before = routes.iter().take_while(|route| **route < *best);
            if let Some(route) = before.copied().find(|route| matches(*route)) {
                *best = route;
            }
        };
        let Some(rest) = rest else {
            consider(&node.ends);
            return;
        };
        node.open.of_prefixes(rest, |routes| consider(routes));
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        if let Some(child) = node.text.get(segment) {
            self.walk(*child, rest, best, matches);
        }
        node.prefix.of_prefixes(segment, |child| self.walk(*child, rest, best, matches));
        node.suffix.of_suffixes(segment, |child| self.walk(*child, rest, best, matches));
        if let Some(child) = node.any {
            self.walk(child, rest, best, matches);
        }
    }

    fn reach(&mut self, at: usize, route: usize) {
        if let Some(node) = self.nodes.get_mut(at) {
            node.earliest = node.earliest.min(route);
        }
    }

    fn end(&mut self, at: usize, route: usize) {
        if let Some(node) = self.nodes.get_mut(at) {
            node.ends.push(route);
        }
    }

    /// Returns the child node of a segment; creates it if missing.
    fn child(&mut self, at: usize, segment: &Segment) -> usize {
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return 0 };
        let child = if !segment.has_variable {
            *node.text.entry(segment.prefix.as_str().into()).or_insert(new)
        } else if segment.prefix.is_empty() && segment.suffix.is_empty() {
            *node.any.get_or_insert(new)
        } else if segment.prefix.len() >= segment.suffix.len() {
            *node.prefix.entry_or(&segment.prefix, new)
        } else {
            *node.suffix.entry_or(&segment.suffix, new)
        };
        if child == new {
            self.nodes.push(Node::new(usize::MAX));
        }
        child
    }
}

impl Node {
    fn new(earliest: usize) -> Self {
        Self {
            earliest,
            text: TextMap::default(),
            prefix: ByLength(Vec::new()),
            suffix: ByLength(Vec::new()),
            any: None,
            ends: Vec::new(),
            open: ByLength(Vec::new()),
        }
    }
}

impl<T> ByLength<T> {
    fn of_length(&mut self, length: usize) -> &mut TextMap<T> {
        let at = self.0.iter().position(|(l, _)| *l == length).unwrap_or(self.0.len());
        if at == self.0.len() {
            self.0.push((length, TextMap::default()));
        }
        // The element was just found or inserted.
        #[expect(clippy::indexing_slicing, reason = "`at` is the position of an element")]
        &mut self.0[at].1
    }

    fn entry_or(&mut self, text: &str, value: T) -> &mut T {
        self.of_length(text.len()).entry(text.into()).or_insert(value)
    }

    fn of_prefixes(&self, text: &str, mut found: impl FnMut(&T)) {
        for (length, by_text) in &self.0 {
            if let Some(value) = text.get(..*length).and_then(|prefix| by_text.get(prefix)) {
                found(value);
            }
        }
    }

    fn of_suffixes(&self, text: &str, mut found: impl FnMut(&T)) {
        for (length, by_text) in &self.0 {
            let suffix = text.len().checked_sub(*length).and_then(|start| text.get(start..));
            if let Some(value) = suffix.and_then(|suffix| by_text.get(suffix)) {
                found(value);
            }
        }
    }
}

impl<T: Default> ByLength<T> {
    fn entry(&mut self, text: &str) -> &mut T {
        self.of_length(text.len()).entry(text.into()).or_default()
    }
}

impl Outline {
    fn new(channel: &Channel, requirements: &[Arc<Requirement>]) -> Self {
        let mut outline = Self { segments: vec![Segment::default()], required: 0, open: false };
        let mut variables = requirements.iter();
        let last = channel.tokens.len().saturating_sub(1);
        for (index, token) in channel.tokens.iter().enumerate() {
            let optional = index >= channel.first_optional;
            match token {
                Token::Text(text) if index == last && index > 0 => {
                    // A trailing `/` of the channel is optional.
                    outline.text(text.strip_suffix('/').unwrap_or(text));
                }
                Token::Text(text) => outline.text(text),
                Token::Variable { separator, .. } => {
                    let all_optional = index == 0 && optional;
                    match separator {
                        Some('/') if optional && !all_optional => {
                            if outline.required == 0 {
                                outline.required = outline.segments.len();
                            }
                            outline.segments.push(Segment::default());
                        }
                        // Text before an optional value is not known to be there.
                        Some(_) if optional && !all_optional => {}
                        Some(c) => outline.text(&c.to_string()),
                        None => {}
                    }
                    outline.variable();
                    if variables.next().is_none_or(|requirement| requirement.may_hold_slash()) {
                        outline.open = true;
                        break;
                    }
                }
            }
        }
        if outline.required == 0 {
            outline.required = outline.segments.len();
        }
        // An open segment may be optional: the topic may then end before it. The open part begins
        // where the required part ends, so that both forms are found.
        if outline.open && outline.required < outline.segments.len() {
            outline.segments.truncate(outline.required);
            if let Some(segment) = outline.segments.last_mut() {
                segment.suffix.clear();
            }
        }
        outline
    }

    fn text(&mut self, text: &str) {
        let mut parts = text.split('/');
        if let (Some(first), Some(segment)) = (parts.next(), self.segments.last_mut()) {
            let end = if segment.has_variable { &mut segment.suffix } else { &mut segment.prefix };
            end.push_str(first);
        }
        self.segments
            .extend(parts.map(|part| Segment { prefix: part.to_owned(), ..Segment::default() }));
    }

    fn variable(&mut self) {
        if let Some(segment) = self.segments.last_mut() {
            segment.has_variable = true;
            segment.suffix.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::channel;

    /// Returns the number of routes that are matched in full against a topic.
    fn asked(channels: &[String], topic: &str) -> usize {
        let mut index = Index::new();
        for (number, text) in channels.iter().enumerate() {
            let tokens = channel::parse(text).unwrap().tokens;
            let channel = Channel::new(tokens, |_| false);
            let requirements: Vec<_> =
                channel.variables().map(|_| Arc::new(Requirement::unwritten(None))).collect();
            index.add(number, &channel, &requirements);
        }
        let asked = Cell::new(0);
        index.earliest(topic, usize::MAX, &|_| {
            asked.set(asked.get() + 1);
            false
        });
        asked.get()
    }

    fn check(channel: impl Fn(usize) -> String, topic: &str, expect: usize) {
        let channels: Vec<String> = (0..1000).map(channel).collect();
        assert_eq!(asked(&channels, topic), expect, "{} … on {topic}", channels[0]);
    }

    #[test]
    fn skips_routes_whose_literal_text_differs() {
        check(|n| format!("app{n}/{{x}}"), "app7/1", 1);
        check(|n| format!("app/{{x}}/{n}"), "app/1/7", 1);
        check(|n| format!("{{x}}/{n}/{{y}}"), "a/7/b", 1);
        check(|n| format!("room-{n}-{{x}}"), "room-7-a", 1);
        check(|n| format!("{{x}}-room{n}"), "a-room7", 1);
        check(|n| format!("a/{{x}}:{{y}}.r{n}/b"), "a/1:2.r7/b", 1);
        check(|n| format!("a/{{x}}/b{n}{{y}}/c"), "a/1/b7y/c", 1);
        check(|n| format!("{}{{x}}", "a/".repeat(n)), "a/a/7", 1);
        check(|n| format!("app{n}/{{x}}"), "other/1", 0);
        check(|n| format!("app{n}/{{x}}"), "app7", 0);
    }
}
